//! History.
use alloc::vec::Vec;

use reseed_proto::mvccpb;

/// How much history to read at once; a revision is never split, so one may exceed the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Revisions.
    pub revisions_max: usize,
    /// Bytes of keys and values after which no further revision is begun.
    pub bytes_max: usize,
}

/// All events of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionEvents {
    /// The main revision.
    pub revision: i64,
    /// In the order they happened; `prev_kv` is never set.
    pub events: Vec<mvccpb::Event>,
}
