//! Acknowledged means there, whatever failed afterwards.

use std::collections::BTreeMap;

use super::{Operation, Timeline, Violation};
use crate::kv_history::{OpId, Request};

/// Every acknowledged write is in the timeline, at its revision.
pub(super) fn check(operations: &BTreeMap<OpId, Operation>, timeline: &Timeline) -> Vec<Violation> {
    operations.values().filter_map(|operation| check_one(operation, timeline)).collect()
}

fn check_one(operation: &Operation, timeline: &Timeline) -> Option<Violation> {
    let (_, response) = operation.response()?;
    if !response.wrote {
        return None;
    }
    let (key, revision) = (operation.request.key(), response.revision);
    let lost = |found: String| {
        let story =
            format!("{key}: the write acknowledged at revision {revision} is lost; {found}");
        Some(Violation::new("durable.lost", &[operation.id], story))
    };
    let Some(change) = timeline.at(revision) else {
        return lost(format!("the store ends at {}", timeline.last()));
    };
    let same = match (&operation.request, &change.now) {
        (Request::Delete { key }, None) => *key == change.key,
        (request, Some(now)) => {
            change.key == request.key() && request.value() == Some(now.value.as_str())
        }
        (_, None) => false,
    };
    if same { None } else { lost(format!("that revision is {change:?}")) }
}
