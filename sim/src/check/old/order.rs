//! Real time and revisions agree.
//!
//! If A was answered before B was asked, B sees A: B's revision is no older than A's, and newer if
//! B writes. One sweep over all beginnings and ends in the order of time suffices: what counts of
//! the past is the newest revision answered so far. Writes whose client never got an answer take
//! part with the revision the timeline gives them.

use std::collections::BTreeMap;

use super::{Operation, Timeline, Violation};
use crate::kv_history::OpId;

/// Operations of one key or of many: revisions order them all.
pub(super) fn check(operations: &BTreeMap<OpId, Operation>, timeline: &Timeline) -> Vec<Violation> {
    let unanswered = unanswered_revisions(operations, timeline);
    let mut ends: Vec<(u64, i64, OpId)> = Vec::new();
    let mut begins: Vec<(u64, i64, &Operation)> = Vec::new();
    for operation in operations.values() {
        let answered = operation.response().map(|(at, response)| (at, response.revision));
        if let Some((at, revision)) = answered {
            ends.push((at, revision, operation.id));
        }
        let revision = answered.map(|(_, revision)| revision);
        if let Some(revision) = revision.or_else(|| unanswered.get(&operation.id).copied()) {
            begins.push((operation.invoked, revision, operation));
        }
    }
    ends.sort_unstable();
    begins.sort_unstable_by_key(|(at, _, operation)| (*at, operation.id));
    let mut violations = Vec::new();
    let mut newest: Option<(i64, OpId)> = None;
    let mut ends = ends.into_iter().peekable();
    for (begin, revision, operation) in begins {
        while let Some((_, ended, id)) = ends.next_if(|(at, _, _)| *at < begin) {
            newest = newest.max(Some((ended, id)));
        }
        let Some((seen, by)) = newest else { continue };
        let wrote = operation.response().is_none_or(|(_, response)| response.wrote);
        if revision < seen || (wrote && revision == seen) {
            let kind = if wrote { "a write" } else { "a read" };
            let story = format!(
                "{kind} has revision {revision}, but revision {seen} was answered before it began"
            );
            let class = if wrote { "order.write" } else { "order.stale" };
            violations.push(Violation::new(class, &[operation.id, by], story));
        }
    }
    violations
}

/// Revisions of writes that took effect without an answer.
fn unanswered_revisions(
    operations: &BTreeMap<OpId, Operation>,
    timeline: &Timeline,
) -> BTreeMap<OpId, i64> {
    let mut found = BTreeMap::new();
    for change in timeline.from(0) {
        let writer = change.now.as_ref().and_then(|now| timeline.writer(&now.value));
        if let Some(id) = writer
            && operations.get(&id).is_some_and(|operation| operation.response().is_none())
        {
            found.insert(id, change.revision);
        }
    }
    found
}
