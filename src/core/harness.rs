//! A member reduced to its machine and a map: what tests drive instead of a server.
//!
//! It commits each batch before the next entry, as a server must, and can restart at any point.

use alloc::vec::Vec;

use bytes::Bytes;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::LogEntry;
use reseed_proto::log::log_entry::Request;

use crate::applied::{Applied, At};
use crate::error::Error;
use crate::machine::Machine;
use crate::mvcc::{Hashed, HistoryLimits, RevisionEvents};
use crate::port::{Read, Table};
use crate::testing::pair::Memory;

/// A machine and its backend.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) machine: Machine,
    pub(crate) memory: Memory,
    index: u64,
}

impl Host {
    /// Applies and commits one request; an outer error is one to halt on.
    pub(crate) fn apply(&mut self, request: Request) -> Result<Applied, Error> {
        self.index += 1;
        let at = At { index: self.index, term: 1 };
        let entry = LogEntry { id: self.index, request: Some(request), ..LogEntry::default() };
        // Through the codec, as in life.
        let bytes = crate::codec::encode(&entry);
        let entry = crate::codec::decode(&bytes).expect("what was encoded decodes");
        let applied = self.machine.apply(at, &entry, &self.memory)?;
        self.memory.commit(applied.batch.clone());
        Ok(applied)
    }

    pub(crate) fn range(&self, request: &pb::RangeRequest) -> Result<pb::RangeResponse, Error> {
        self.machine.mvcc.plan_range(request)?.finish(&self.memory)
    }

    pub(crate) fn read_txn(&self, request: &pb::TxnRequest) -> Result<pb::TxnResponse, Error> {
        self.machine.plan_txn(request, &self.memory)?.finish(&self.memory)
    }

    /// One step of physical compaction; returns the revision keys deleted.
    pub(crate) fn scrub(&mut self, budget: usize) -> (Vec<Bytes>, bool) {
        let (batch, done) = self.machine.mvcc.scrub_step(budget);
        let deleted = batch.ops().iter().filter(|op| op.value.is_none());
        let deleted = deleted.map(|op| op.key.clone()).collect();
        self.memory.commit(batch);
        (deleted, done)
    }

    pub(crate) fn history(&self, from: i64) -> Result<Vec<RevisionEvents>, Error> {
        let limits = HistoryLimits { revisions_max: usize::MAX, bytes_max: usize::MAX };
        self.machine.mvcc.history(&self.memory, from, limits)
    }

    /// The hash, and what it covers.
    pub(crate) fn hash(&self, revision: i64) -> Result<(u32, Hashed), Error> {
        let mut crc = u32::MAX;
        let plan = self.machine.mvcc.plan_hash(revision)?;
        let hashed = plan.finish(&self.memory, &mut |bytes| crc = crc32c(crc, bytes))?;
        Ok((!crc, hashed))
    }

    pub(crate) fn restart(&mut self) {
        self.machine = Machine::restore(&self.memory).expect("what was committed restores");
    }

    /// A restart at this point would find the same replicated state.
    pub(crate) fn check_restart(&self) {
        let mut other = self.clone();
        other.restart();
        let (ours, theirs) = (&self.machine, &other.machine);
        assert_eq!(ours.mvcc.revision(), theirs.mvcc.revision());
        assert_eq!(ours.mvcc.compact_revision(), theirs.mvcc.compact_revision());
        assert_eq!(ours.mvcc.is_scrub_pending(), theirs.mvcc.is_scrub_pending());
        assert_eq!(ours.alarms, theirs.alarms);
        assert_eq!(ours.members, theirs.members);
        assert_eq!(ours.cluster_version, theirs.cluster_version);
        assert!(ours.leases.iter().eq(theirs.leases.iter()));
        assert_eq!(self.hash(0), other.hash(0));
        let from = ours.mvcc.compact_revision().max(1);
        for revision in from..=ours.mvcc.revision() {
            let all = pb::RangeRequest {
                key: Bytes::from_static(b"\0"),
                range_end: Bytes::from_static(b"\0"),
                revision,
                ..pb::RangeRequest::default()
            };
            assert_eq!(self.range(&all), other.range(&all), "at {revision}");
        }
    }

    /// Every revision key in the backend, in order.
    pub(crate) fn revision_keys(&self) -> Vec<Bytes> {
        let mut keys = Vec::new();
        let mut note = |key: &[u8], _: &Bytes| {
            keys.push(Bytes::copy_from_slice(key));
            true
        };
        self.memory.scan(Table::Key, &[], None, &mut note).expect("memory reads");
        keys
    }
}

/// CRC-32C, a bit at a time: enough for tests.
fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    crc
}
