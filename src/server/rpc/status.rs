//! Errors as gRPC statuses, one to one: clients match on the text.

use reseed_core::error::Error;
use tonic::{Code, Status};

/// The status that etcd sends for `error`.
pub(crate) fn of(error: &Error) -> Status {
    Status::new(Code::from_i32(error.code()), error.to_string())
}
