//! A naive etcd: every revision's whole state, kept in a list.
//!
//! It is what property tests, fuzzers and the simulator's checkers compare the real machine with,
//! so it is written from the description of etcd's behaviour and without looking at `mvcc/`: no
//! index, no generations, no batches. Reading at a revision is looking at that list element;
//! compaction only moves the bound below which the list may not be read; a watch is the list of
//! changes. Each answer costs a walk over everything, which small key spaces make affordable.
//!
//! It speaks of refusals by etcd's exact text. It knows nothing of gRPC codes, of member
//! identities, of time, or of how a lease learns that it has expired: expiry is a revoke.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message as _;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request;
use reseed_proto::mvccpb::{Event, KeyValue, event::EventType};

use super::draft::{Draft, Version, header, holds, select, sort};
pub use super::rules::{check, range as check_range};

/// Why etcd says no: the exact text a client sees.
pub type Refusal = &'static str;

/// Text of a read or compaction below the compacted revision.
pub const COMPACTED: Refusal = "etcdserver: mvcc: required revision has been compacted";
/// Text of a read or compaction above the current revision.
pub const FUTURE: Refusal = "etcdserver: mvcc: required revision is a future revision";
/// Text of anything that needs room while the NOSPACE alarm is on.
pub const NO_SPACE: Refusal = "etcdserver: mvcc: database space exceeded";
/// Text of anything that goes through the log while the CORRUPT alarm is on.
pub const CORRUPT: Refusal = "etcdserver: corrupt cluster";
/// Text of a put that wants to keep what is not there, and of an operation that is none.
pub const KEY_NOT_FOUND: Refusal = "etcdserver: key not found";
/// Text of a request naming a lease that does not exist.
pub const LEASE_NOT_FOUND: Refusal = "etcdserver: requested lease not found";
/// Text of a grant under an id in use.
pub const LEASE_EXISTS: Refusal = "etcdserver: lease already exists";
/// Text of a grant above [`LEASE_TTL_SECS_MAX`].
pub const LEASE_TTL_TOO_LARGE: Refusal = "etcdserver: too large lease TTL";
/// The longest lease, in seconds.
pub const LEASE_TTL_SECS_MAX: i64 = 9_000_000_000;

/// What an applied request answers, with the revision in every header and no identities.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Answer to a put.
    Put(pb::PutResponse),
    /// Answer to a deletion.
    DeleteRange(pb::DeleteRangeResponse),
    /// Answer to a transaction.
    Txn(pb::TxnResponse),
    /// Answer to a compaction.
    Compaction(pb::CompactionResponse),
    /// Answer to a grant.
    LeaseGrant(pb::LeaseGrantResponse),
    /// Answer to a revoke.
    LeaseRevoke(pb::LeaseRevokeResponse),
    /// Answer to anything else: nothing a client would see.
    Other,
}

/// One lease, as far as it is replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Seconds granted.
    pub ttl: i64,
    /// Seconds left at the last checkpoint; 0 = none.
    pub remaining: i64,
}

/// The naive etcd.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// `versions[i]` is the store at revision `i + 1`: an empty store is at revision 1.
    versions: Vec<Version>,
    compacted: i64,
    lease_ttl_secs_min: i64,
    leases: BTreeMap<i64, Lease>,
    /// Member and type.
    alarms: BTreeSet<(u64, i32)>,
}

