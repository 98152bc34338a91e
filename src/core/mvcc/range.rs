//! Ranges, in two steps: which revisions (from the index, under the lock), then their values (from
//! the backend, without it).
//!
//! What is decided when, as etcd's clients see it: `count` is every key in the range at the
//! revision, whatever the filters and the limit; filters come next, then the order, then the
//! limit, then `more`. As much of this as can be is done on revisions alone, so that a range with
//! a limit fetches no value it will not return: order by key or by mod revision and the filters of
//! mod revisions need no values; order by version, create revision or value and the filters of
//! create revisions do.

use alloc::format;
use alloc::vec::Vec;

use bytes::Bytes;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use reseed_proto::mvccpb::KeyValue;
use reseed_proto::wire::EncodedRangeResponse;

use super::key_range::KeyRange;
use super::{Store, header, record, revision};
use crate::error::Error;
use crate::id::Revision;
use crate::port::{Read, Table};

/// A range whose keys and revisions are decided; only the values are missing.
#[derive(Clone, Debug)]
pub struct RangePlan {
    revision: i64,
    count: usize,
    more: bool,
    keys_only: bool,
    /// Backend keys of the values, in the order of the answer unless `late` changes it.
    keys: Vec<Bytes>,
    /// What has to wait for the values.
    late: Option<Late>,
}

/// The part of a range that looks into the pairs.
#[derive(Clone, Debug)]
struct Late {
    created: Bounds,
    sort: Option<Sort>,
    limit: usize,
}

/// A filter by revision; 0 = no bound.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    min: i64,
    max: i64,
}

/// An order other than ascending keys.
#[derive(Clone, Copy, Debug)]
struct Sort {
    target: SortTarget,
    is_descending: bool,
}

impl RangePlan {
    /// Plans `request` as seen at revision `now`, the current one.
    pub(crate) fn new(store: &Store, request: &pb::RangeRequest, now: i64) -> Result<Self, Error> {
        let at = store.readable(request.revision, now)?;
        let limit = usize::try_from(request.limit).ok().filter(|n| *n > 0).unwrap_or(usize::MAX);
        let modified = Bounds { min: request.min_mod_revision, max: request.max_mod_revision };
        let created = Bounds { min: request.min_create_revision, max: request.max_create_revision };
        let sort = Sort::of(request);
        let early_sort = sort.filter(|s| matches!(s.target, SortTarget::Key | SortTarget::Mod));
        let is_late = created.is_set() || (sort.is_some() && early_sort.is_none());
        // How many to remember: with nothing left to decide, the limit and no more.
        let kept_max = match () {
            () if request.count_only => 0,
            () if planted::on(Bug::LimitBeforeSort) => limit,
            () if is_late || early_sort.is_some() => usize::MAX,
            () => limit,
        };

        let (mut count, mut matched) = (0, 0);
        let mut found: Vec<Revision> = Vec::new();
        let range = KeyRange::of(&request.key, &request.range_end);
        for (_, key) in store.index.range(range) {
            let Some(rev) = key.at(at) else { continue };
            count += 1;
            if modified.admit(rev.main) {
                matched += 1;
                if found.len() < kept_max {
                    found.push(rev);
                } else if planted::on(Bug::CountStopsAtLimit) && kept_max > 0 {
                    break;
                }
            }
        }

        if let Some(sort) = early_sort {
            sort.apply_to_revisions(&mut found);
        }
        if !is_late {
            found.truncate(limit);
        }
        Ok(Self {
            revision: now,
            count,
            more: !request.count_only && !is_late && matched > limit,
            keys_only: request.keys_only,
            keys: backend_keys(&found),
            late: is_late.then_some(Late {
                created,
                sort: sort.filter(|_| early_sort.is_none()),
                limit,
            }),
        })
    }

    /// How many values will be fetched.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no value will be fetched.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Fetches the values and finishes the answer; its header carries the revision only.
    ///
    /// # Errors
    /// `Compacted` if a value vanished since the plan was made; the backend cannot be read.
    pub fn finish(self, read: &dyn Read) -> Result<pb::RangeResponse, Error> {
        let mut kvs = fetch_all(&self.keys, read)?;
        let mut more = self.more;
        if let Some(late) = self.late {
            more = late.apply(&mut kvs);
        }
        if self.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
            if planted::on(Bug::KeysOnlyDropsLease) {
                kvs.iter_mut().for_each(|kv| kv.lease = 0);
            }
        }
        let count = i64::try_from(self.count).unwrap_or(i64::MAX);
        Ok(pb::RangeResponse { header: header(self.revision), kvs, more, count })
    }
}

