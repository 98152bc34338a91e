//! The real machine and the naive etcd, given the same steps and held against each other.
//!
//! Each request takes the machine's whole road short of the network and the disk: checks, log entry
//! to bytes and back, apply, the batch into an in-memory backend. Whatever differs is a panic that
//! names both answers: refusals, responses, revisions, events, ranges at every readable revision,
//! history in pages, hashes, leases, and all of that again from a machine restored from the
//! backend. Which of the two is right, a person decides.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::LogEntry;
use reseed_proto::log::log_entry::Request;
use reseed_proto::mvccpb::Event;

use super::generate::{LEASES, Source, Step, step};
use super::oracle::{self, Oracle, Refusal, Reply};
use crate::applied::{At, Response};
use crate::id::LeaseId;
use crate::limits::{LEASE_TTL_SECS_MIN, Limits};
use crate::mvcc::HistoryLimits;
use crate::port::{Batch, Read, ReadError, Table, Visit};
use crate::{Error, Fate, Machine, check, codec};

/// A backend that is a map.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pairs: BTreeMap<(Table, Bytes), Bytes>,
}

impl Memory {
    /// Persists a batch.
    pub fn commit(&mut self, batch: Batch) {
        for op in batch.into_ops() {
            match op.value {
                Some(value) => _ = self.pairs.insert((op.table, op.key), value),
                None => _ = self.pairs.remove(&(op.table, op.key)),
            }
        }
    }

    /// How many pairs a table holds.
    #[must_use]
    pub fn len(&self, table: Table) -> usize {
        self.pairs.keys().filter(|(t, _)| *t == table).count()
    }
}