impl Oracle {
    /// An empty store that raises shorter leases to `lease_ttl_secs_min`.
    #[must_use]
    pub fn new(lease_ttl_secs_min: i64) -> Self {
        Self {
            versions: alloc::vec![Version::default()],
            compacted: -1,
            lease_ttl_secs_min,
            leases: BTreeMap::new(),
            alarms: BTreeSet::new(),
        }
    }

    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.versions.len() as i64
    }

    /// The revision of the last compaction; -1 before the first, as etcd shows it: so a first
    /// compaction at 0 is allowed.
    #[must_use]
    pub const fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Every lease, by id.
    #[must_use]
    pub const fn leases(&self) -> &BTreeMap<i64, Lease> {
        &self.leases
    }

    /// The keys now attached to a lease, in order.
    #[must_use]
    pub fn lease_keys(&self, id: i64) -> Vec<Bytes> {
        let attached = self.now().kvs.values().filter(|kv| id != 0 && kv.lease == id);
        attached.map(|kv| kv.key.clone()).collect()
    }

    /// The alarms that are on: member and type.
    #[must_use]
    pub const fn alarms(&self) -> &BTreeSet<(u64, i32)> {
        &self.alarms
    }

    /// Carries out one request that [`check`] let pass.
    ///
    /// # Errors
    /// etcd refuses it; nothing has changed.
    pub fn apply(&mut self, request: &Request) -> Result<Reply, Refusal> {
        self.admit(request)?;
        match request {
            Request::Put(put) => self.put(put),
            Request::DeleteRange(delete) => {
                let mut draft = self.draft();
                let response = draft.delete_range(delete);
                self.finish(draft);
                Ok(Reply::DeleteRange(response))
            }
            Request::Txn(txn) => self.txn(txn),
            Request::Compaction(compaction) => self.compact(compaction.revision),
            Request::LeaseGrant(grant) => self.lease_grant(grant),
            Request::LeaseRevoke(revoke) => self.lease_revoke(revoke.id),
            Request::LeaseCheckpoint(checkpoint) => {
                for one in &checkpoint.checkpoints {
                    if let Some(lease) = self.leases.get_mut(&one.id) {
                        lease.remaining = one.remaining_ttl.clamp(0, lease.ttl);
                    }
                }
                Ok(Reply::Other)
            }
            Request::Alarm(alarm) => {
                self.alarm(alarm);
                Ok(Reply::Other)
            }
            Request::MemberAttributes(_)
            | Request::MemberChange(_)
            | Request::ClusterVersion(_) => Ok(Reply::Other),
        }
    }

    /// What the alarms let through.
    fn admit(&self, request: &Request) -> Result<(), Refusal> {
        let on = |kind: pb::AlarmType| self.alarms.iter().any(|(_, k)| *k == kind as i32);
        let data = !matches!(
            request,
            Request::Alarm(_)
                | Request::LeaseCheckpoint(_)
                | Request::MemberAttributes(_)
                | Request::MemberChange(_)
                | Request::ClusterVersion(_)
        );
        if on(pb::AlarmType::Corrupt) && data {
            return Err(CORRUPT);
        }
        let grows = match request {
            Request::Put(_) | Request::LeaseGrant(_) => true,
            Request::Txn(txn) => has_put(txn),
            _ => false,
        };
        if on(pb::AlarmType::Nospace) && grows { Err(NO_SPACE) } else { Ok(()) }
    }

    /// Answers a range at its revision, as of now.
    ///
    /// # Errors
    /// The revision is compacted or in the future.
    pub fn range(&self, request: &pb::RangeRequest) -> Result<pb::RangeResponse, Refusal> {
        self.readable(request.revision)?;
        Ok(self.read(&self.draft(), request))
    }

    /// The changes from revision `from` on, one element per revision that has any, each revision's
    /// events in the order they happened; `prev_kv` is not set.
    ///
    /// # Errors
    /// `from` is compacted.
    pub fn changes_since(&self, from: i64) -> Result<Vec<(i64, Vec<Event>)>, Refusal> {
        if from < self.compacted {
            return Err(COMPACTED);
        }
        let all = (1_i64..).zip(&self.versions).filter(|(rev, _)| *rev >= from);
        Ok(all.map(|(rev, v)| (rev, v.changes.clone())).filter(|(_, c)| !c.is_empty()).collect())
    }

    /// The changes of one revision; none if it does not exist.
    #[must_use]
    pub fn changes_at(&self, revision: i64) -> &[Event] {
        self.version(revision).map_or(&[], |version| &version.changes)
    }

    /// How many records a backend holds once compaction is done: every change at its revision and
    /// above, for watches that start there, and below it the pairs of that revision.
    #[must_use]
    pub fn records(&self) -> usize {
        let mut records = 0;
        for (main, version) in (1_i64..).zip(&self.versions) {
            for (sub, event) in (0_i64..).zip(&version.changes) {
                let stays =
                    main >= self.compacted || self.is_visible(main, sub, event, self.compacted);
                records += usize::from(stays);
            }
        }
        records
    }

    /// The pair that `event` replaced, as a watcher asking for it gets it: the state one revision
    /// earlier, nothing if that is compacted.
    #[must_use]
    pub fn previous(&self, event: &Event) -> Option<KeyValue> {
        let kv = event.kv.as_ref()?;
        let before = kv.mod_revision - 1;
        if before < self.compacted.max(1) {
            return None;
        }
        self.version(before)?.kvs.get(&kv.key).cloned()
    }

    /// HashKV: CRC-32C over `key` and the records up to `revision` (0 = now). Of those at or below
    /// the compacted revision only the puts still visible at `revision` count, as in etcd.
    ///
    /// # Errors
    /// The revision is compacted or in the future.
    pub fn hash_kv(&self, revision: i64) -> Result<u32, Refusal> {
        self.readable(revision)?;
        let upto = if revision <= 0 { self.revision() } else { revision };
        let mut crc = crc32c(!0, b"key");
        for (main, version) in (1_i64..=upto).zip(&self.versions) {
            for (sub, event) in (0_i64..).zip(&version.changes) {
                if main > self.compacted || self.is_visible(main, sub, event, upto) {
                    let (key, value) = record(main, sub, event);
                    crc = crc32c(crc32c(crc, &key), &value);
                }
            }
        }
        Ok(!crc)
    }

    /// Whether a change is the put whose pair a read at `revision` returns.
    fn is_visible(&self, main: i64, sub: i64, event: &Event, revision: i64) -> bool {
        let kv = event.kv.as_ref().expect("every change names its key");
        let then = self.version(revision).and_then(|version| version.kvs.get(&kv.key));
        event.r#type == EventType::Put as i32
            && self.is_last_of_its_key(main, sub, event)
            && then.is_some_and(|visible| visible.mod_revision == main)
    }

    /// Whether no later change of the same revision is about the same key.
    fn is_last_of_its_key(&self, main: i64, sub: i64, event: &Event) -> bool {
        let key = event.kv.as_ref().map(|kv| &kv.key);
        let later = self.changes_at(main).iter().skip(sub as usize + 1);
        !later.into_iter().any(|later| later.kv.as_ref().map(|kv| &kv.key) == key)
    }

    fn now(&self) -> &Version {
        self.versions.last().expect("there is always a version")
    }

    fn version(&self, revision: i64) -> Option<&Version> {
        usize::try_from(revision - 1).ok().and_then(|i| self.versions.get(i))
    }

    fn readable(&self, revision: i64) -> Result<(), Refusal> {
        if revision > self.revision() {
            return Err(FUTURE);
        }
        if revision > 0 && revision < self.compacted {
            return Err(COMPACTED);
        }
        Ok(())
    }

    fn draft(&self) -> Draft {
        let next = Version { kvs: self.now().kvs.clone(), changes: Vec::new() };
        Draft { base: self.revision(), next }
    }

    /// A transaction that changed something is one more revision; else it never was.
    fn finish(&mut self, draft: Draft) {
        if !draft.next.changes.is_empty() {
            self.versions.push(draft.next);
        }
    }

    fn read(&self, draft: &Draft, request: &pb::RangeRequest) -> pb::RangeResponse {
        let kvs = match request.revision {
            ..=0 => &draft.next.kvs,
            at => &self.version(at).expect("checked before").kvs,
        };
        let mut found: Vec<KeyValue> =
            select(kvs, &request.key, &request.range_end).cloned().collect();
        let count = found.len() as i64;
        if request.count_only {
            found.clear();
        }
        found.retain(|kv| {
            let within =
                |rev: i64, min: i64, max: i64| (min == 0 || rev >= min) && (max == 0 || rev <= max);
            within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
                && within(
                    kv.create_revision,
                    request.min_create_revision,
                    request.max_create_revision,
                )
        });
        sort(&mut found, request);
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let more = limit > 0 && found.len() > limit;
        if more {
            found.truncate(limit);
        }
        if request.keys_only {
            found.iter_mut().for_each(|kv| kv.value.clear());
        }
        pb::RangeResponse { header: header(draft.revision()), kvs: found, more, count }
    }

    fn put(&mut self, put: &pb::PutRequest) -> Result<Reply, Refusal> {
        // etcd looks at the lease before the key here, and the other way round inside a
        // transaction.
        self.put_lease(put)?;
        self.put_key(put)?;
        let mut draft = self.draft();
        let response = draft.put(put);
        self.finish(draft);
        Ok(Reply::Put(response))
    }

    fn put_lease(&self, put: &pb::PutRequest) -> Result<(), Refusal> {
        let known = put.lease == 0 || self.leases.contains_key(&put.lease);
        if known { Ok(()) } else { Err(LEASE_NOT_FOUND) }
    }

    fn put_key(&self, put: &pb::PutRequest) -> Result<(), Refusal> {
        let keeps = put.ignore_value || put.ignore_lease;
        let there = !keeps || self.now().kvs.contains_key(&put.key);
        if there { Ok(()) } else { Err(KEY_NOT_FOUND) }
    }

    fn txn(&mut self, txn: &pb::TxnRequest) -> Result<Reply, Refusal> {
        self.txn_possible(txn)?;
        let mut draft = self.draft();
        let mut response = self.txn_branch(&mut draft, txn);
        response.header = header(draft.revision());
        self.finish(draft);
        Ok(Reply::Txn(response))
    }

    /// etcd decides the branches of nested transactions before the first operation runs, so all
    /// compares look at the state before the whole transaction (checked against etcd 3.4).
    fn taken<'t>(&self, txn: &'t pb::TxnRequest) -> (bool, &'t [pb::RequestOp]) {
        let succeeded = txn.compare.iter().all(|compare| holds(&self.now().kvs, compare));
        (succeeded, if succeeded { &txn.success } else { &txn.failure })
    }

    /// Whatever could fail half-way on the branches taken: first what the puts need, then what the
    /// ranges need (etcd goes through the operations twice).
    fn txn_possible(&self, txn: &pb::TxnRequest) -> Result<(), Refusal> {
        use pb::request_op::Request as Op;
        self.each_taken(txn, &|op| match op {
            Op::RequestPut(put) => {
                self.put_key(put)?;
                self.put_lease(put)
            }
            _ => Ok(()),
        })?;
        self.each_taken(txn, &|op| match op {
            // Alone, a negative revision means now; here etcd 3.4 compares it like any other.
            Op::RequestRange(range) if range.revision < self.compacted && range.revision != 0 => {
                Err(COMPACTED)
            }
            Op::RequestRange(range) => self.readable(range.revision),
            _ => Ok(()),
        })
    }

    fn each_taken(
        &self,
        txn: &pb::TxnRequest,
        look: &dyn Fn(&pb::request_op::Request) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        for op in self.taken(txn).1 {
            match op.request.as_ref().ok_or(KEY_NOT_FOUND)? {
                pb::request_op::Request::RequestTxn(nested) => self.each_taken(nested, look)?,
                op => look(op)?,
            }
        }
        Ok(())
    }

    fn txn_branch(&self, draft: &mut Draft, txn: &pb::TxnRequest) -> pb::TxnResponse {
        use pb::request_op::Request as Op;
        use pb::response_op::Response;
        let (succeeded, ops) = self.taken(txn);
        let mut responses = Vec::new();
        for op in ops {
            let response = match op.request.as_ref().expect("checked before") {
                Op::RequestRange(range) => Response::ResponseRange(self.read(draft, range)),
                Op::RequestPut(put) => Response::ResponsePut(draft.put(put)),
                Op::RequestDeleteRange(delete) => {
                    Response::ResponseDeleteRange(draft.delete_range(delete))
                }
                Op::RequestTxn(nested) => Response::ResponseTxn(self.txn_branch(draft, nested)),
            };
            responses.push(pb::ResponseOp { response: Some(response) });
        }
        // A nested transaction's header is there and empty.
        pb::TxnResponse { header: header(0), succeeded, responses }
    }

    fn compact(&mut self, revision: i64) -> Result<Reply, Refusal> {
        if revision <= self.compacted {
            return Err(COMPACTED);
        }
        if revision > self.revision() {
            return Err(FUTURE);
        }
        self.compacted = revision;
        Ok(Reply::Compaction(pb::CompactionResponse { header: header(self.revision()) }))
    }

    fn lease_grant(&mut self, grant: &pb::LeaseGrantRequest) -> Result<Reply, Refusal> {
        if grant.id == 0 {
            return Err(LEASE_NOT_FOUND);
        }
        if grant.ttl > LEASE_TTL_SECS_MAX {
            return Err(LEASE_TTL_TOO_LARGE);
        }
        if self.leases.contains_key(&grant.id) {
            return Err(LEASE_EXISTS);
        }
        let ttl = grant.ttl.max(self.lease_ttl_secs_min);
        self.leases.insert(grant.id, Lease { ttl, remaining: 0 });
        Ok(Reply::LeaseGrant(pb::LeaseGrantResponse {
            header: header(self.revision()),
            id: grant.id,
            ttl,
            ..Default::default()
        }))
    }

    fn lease_revoke(&mut self, id: i64) -> Result<Reply, Refusal> {
        if !self.leases.contains_key(&id) {
            return Err(LEASE_NOT_FOUND);
        }
        let mut draft = self.draft();
        for key in self.lease_keys(id) {
            draft.delete(&key);
        }
        self.leases.remove(&id);
        self.finish(draft);
        Ok(Reply::LeaseRevoke(pb::LeaseRevokeResponse { header: header(self.revision()) }))
    }

    fn alarm(&mut self, alarm: &pb::AlarmRequest) {
        let one = (alarm.member_id, alarm.alarm);
        if alarm.action == pb::alarm_request::AlarmAction::Activate as i32 {
            self.alarms.insert(one);
        } else if alarm.action == pb::alarm_request::AlarmAction::Deactivate as i32 {
            self.alarms.remove(&one);
        }
    }
}

/// Whether a transaction could cost space: the dearer of its branches counts, puts cost.
fn has_put(txn: &pb::TxnRequest) -> bool {
    use pb::request_op::Request as Op;
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        Some(Op::RequestPut(_)) => true,
        Some(Op::RequestTxn(nested)) => has_put(nested),
        _ => false,
    })
}

/// What a change leaves in the backend: revision key and encoded pair, the key alone for a
/// tombstone.
fn record(main: i64, sub: i64, event: &Event) -> (Vec<u8>, Vec<u8>) {
    let kv = event.kv.as_ref().expect("every change names its key");
    let mut key = main.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend(sub.to_be_bytes());
    if event.r#type == EventType::Delete as i32 {
        key.push(b't');
        let bare = KeyValue { key: kv.key.clone(), ..KeyValue::default() };
        return (key, bare.encode_to_vec());
    }
    (key, kv.encode_to_vec())
}

/// CRC-32C, a bit at a time: no table, nothing shared with the implementation.
pub(super) fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    crc
}
