//! Watchers see the timeline: from where they started, everything, once, in order.
//!
//! A watcher that loses its stream opens another from the revision after the last it saw; all its
//! streams together must read as one. How far behind a watcher ends is not judged here.

use std::collections::BTreeMap;

use super::{Timeline, Violation};
use crate::kv_history::{Change, Event, What};

/// What one watcher has seen.
#[derive(Default)]
struct Seen {
    /// The next revision it must see; unknown before it opens.
    next: Option<i64>,
    violated: bool,
}

/// Checks each watcher; of each only its first violation, for later ones follow from it.
pub(super) fn check(history: &[Event], timeline: &Timeline) -> Vec<Violation> {
    let mut watchers: BTreeMap<u32, Seen> = BTreeMap::new();
    let mut violations = Vec::new();
    for event in history {
        let name = event.client;
        let seen = watchers.entry(name).or_default();
        if seen.violated {
            continue;
        }
        match &event.what {
            What::WatchOpen { start_revision } => {
                seen.next.get_or_insert(*start_revision);
            }
            What::Watched { revision, events } => {
                let wrong = events.iter().find_map(|change| follow(seen, change, timeline));
                let wrong = wrong.or_else(|| header(events, *revision));
                if let Some((class, story)) = wrong {
                    seen.violated = true;
                    let story = format!("watcher {name}: {story}");
                    violations.push(Violation::new(class, &[], story));
                }
            }
            What::Invoke { .. } | What::Ok { .. } | What::Fail { .. } | What::Unknown { .. } => {}
        }
    }
    violations
}

/// Takes one change; what is wrong with it, if anything.
fn follow(seen: &mut Seen, change: &Change, timeline: &Timeline) -> Option<(&'static str, String)> {
    let Some(next) = seen.next else {
        return Some(("watch.unasked", "got events before it asked for any".to_owned()));
    };
    let revision = change.revision;
    if revision < next {
        let story = format!("got revision {revision} again or out of order, {next} was due");
        return Some(("watch.order", story));
    }
    let due = timeline.from(next).next().map(|due| due.revision);
    if due.is_some_and(|due| due < revision) {
        let story = format!("got revision {revision} without {}", due.unwrap_or_default());
        return Some(("watch.gap", story));
    }
    if timeline.at(revision) != Some(change) {
        let right = timeline.at(revision);
        return Some(("watch.wrong", format!("got {change:?}, the store has {right:?}")));
    }
    seen.next = Some(revision + 1);
    None
}

/// A response's header is no older than its events.
fn header(events: &[Change], revision: i64) -> Option<(&'static str, String)> {
    let newest = events.iter().map(|change| change.revision).max()?;
    let story = format!("got revision {newest} under a header of revision {revision}");
    (newest > revision).then_some(("watch.header", story))
}