impl Read for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(self.pairs.get(&(table, Bytes::copy_from_slice(key))).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReadError> {
        let start = (table, Bytes::copy_from_slice(from));
        let rest = self.pairs.range(start..).take_while(|((t, _), _)| *t == table);
        for ((_, key), value) in rest {
            if to.is_some_and(|to| key.as_ref() >= to) || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

/// Both, and what the machine has persisted.
#[derive(Clone, Debug)]
pub struct Pair {
    machine: Machine,
    memory: Memory,
    oracle: Oracle,
    index: u64,
    /// Every step taken, to tell how it came to a difference.
    trail: Vec<Step>,
}

impl Default for Pair {
    fn default() -> Self {
        let memory = Memory::default();
        let machine = Machine::restore(&memory).expect("an empty backend is a new store");
        Self {
            machine,
            memory,
            oracle: Oracle::new(LEASE_TTL_SECS_MIN),
            index: 0,
            trail: Vec::new(),
        }
    }
}

impl Pair {
    /// Takes steps made from `bytes` until they are used up, then audits.
    ///
    /// # Panics
    /// If machine and oracle differ in anything.
    pub fn run(bytes: &[u8]) {
        let mut source = Source::new(bytes);
        let mut pair = Self::default();
        while !source.is_empty() {
            pair.step(&step(&mut source, pair.oracle.revision()));
        }
        pair.audit();
    }

    /// What the oracle holds now.
    #[must_use]
    pub const fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Takes one step on both sides.
    ///
    /// # Panics
    /// If they answer differently.
    pub fn step(&mut self, step: &Step) {
        self.trail.push(step.clone());
        match step {
            Step::Apply(request) => self.apply(request),
            Step::Range(request) => self.range(request),
            Step::History(from) => self.history(*from, 2),
            Step::Hash(revision) => self.hash(*revision),
            Step::Scrub(keys) => {
                let (batch, done) = self.machine.mvcc.scrub_step(*keys);
                assert_eq!(done, !self.machine.mvcc.is_scrub_pending(), "done is nothing pending");
                self.memory.commit(batch);
            }
            Step::Restart => self.restart(),
        }
        let now = (self.machine.mvcc.revision(), self.machine.mvcc.compact_revision());
        assert_eq!(now, (self.oracle.revision(), self.oracle.compacted()), "after {step:?}");
    }

    /// Holds everything readable against each other, then all of it again from a restored machine,
    /// and again once compaction has removed all it may.
    ///
    /// # Panics
    /// If anything differs.
    pub fn audit(&self) {
        self.audit_once();
        let mut other = self.clone();
        other.restart();
        other.audit_once();
        let mut steps = 0;
        while other.machine.mvcc.is_scrub_pending() {
            other.step(&Step::Scrub(3));
            steps += 1;
            assert!(steps < 10_000, "compaction does not end");
        }
        other.audit_once();
        other.audit_space();
        other.restart();
        other.audit_once();
    }

    fn audit_once(&self) {
        let first = self.oracle.compacted().max(1);
        for revision in first - 1..=self.oracle.revision() + 1 {
            self.range(&pb::RangeRequest {
                key: Bytes::from_static(b"\0"),
                range_end: Bytes::from_static(b"\0"),
                revision,
                ..Default::default()
            });
            self.hash(revision);
        }
        self.history(first, 3);
        self.history(first, usize::MAX);
        self.leases();
        let ours: Vec<(u64, i32)> =
            self.machine.alarms.list().iter().map(|a| (a.member_id, a.alarm)).collect();
        assert_eq!(ours.len(), self.oracle.alarms().len(), "alarms: {ours:?}");
        assert!(ours.iter().all(|a| self.oracle.alarms().contains(a)), "alarms: {ours:?}");
    }

    /// After a finished compaction the backend holds what is readable and no more: every change
    /// above the bound, below it each live key's latest, and deletions at the bound itself.
    fn audit_space(&self) {
        let records = self.memory.len(Table::Key);
        assert_eq!(records, self.oracle.records(), "records left after\n{}", self.trail());
    }

    fn apply(&mut self, request: &Request) {
        let before = self.oracle.revision();
        let theirs = oracle::check(request, Limits::default().txn_ops_max)
            .and_then(|()| self.oracle.apply(request));
        let ours = check_request(request).map_err(|e| e.to_string());
        let (ours, events) = match ours {
            Ok(()) => self.apply_machine(request),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        self.assert_same(&ours, &theirs, request);
        let changed = self.oracle.revision() > before;
        let expected = if changed { self.oracle.changes_at(before + 1) } else { &[] };
        assert_eq!(events, expected, "events of {request:?}");
    }

    fn apply_machine(&mut self, request: &Request) -> (Result<Reply, String>, Vec<Event>) {
        self.index += 1;
        let entry = LogEntry { id: self.index, request: Some(request.clone()), ..<_>::default() };
        let bytes = codec::encode(&entry);
        assert_eq!(bytes.len(), codec::encoded_len(&entry), "encoded length of {entry:?}");
        let read_back = codec::decode(&bytes).expect("what was encoded can be decoded");
        assert_eq!(read_back, entry, "through the codec");
        let at = At { index: self.index, term: 1 };
        let applied =
            self.machine.apply(at, &read_back, &self.memory).expect("nothing to halt for");
        assert_eq!(applied.revision, self.machine.mvcc.revision(), "revision of {applied:?}");
        self.memory.commit(applied.batch);
        let response = applied.response.map(reply).map_err(|error| {
            assert_eq!(error.fate(), Fate::Return, "a refusal at apply: {error}");
            error.to_string()
        });
        (response, applied.events)
    }

    fn range(&self, request: &pb::RangeRequest) {
        let theirs = oracle::check_range(request).and_then(|()| self.oracle.range(request));
        let ours = check::range(request)
            .and_then(|()| self.machine.mvcc.plan_range(request))
            .and_then(|plan| {
                let encoded = plan.clone().finish_encoded(&self.memory);
                let plain = plan.finish(&self.memory);
                let bytes = plain.as_ref().map(Message::encode_to_vec);
                assert_eq!(encoded.as_ref().map(Message::encode_to_vec), bytes, "{request:?}");
                plain
            })
            .map_err(|e| e.to_string());
        self.assert_same(&ours, &theirs, request);
    }

    /// All changes from `from` on, `page` revisions at a time.
    fn history(&self, from: i64, page: usize) {
        let from = from.max(1);
        let limits = HistoryLimits { revisions_max: page, bytes_max: usize::MAX };
        let mut ours = Ok(Vec::new());
        let mut next = from;
        while next <= self.oracle.revision() {
            let read = match self.machine.mvcc.history(&self.memory, next, limits) {
                Ok(read) => read,
                Err(error) => {
                    ours = Err(error.to_string());
                    break;
                }
            };
            assert!(read.len() <= page, "a page of {page} revisions has {}", read.len());
            let Some(last) = read.last() else { break };
            assert!(last.revision >= next, "history from {next} went back to {}", last.revision);
            next = last.revision + 1;
            if let Ok(all) = &mut ours {
                all.extend(read.into_iter().map(|r| (r.revision, r.events)));
            }
        }
        let theirs = if from > self.oracle.revision() {
            Ok(Vec::new())
        } else {
            self.oracle.changes_since(from)
        };
        self.assert_same(&ours, &theirs, &("history", from, page));
    }

    fn hash(&self, revision: i64) {
        let mut crc = !0;
        let ours = self
            .machine
            .mvcc
            .plan_hash(revision)
            .and_then(|p| p.finish(&self.memory, &mut |bytes| crc = oracle::crc32c(crc, bytes)))
            .map(|_| !crc)
            .map_err(|e| e.to_string());
        self.assert_same(&ours, &self.oracle.hash_kv(revision), &("hash", revision));
    }

    fn leases(&self) {
        let ours: Vec<_> =
            self.machine.leases.iter().map(|l| (l.id.0, l.ttl_secs, l.remaining_secs)).collect();
        let theirs: Vec<_> =
            self.oracle.leases().iter().map(|(id, l)| (*id, l.ttl, l.remaining)).collect();
        assert_eq!(ours, theirs, "leases");
        for id in LEASES {
            let lease = self.machine.leases.get(LeaseId(id));
            let ours: Vec<Bytes> =
                lease.map(|l| l.keys().map(Bytes::copy_from_slice).collect()).unwrap_or_default();
            assert_eq!(ours, self.oracle.lease_keys(id), "keys of lease {id}");
        }
    }

    fn assert_same<T: PartialEq + Debug>(
        &self,
        ours: &Result<T, String>,
        theirs: &Result<T, Refusal>,
        request: &dyn Debug,
    ) {
        let same = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => ours == theirs,
            (Err(ours), Err(theirs)) => ours == theirs,
            _ => false,
        };
        if !same {
            let trail = self.trail();
            panic!("{request:?} differs\nmachine {ours:?}\noracle  {theirs:?}\nafter\n{trail}");
        }
    }

    fn trail(&self) -> String {
        let steps: Vec<String> = self.trail.iter().map(|step| format!("{step:?}")).collect();
        steps.join("\n")
    }

    fn restart(&mut self) {
        self.machine = Machine::restore(&self.memory).expect("what was persisted can be restored");
    }
}

fn check_request(request: &Request) -> Result<(), Error> {
    let limits = Limits::default();
    match request {
        Request::Put(request) => check::put(request),
        Request::DeleteRange(request) => check::delete_range(request),
        Request::Txn(request) => check::txn(request, &limits),
        Request::Compaction(request) => check::compaction(request),
        // A grant is refused for its TTL at apply too, so that the alarms are asked first.
        _ => Ok(()),
    }
}

fn reply(response: Response) -> Reply {
    match response {
        Response::Put(response) => Reply::Put(response),
        Response::DeleteRange(response) => Reply::DeleteRange(response),
        Response::Txn(response) => Reply::Txn(response),
        Response::Compaction(response) => Reply::Compaction(response),
        Response::LeaseGrant(response) => Reply::LeaseGrant(response),
        Response::LeaseRevoke(response) => Reply::LeaseRevoke(response),
        Response::LeaseCheckpoint(_)
        | Response::Alarm(_)
        | Response::Members(_)
        | Response::None => Reply::Other,
    }
}
