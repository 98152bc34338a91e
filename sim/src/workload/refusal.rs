//! What a failed request means: certainly nothing happened, or nobody knows.
//!
//! A wrong "certainly" would make the checker blame the server for what a client misread; a
//! needless "nobody knows" only makes it weaker. When in doubt, nobody knows.

use std::error::Error as _;

use tonic::{Code, ConnectError, Status};

use crate::history::Request;

/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// It had no effect, and never will.
    Refused,
    /// It was never sent: there was no connection.
    Unsent,
    /// It had its effect, or has it later, or never.
    Unknown,
}

/// What `status` says about `request`.
pub(super) fn meaning(request: &Request, status: &Status) -> Meaning {
    if is_unsent(status) {
        return Meaning::Unsent;
    }
    if has_no_effect(request) || is_refusal(status) { Meaning::Refused } else { Meaning::Unknown }
}

/// Requests after which everything is as it was, whatever their answer.
pub(super) fn has_no_effect(request: &Request) -> bool {
    match request {
        Request::Range(_)
        | Request::TimeToLive { .. }
        | Request::Leases
        | Request::Status
        | Request::HashKv { .. }
        | Request::Defragment
        | Request::Snapshot => true,
        Request::Alarm { action, .. } => action == "get",
        Request::Put(_)
        | Request::Delete(_)
        | Request::Txn(_)
        | Request::Compact { .. }
        | Request::Grant { .. }
        | Request::Revoke { .. }
        | Request::KeepAlive { .. } => false,
    }
}

/// The connection could not be made, so nothing went over it.
fn is_unsent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Refusals by the server itself, before the log or by apply. Its words and not only the code must
/// be etcd's: libraries on the way use the same codes for requests they lost sight of.
fn is_refusal(status: &Status) -> bool {
    let message = status.message();
    match status.code() {
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::OutOfRange => {
            message.starts_with("etcdserver: ")
        }
        // etcd refuses this before the log, and loses the status on the way.
        Code::Unknown => message == "etcdserver: too many requests",
        Code::Unimplemented => true,
        // `mvcc: database space exceeded` (ResourceExhausted) is none: etcd carries out the write
        // that finds the quota exceeded, and then says so.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::request::{Put, Range};

    fn of_put(code: Code, message: &str) -> Meaning {
        meaning(&Request::Put(Put::default()), &Status::new(code, message))
    }

    #[test]
    fn only_the_servers_own_refusals_are_certain() {
        let refused = [
            (Code::InvalidArgument, "etcdserver: key is not provided"),
            (Code::NotFound, "etcdserver: requested lease not found"),
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"),
            (Code::FailedPrecondition, "etcdserver: lease already exists"),
            (Code::Unknown, "etcdserver: too many requests"),
        ];
        for (code, message) in refused {
            assert_eq!(of_put(code, message), Meaning::Refused, "{message}");
        }
        let unknown = [
            (Code::OutOfRange, "Error, decoded message length too large"),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unknown, "h2 protocol error"),
            (Code::Cancelled, "operation was canceled"),
        ];
        for (code, message) in unknown {
            assert_eq!(of_put(code, message), Meaning::Unknown, "{message}");
        }
    }

    #[test]
    fn a_read_leaves_nothing_behind_and_an_unsent_request_neither() {
        let status = Status::unavailable("broken");
        let read = Request::Range(Range::default());
        assert_eq!(meaning(&read, &status), Meaning::Refused);
        let mut unsent = Status::unavailable("tcp connect error");
        unsent.set_source(std::sync::Arc::new(ConnectError("refused".into())));
        assert_eq!(meaning(&Request::Put(Put::default()), &unsent), Meaning::Unsent);
    }
}
