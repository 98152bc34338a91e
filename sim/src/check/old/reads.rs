//! What was read is what was there at the revision of the answer.

use std::collections::BTreeMap;

use super::{Operation, Timeline, Violation};
use crate::kv_history::{OpId, Request, Response};

/// Gets, swaps either way, and deletes that found nothing.
pub(super) fn check(operations: &BTreeMap<OpId, Operation>, timeline: &Timeline) -> Vec<Violation> {
    operations
        .values()
        .filter_map(|operation| {
            let (_, response) = operation.response()?;
            let story = wrong(&operation.request, response, timeline)?;
            Some(Violation::new("reads.wrong", &[operation.id], story))
        })
        .collect()
}

/// How an answer contradicts the timeline.
fn wrong(request: &Request, response: &Response, timeline: &Timeline) -> Option<String> {
    let (key, revision) = (request.key(), response.revision);
    if revision > timeline.last() {
        return Some(format!(
            "{key} was answered at revision {revision}, the store ends at {}",
            timeline.last()
        ));
    }
    let before = timeline.state(key, if response.wrote { revision - 1 } else { revision });
    let before_revision = before.map_or(0, |before| before.mod_revision);
    match request {
        Request::Get { .. } if response.found.as_ref() != before => {
            Some(format!("{key} read {:?} at revision {revision}, is {before:?}", response.found))
        }
        Request::Swap { expected, .. } if response.wrote && *expected != before_revision => {
            Some(format!(
                "{key} was swapped at revision {revision} for mod revision {expected}, \
                 was {before_revision}"
            ))
        }
        Request::Swap { expected, .. } if !response.wrote && *expected == before_revision => Some(
            format!("{key} was not swapped at revision {revision}, though it was at {expected}"),
        ),
        Request::Swap { .. } if !response.wrote && response.found.as_ref() != before => {
            Some(format!("{key} read {:?} at revision {revision}, is {before:?}", response.found))
        }
        Request::Delete { .. } if !response.wrote && before.is_some() => {
            Some(format!("{key} was not deleted at revision {revision}, though it was there"))
        }
        Request::Put { .. }
        | Request::Get { .. }
        | Request::Delete { .. }
        | Request::Swap { .. } => None,
    }
}
