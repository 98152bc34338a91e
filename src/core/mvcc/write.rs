//! One write transaction: puts and deletes that share a main revision.
//!
//! Each change takes the next sub-revision, enters the index, becomes a record of the batch and an
//! event. The main revision is spent only if something changed: a delete that finds nothing leaves
//! no trace. What a later operation of the same transaction reads is taken from the batch; the
//! position of a record in the batch is its sub-revision, so that needs no map.
//!
//! Refusals are decided by the caller before the first change: from then on nothing here fails
//! except a backend that cannot be read, after which the member stops.

use alloc::vec::Vec;

use bytes::Bytes;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::mvccpb::event::EventType;
use reseed_proto::mvccpb::{Event, KeyValue};

use super::key_range::KeyRange;
use super::range::{RangePlan, fetch};
use super::{Store, broken, header, record, revision};
use crate::error::Error;
use crate::id::{LeaseId, Revision};
use crate::lease;
use crate::port::{Batch, Op, Read, ReadError, Table, Visit};

/// A write transaction under way.
pub(crate) struct Write<'a> {
    store: &'a mut Store,
    leases: &'a mut lease::Table,
    base: &'a dyn Read,
    /// Where the next change goes.
    next: Revision,
    batch: Batch,
    events: Vec<Event>,
}

impl<'a> Write<'a> {
    pub(crate) fn begin(
        store: &'a mut Store,
        leases: &'a mut lease::Table,
        base: &'a dyn Read,
    ) -> Self {
        let main = store.revision.checked_add(1).expect("fewer than 2^63 writes");
        let next = Revision { main, sub: 0 };
        Self { store, leases, base, next, batch: Batch::default(), events: Vec::new() }
    }

    /// The revision an operation sees now: the transaction's own once it has changed something.
    pub(crate) fn revision(&self) -> i64 {
        if self.next.sub == 0 { self.store.revision } else { self.next.main }
    }

    /// Ends the transaction; the revision is spent if something changed.
    pub(crate) fn finish(self) -> (Batch, Vec<Event>) {
        self.store.revision = self.revision();
        (self.batch, self.events)
    }

    /// Puts a pair. What it wants to keep of a key that is gone (deleted by this transaction) is
    /// empty; etcd would stop there.
    pub(crate) fn put(&mut self, request: &pb::PutRequest) -> Result<pb::PutResponse, Error> {
        let previous = if request.prev_kv || request.ignore_value {
            self.current(&request.key)?
        } else {
            None
        };
        let value = match &previous {
            Some(kept) if request.ignore_value => kept.value.clone(),
            _ => request.value.clone(),
        };
        let lease = if request.ignore_lease {
            self.leases.of_key(&request.key)
        } else {
            LeaseId(request.lease)
        };
        let at = self.advance();
        let live = self.store.index.put(&request.key, at);
        let kv = KeyValue {
            key: request.key.clone(),
            create_revision: live.created,
            mod_revision: at.main,
            version: live.version,
            value,
            lease: lease.0,
        };
        if !(planted::on(Bug::PutKeepsOldLease) && lease.is_none()) {
            self.leases.attach(&request.key, lease);
        }
        self.batch.put(Table::Key, revision::put_key(at), record::encode(&kv));
        self.events.push(event(EventType::Put, kv));
        let prev_kv = previous.filter(|_| request.prev_kv);
        Ok(pb::PutResponse { header: header(at.main), prev_kv })
    }

    /// Deletes a range.
    pub(crate) fn delete_range(
        &mut self,
        request: &pb::DeleteRangeRequest,
    ) -> Result<pb::DeleteRangeResponse, Error> {
        let range = KeyRange::of(&request.key, &request.range_end);
        let mut prev_kvs = Vec::new();
        if request.prev_kv {
            // Through the same door as any range: the pairs that exist now.
            let all = pb::RangeRequest {
                key: request.key.clone(),
                range_end: request.range_end.clone(),
                ..pb::RangeRequest::default()
            };
            prev_kvs = self.range(&all)?.kvs;
        }
        let deleted = self.delete(range);
        let deleted = i64::try_from(deleted).expect("keys fit in memory");
        Ok(pb::DeleteRangeResponse { header: header(self.revision()), deleted, prev_kvs })
    }

    /// Deletes what exists of a range; returns how many keys that were.
    pub(crate) fn delete(&mut self, range: KeyRange<'_>) -> usize {
        let deleted = self.store.index.delete(range, self.next);
        for (key, _) in &deleted {
            let at = self.advance();
            self.leases.detach(key);
            let record = record::encode_tombstone(key.clone());
            self.batch.put(Table::Key, revision::tombstone_key(at), record);
            let kv = KeyValue { key: key.clone(), mod_revision: at.main, ..KeyValue::default() };
            self.events.push(event(EventType::Delete, kv));
        }
        deleted.len()
    }

    /// A range as the transaction sees it.
    pub(crate) fn range(&self, request: &pb::RangeRequest) -> Result<pb::RangeResponse, Error> {
        let plan = RangePlan::new(self.store, request, self.revision())?;
        let response = plan.finish(&self.pending());
        // Its revision is readable, so no value can be missing; apply must not depend on how far
        // this member's physical compaction has come.
        response.map_err(|error| match error {
            Error::Compacted => broken(format_args!("a record of {request:?} is missing")),
            error => error,
        })
    }

    fn current(&self, key: &[u8]) -> Result<Option<KeyValue>, Error> {
        let Some(live) = self.store.index.get(key).and_then(|index| index.live()) else {
            return Ok(None);
        };
        let kv = fetch(live.at, &self.pending())?;
        kv.map(Some).ok_or_else(|| broken(format_args!("record {} is missing", live.at)))
    }

    fn advance(&mut self) -> Revision {
        let at = self.next;
        debug_assert_eq!(self.batch.ops().len(), at.sub as usize, "one record per sub-revision");
        self.next.sub = at.sub.checked_add(1).expect("fewer changes than memory has bytes");
        at
    }

    fn pending(&self) -> Pending<'_> {
        Pending { base: self.base, main: self.next.main, ops: self.batch.ops() }
    }
}

fn event(kind: EventType, kv: KeyValue) -> Event {
    Event { r#type: kind as i32, kv: Some(kv), prev_kv: None }
}

/// The backend with the transaction's own records on top.
struct Pending<'a> {
    base: &'a dyn Read,
    main: i64,
    ops: &'a [Op],
}

impl Pending<'_> {
    /// The record of a revision of this transaction; `None` if `key` is of another.
    fn own(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let at = revision::decode(key)?.at;
        let record = || self.ops.get(usize::try_from(at.sub).ok()?)?.value.clone();
        (at.main == self.main).then(record)
    }
}

impl Read for Pending<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        match self.own(key) {
            Some(record) if table == Table::Key => Ok(record),
            _ => self.base.get(table, key),
        }
    }

    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let mut found = self.base.get_many(table, keys)?;
        if table == Table::Key && !self.ops.is_empty() {
            for (key, found) in keys.iter().zip(&mut found) {
                if let Some(record) = self.own(key) {
                    *found = record;
                }
            }
        }
        Ok(found)
    }

    /// Scans see the base alone: no operation of a transaction scans.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReadError> {
        self.base.scan(table, from, to, visit)
    }
}