impl RangePlan {
    /// As [`Self::finish`], but gives pairs as they are stored: for most ranges nothing is decoded
    /// only to be encoded again.
    ///
    /// # Errors
    /// As there.
    pub fn finish_encoded(self, read: &dyn Read) -> Result<EncodedRangeResponse, Error> {
        if self.late.is_some() || self.keys_only {
            let pb::RangeResponse { header, kvs, more, count } = self.finish(read)?;
            let kvs = kvs.iter().map(record::encode).collect();
            return Ok(EncodedRangeResponse { header, kvs, more, count });
        }
        let kvs = records(&self.keys, read)?;
        let count = i64::try_from(self.count).unwrap_or(i64::MAX);
        Ok(EncodedRangeResponse { header: header(self.revision), kvs, more: self.more, count })
    }
}

impl Late {
    /// Filters, sorts and cuts; returns whether something was cut.
    fn apply(&self, kvs: &mut Vec<KeyValue>) -> bool {
        if self.created.is_set() {
            kvs.retain(|kv| self.created.admit(kv.create_revision));
        }
        if let Some(sort) = self.sort {
            sort.apply_to_pairs(kvs);
        }
        let more = kvs.len() > self.limit;
        kvs.truncate(self.limit);
        more
    }
}

impl Bounds {
    const fn is_set(self) -> bool {
        self.min != 0 || self.max != 0
    }

    fn admit(self, rev: i64) -> bool {
        let max = self.max - i64::from(planted::on(Bug::ModBoundExclusive));
        (self.min == 0 || self.min <= rev) && (self.max == 0 || rev <= max)
    }
}

impl Sort {
    /// The order asked for; `None` if it is that of the keys. A target without an order means
    /// ascending.
    fn of(request: &pb::RangeRequest) -> Option<Self> {
        let target = request.sort_target();
        let is_descending = request.sort_order() == SortOrder::Descend;
        (is_descending || target != SortTarget::Key).then_some(Self { target, is_descending })
    }

    /// Sorts revisions that are in key order; equal ones stay in it.
    fn apply_to_revisions(self, revisions: &mut [Revision]) {
        match (self.target, self.is_descending) {
            (SortTarget::Key, _) => revisions.reverse(),
            (_, false) => revisions.sort_by_key(|rev| rev.main),
            (_, true) => revisions.sort_by_key(|rev| core::cmp::Reverse(rev.main)),
        }
    }

    /// Sorts pairs that are in key order; equal ones stay in it.
    fn apply_to_pairs(self, kvs: &mut [KeyValue]) {
        kvs.sort_by(|a, b| {
            let order = match self.target {
                SortTarget::Key => a.key.cmp(&b.key),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.create_revision.cmp(&b.create_revision),
                SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
                SortTarget::Value => a.value.cmp(&b.value),
            };
            if self.is_descending { order.reverse() } else { order }
        });
    }
}

/// The pair put at `at`, or `None` if it is not there (any more).
pub(crate) fn fetch(at: Revision, read: &dyn Read) -> Result<Option<KeyValue>, Error> {
    let record = read.get(Table::Key, &revision::encode(at))?;
    record.map(|record| decode(&record)).transpose()
}

fn fetch_all(keys: &[Bytes], read: &dyn Read) -> Result<Vec<KeyValue>, Error> {
    records(keys, read)?.iter().map(decode).collect()
}

/// The records under `keys`, all of them or none.
fn records(keys: &[Bytes], read: &dyn Read) -> Result<Vec<Bytes>, Error> {
    let found = match keys {
        [] => return Ok(Vec::new()),
        // Most ranges are of one key.
        [key] => alloc::vec![read.get(Table::Key, key)?],
        _ => read.get_many(Table::Key, keys)?,
    };
    found.into_iter().map(|record| record.ok_or(Error::Compacted)).collect()
}

fn decode(record: &Bytes) -> Result<KeyValue, Error> {
    record::decode(record).ok_or_else(|| Error::Broken(format!("record {record:02x?} is no pair")))
}

/// The backend keys of `revisions`, all in one allocation.
fn backend_keys(revisions: &[Revision]) -> Vec<Bytes> {
    let all: Vec<u8> = revisions.iter().flat_map(|rev| revision::encode(*rev)).collect();
    let all = Bytes::from(all);
    let starts = (0..all.len()).step_by(revision::PUT_LEN);
    starts.map(|start| all.slice(start..start + revision::PUT_LEN)).collect()
}
