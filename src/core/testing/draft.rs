//! The naive etcd's transaction: the next revision's state while it is being made.
//!
//! Puts, deletions and the selection, sorting and comparing of pairs, each by a walk over all of
//! them. Whether an operation may happen at all is decided in `oracle.rs` before it gets here.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::mvccpb::{Event, KeyValue, event::EventType};

/// Everything the store held at one revision, and what made it so.
#[derive(Clone, Debug, Default)]
pub(super) struct Version {
    pub(super) kvs: BTreeMap<Bytes, KeyValue>,
    pub(super) changes: Vec<Event>,
}

/// A write transaction: the next version while it is being made.
pub(super) struct Draft {
    pub(super) base: i64,
    pub(super) next: Version,
}

impl Draft {
    /// The revision an operation sees: the next one as soon as something has changed.
    pub(super) fn revision(&self) -> i64 {
        self.base + i64::from(!self.next.changes.is_empty())
    }

    pub(super) fn put(&mut self, put: &pb::PutRequest) -> pb::PutResponse {
        let main = self.base + 1;
        let previous = self.next.kvs.get(&put.key).cloned();
        let (create_revision, version) =
            previous.as_ref().map_or((main, 1), |kv| (kv.create_revision, kv.version + 1));
        let kept = previous.as_ref();
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision,
            mod_revision: main,
            version,
            value: kept
                .filter(|_| put.ignore_value)
                .map_or(put.value.clone(), |kv| kv.value.clone()),
            lease: kept.filter(|_| put.ignore_lease).map_or(put.lease, |kv| kv.lease),
        };
        self.next.kvs.insert(put.key.clone(), kv.clone());
        self.next.changes.push(Event {
            r#type: EventType::Put as i32,
            kv: Some(kv),
            prev_kv: None,
        });
        pb::PutResponse { header: header(main), prev_kv: previous.filter(|_| put.prev_kv) }
    }

    pub(super) fn delete_range(
        &mut self,
        delete: &pb::DeleteRangeRequest,
    ) -> pb::DeleteRangeResponse {
        let gone: Vec<KeyValue> =
            select(&self.next.kvs, &delete.key, &delete.range_end).cloned().collect();
        gone.iter().for_each(|kv| self.delete(&kv.key));
        pb::DeleteRangeResponse {
            header: header(self.revision()),
            deleted: gone.len() as i64,
            prev_kvs: if delete.prev_kv { gone } else { Vec::new() },
        }
    }

    pub(super) fn delete(&mut self, key: &Bytes) {
        self.next.kvs.remove(key);
        let kv = KeyValue { key: key.clone(), mod_revision: self.base + 1, ..KeyValue::default() };
        self.next.changes.push(Event {
            r#type: EventType::Delete as i32,
            kv: Some(kv),
            prev_kv: None,
        });
    }
}

/// The pairs of a range in key order; see etcd's rules of `range_end`.
pub(super) fn select<'k>(
    kvs: &'k BTreeMap<Bytes, KeyValue>,
    key: &'k [u8],
    end: &'k [u8],
) -> impl Iterator<Item = &'k KeyValue> {
    kvs.values().filter(move |kv| match end {
        [] => kv.key.as_ref() == key,
        [0] => kv.key.as_ref() >= key,
        end => kv.key.as_ref() >= key && kv.key.as_ref() < end,
    })
}

pub(super) fn sort(kvs: &mut [KeyValue], request: &pb::RangeRequest) {
    use pb::range_request::SortTarget;
    // Stable on purpose: equal pairs stay in key order in both directions.
    let target = request.sort_target();
    kvs.sort_by(|a, b| {
        let order = match target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        let descending = request.sort_order() == pb::range_request::SortOrder::Descend;
        if descending { order.reverse() } else { order }
    });
}

/// Whether a compare holds for all pairs of its range, or for the absent pair if there is none.
pub(super) fn holds(kvs: &BTreeMap<Bytes, KeyValue>, compare: &pb::Compare) -> bool {
    let mut found = select(kvs, &compare.key, &compare.range_end).peekable();
    if found.peek().is_none() {
        let on_value = compare.target == pb::compare::CompareTarget::Value as i32;
        return !on_value && holds_for(&KeyValue::default(), compare);
    }
    found.all(|kv| holds_for(kv, compare))
}

fn holds_for(kv: &KeyValue, compare: &pb::Compare) -> bool {
    use core::cmp::Ordering;
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let union = compare.target_union.as_ref();
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => kv.version.cmp(&match union {
            Some(TargetUnion::Version(v)) => *v,
            _ => 0,
        }),
        Ok(CompareTarget::Create) => kv.create_revision.cmp(&match union {
            Some(TargetUnion::CreateRevision(v)) => *v,
            _ => 0,
        }),
        Ok(CompareTarget::Mod) => kv.mod_revision.cmp(&match union {
            Some(TargetUnion::ModRevision(v)) => *v,
            _ => 0,
        }),
        Ok(CompareTarget::Lease) => kv.lease.cmp(&match union {
            Some(TargetUnion::Lease(v)) => *v,
            _ => 0,
        }),
        Ok(CompareTarget::Value) => kv.value.cmp(&match union {
            Some(TargetUnion::Value(v)) => v.clone(),
            _ => Bytes::new(),
        }),
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "headers are optional on the wire")]
pub(super) fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}
