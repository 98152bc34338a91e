//! Range.
use reseed_proto::etcdserverpb as pb;

use crate::error::Error;
use crate::port::Read;

/// A range whose keys and revisions are decided; only the values are missing.
#[derive(Clone, Debug)]
pub struct RangePlan {}

impl RangePlan {
    /// Fetches the values and finishes the answer; its header carries the revision only.
    ///
    /// # Errors
    /// `Compacted` if a value vanished since the plan was made; the backend cannot be read.
    pub fn finish(self, _read: &dyn Read) -> Result<pb::RangeResponse, Error> {
        Err(Error::Compacted)
    }
}
