//! Between the history's words and the wire's, both ways, every field.
//!
//! Keys and values of a history are text. Clients write nothing else, so nothing is lost; bytes
//! that are no text (only a broken server could answer with some) show as replacement characters.

mod answer;
mod ask;
pub(super) mod heard;
mod watch;

use bytes::Bytes;
use reseed_proto::{
    etcdserverpb::ResponseHeader,
    mvccpb::{Event, KeyValue, event::EventType},
};

pub(super) use answer::{
    alarms, deletion, hash, leases, put, range, time_to_live, txn as txn_answer,
};
pub(super) use ask::{Wire, wire};
pub(super) use watch::create;

use crate::history::{
    Change,
    request::{Pair, Version},
};

/// The whole key space, as key and end of a range.
pub(super) const EVERYTHING: (&str, &str) = ("\0", "\0");

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn version(kv: &KeyValue) -> Version {
    Version {
        value: text(&kv.value),
        mod_revision: kv.mod_revision,
        create_revision: kv.create_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

pub(super) fn pair(kv: &KeyValue) -> Pair {
    Pair { key: text(&kv.key), version: version(kv) }
}

pub(super) fn change(event: &Event) -> Option<Change> {
    let kv = event.kv.as_ref()?;
    Some(Change {
        key: text(&kv.key),
        revision: kv.mod_revision,
        now: (event.r#type() == EventType::Put).then(|| version(kv)),
        prev: event.prev_kv.as_ref().map(version),
    })
}

/// The revision of an answer; 0 if it has no header.
pub(super) fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

#[cfg(test)]
mod tests;
