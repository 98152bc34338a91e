//! Short ways to say common requests.

use super::values::prefix_end;
use crate::history::{
    Body, Request,
    request::{Compare, Delete, Pair, Put, Range, Relation, Step, Target},
};

/// One key.
pub(super) fn get(key: &str) -> Range {
    Range { key: key.to_owned(), ..Range::default() }
}

/// All keys with a prefix.
pub(super) fn list(prefix: &str) -> Range {
    Range { key: prefix.to_owned(), end: prefix_end(prefix), ..Range::default() }
}

/// Writes a key.
pub(super) fn put(key: &str, value: String) -> Put {
    Put { key: key.to_owned(), value, ..Put::default() }
}

/// Deletes a key.
pub(super) fn delete(key: &str) -> Delete {
    Delete { key: key.to_owned(), ..Delete::default() }
}

/// `key` was last modified at `revision`; 0: it is not there.
pub(super) fn modified_at(key: &str, revision: i64) -> Compare {
    equal(key, Target::Mod(revision))
}

/// `key` was created at `revision`; 0: it is not there.
pub(super) fn created_at(key: &str, revision: i64) -> Compare {
    equal(key, Target::Create(revision))
}

fn equal(key: &str, target: Target) -> Compare {
    Compare { key: key.to_owned(), end: String::new(), is: Relation::Equal, target }
}

/// The pairs of a range's answer; of anything else: none.
pub(super) fn pairs(body: &Body) -> &[Pair] {
    match body {
        Body::Range { kvs, .. } => kvs,
        _ => &[],
    }
}

/// The pairs that the steps of a transaction's answer read.
pub(super) fn pairs_of_steps(body: &Body) -> impl Iterator<Item = &Pair> {
    let steps = match body {
        Body::Txn { steps, .. } => steps.as_slice(),
        _ => &[],
    };
    steps.iter().flat_map(pairs)
}

impl From<Range> for Request {
    fn from(ask: Range) -> Self {
        Self::Range(ask)
    }
}

impl From<Put> for Request {
    fn from(ask: Put) -> Self {
        Self::Put(ask)
    }
}

impl From<Delete> for Request {
    fn from(ask: Delete) -> Self {
        Self::Delete(ask)
    }
}

impl From<Range> for Step {
    fn from(ask: Range) -> Self {
        Self::Range(ask)
    }
}

impl From<Put> for Step {
    fn from(ask: Put) -> Self {
        Self::Put(ask)
    }
}

impl From<Delete> for Step {
    fn from(ask: Delete) -> Self {
        Self::Delete(ask)
    }
}

/// Lists, raises or ends alarms of a kind: those of a member, or with 0 in a list everybody's.
pub(super) fn alarm(action: &str, alarm: &str, member: u64) -> Request {
    Request::Alarm { action: action.to_owned(), alarm: alarm.to_owned(), member }
}
