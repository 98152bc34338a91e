//! The narrower checker of `kv_history`, until the workloads record the new schema.
//!
//! etcd numbers its states: every answer carries the revision it belongs to. That makes checking
//! near-linear. After a run an auditor, on an idle and healed cluster, watches everything from the
//! beginning; its events give the one order of all writes, the *timeline*. Then
//!
//! 1. `timeline`: it is dense, each write in it was asked for, none twice, and the final state is
//!    what it adds up to;
//! 2. `durable`: every acknowledged write is in it, at the revision that was acknowledged;
//! 3. `order`: no operation belongs to a revision older than one that was answered before it was
//!    asked (linearizability in real time);
//! 4. `reads`: what was read is what the timeline says for the revision of the answer;
//! 5. `watch`: each watcher saw the timeline from its start on, each event once, in order.
//!
//! A bug that hides a write from the auditor too is found by 1 (a hole) or 2. The model here is a
//! map of strings and shares no code with the server. Not checked yet: leases, ranges over several
//! keys, compaction, several members.

mod durable;
mod order;
mod reads;
mod timeline;
mod watch;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use timeline::Timeline;

use super::Violation;
use crate::kv_history::{Change, Event, OpId, Request, Response, Version, What};

/// What the auditor found at the end.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Audit {
    /// Every change since the beginning, as a watcher from revision 1 saw them.
    pub changes: Vec<Change>,
    /// Every key, read linearizably.
    pub state: BTreeMap<String, Version>,
    /// The store's revision.
    pub revision: i64,
}

/// An operation, put together from its events.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: OpId,
    pub(crate) invoked: u64,
    pub(crate) request: Request,
    pub(crate) outcome: Outcome,
}

/// How an operation ended for its client.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Ok { at: u64, response: Response },
    Failed,
    Unknown,
}

impl Operation {
    pub(crate) fn response(&self) -> Option<(u64, &Response)> {
        match &self.outcome {
            Outcome::Ok { at, response } => Some((*at, response)),
            Outcome::Failed | Outcome::Unknown => None,
        }
    }
}

/// The operations of a history, by id. What has no outcome is unknown.
pub(crate) fn operations(history: &[Event]) -> BTreeMap<OpId, Operation> {
    let mut operations = BTreeMap::new();
    for event in history {
        match &event.what {
            What::Invoke { op, request } => {
                let (id, invoked, outcome) = (*op, event.at, Outcome::Unknown);
                let request = request.clone();
                operations.insert(id, Operation { id, invoked, request, outcome });
            }
            What::Ok { op, response } => {
                set_outcome(
                    &mut operations,
                    *op,
                    Outcome::Ok { at: event.at, response: response.clone() },
                );
            }
            What::Fail { op, .. } => set_outcome(&mut operations, *op, Outcome::Failed),
            What::Unknown { .. } | What::WatchOpen { .. } | What::Watched { .. } => {}
        }
    }
    operations
}

fn set_outcome(operations: &mut BTreeMap<OpId, Operation>, op: OpId, outcome: Outcome) {
    if let Some(operation) = operations.get_mut(&op) {
        operation.outcome = outcome;
    }
}

/// Checks everything; all violations, the most telling first.
#[must_use]
pub fn check(history: &[Event], audit: &Audit) -> Vec<Violation> {
    let operations = operations(history);
    let (timeline, mut violations) = Timeline::build(&operations, audit);
    violations.splice(0..0, durable::check(&operations, &timeline));
    violations.extend(order::check(&operations, &timeline));
    violations.extend(reads::check(&operations, &timeline));
    violations.extend(watch::check(history, &timeline));
    violations
}

#[cfg(test)]
mod tests;
