//! Requests as the wire brings them: the first byte chooses the message, the rest are its bytes.
//!
//! What the checks let pass must encode as a log entry that decodes again, and apply to an empty
//! machine without a panic and without a reason to halt.

use bytes::Bytes;
use prost::Message;
use reseed_core::limits::Limits;
use reseed_core::testing::pair::Memory;
use reseed_core::{At, Machine, check, codec};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::LogEntry;
use reseed_proto::log::log_entry::Request;

/// Checks, encodes, decodes and applies one request.
pub fn request_check(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let rest = Bytes::copy_from_slice(rest);
    let limits = Limits::default();
    let request = match kind % 8 {
        0 => checked(rest, check::put).map(Request::Put),
        1 => checked(rest, check::delete_range).map(Request::DeleteRange),
        2 => checked(rest, |txn| check::txn(txn, &limits)).map(Request::Txn),
        3 => checked(rest, check::compaction).map(Request::Compaction),
        4 => checked(rest, check::lease_grant).map(Request::LeaseGrant),
        5 => checked(rest, check::lease_checkpoint).map(Request::LeaseCheckpoint),
        6 => pb::AlarmRequest::decode(rest).ok().map(Request::Alarm),
        _ => return range(rest),
    };
    let Some(request) = request else { return };
    let entry = LogEntry { id: 1, request: Some(request), ..Default::default() };
    let bytes = codec::encode(&entry);
    let read_back = codec::decode(&bytes).expect("a checked request can be logged");
    assert_eq!(read_back, entry, "through the log");
    let memory = Memory::default();
    let mut machine = Machine::restore(&memory).expect("an empty backend is a new store");
    let applied = machine.apply(At { index: 1, term: 1 }, &entry, &memory);
    applied.expect("a checked request is no reason to halt");
}

fn checked<T: Message + Default>(
    bytes: Bytes,
    check: impl Fn(&T) -> Result<(), reseed_core::Error>,
) -> Option<T> {
    let request = T::decode(bytes).ok()?;
    check(&request).is_ok().then_some(request)
}

fn range(bytes: Bytes) {
    let Some(request) = checked(bytes, check::range) else { return };
    let memory = Memory::default();
    let machine = Machine::restore(&memory).expect("an empty backend is a new store");
    if let Ok(plan) = machine.mvcc.plan_range(&request) {
        plan.finish(&memory).expect("a planned range of an empty store can be read");
    }
}
