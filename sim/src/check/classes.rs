//! The names of all violations there are, and who can find them again.
//!
//! A class is known here or nowhere: an expectation that misspells one would never be met. What
//! each means is in `docs/checks.md`.

/// What [`check`](super::check) finds in a history, with its audit or without.
pub const OF_HISTORIES: &[&str] = &[
    "alarm.members",
    "answers.accepted",
    "answers.kind",
    "answers.refused",
    "compaction.back",
    "compaction.future",
    "compaction.ignored",
    "compaction.phantom",
    "delete.count",
    "delete.prev",
    "durable.compaction",
    "durable.lost",
    "durable.seen",
    "hash.differ",
    "hash.members",
    "lease.early",
    "lease.exists",
    "lease.keys",
    "lease.keys_left",
    "lease.late",
    "lease.members",
    "lease.partial",
    "lease.stretched",
    "lease.ttl",
    "lease.twice",
    "lease.unknown",
    "lease.zombie",
    "lock.order",
    "lock.overlap",
    "lock.token",
    "member.back",
    "member.future",
    "order.future",
    "order.stale",
    "order.watch_staleness",
    "order.write",
    "put.prev",
    "reads.count",
    "reads.future",
    "reads.more",
    "reads.order",
    "reads.wrong",
    "snapshot.broken",
    "timeline.counters",
    "timeline.delete",
    "timeline.double",
    "timeline.effect",
    "timeline.final",
    "timeline.gap",
    "timeline.hidden",
    "timeline.order",
    "timeline.phantom",
    "timeline.refused",
    "timeline.twice",
    "txn.branch",
    "txn.steps",
    "txn.torn",
    "watch.accepted",
    "watch.after_end",
    "watch.atomic",
    "watch.below_start",
    "watch.compacted",
    "watch.create",
    "watch.created",
    "watch.filter",
    "watch.fragment",
    "watch.future",
    "watch.gap",
    "watch.header",
    "watch.order",
    "watch.phantom",
    "watch.prev_kv",
    "watch.progress",
    "watch.progress_back",
    "watch.range",
    "watch.refused",
    "watch.resume",
    "watch.unique",
    "watch.value",
];

/// What only a run shows: no history tells of it.
pub const OF_RUNS: &[&str] = &[
    "boot.refused",
    "explore.error",
    "explore.watch_id",
    "halted",
    "live.boot",
    "live.clients",
    "live.hang",
    "live.leases",
    "live.member",
    "live.spin",
    "live.standstill",
    "live.stuck",
    "live.watch",
    "live.write",
    "lock.observer",
    "log.error",
    "member.promoted",
    "member.roster",
    "panic",
    "raft.complete",
    "raft.leader",
    "raft.log",
    "raft.lost",
    "raft.machine",
    "raft.order",
    "raft.vote",
];

/// What is found in histories of other products.
pub const OF_OTHERS: &[&str] = &[
    "append.aborted",
    "append.cycle",
    "append.internal",
    "append.order",
    "append.phantom",
    "wgl.impossible",
];

/// Every class that a run can end with.
pub fn all() -> impl Iterator<Item = &'static str> {
    OF_HISTORIES.iter().chain(OF_RUNS).copied()
}

/// Whether judging the history again says whether it is so.
#[must_use]
pub fn is_of_histories(class: &str) -> bool {
    OF_HISTORIES.contains(&class)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Names fields of requests in the same form.
    const NOT_OF_CLASSES: &str = "coverage.rs";

    fn quoted(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                quoted(&path, found);
            } else if !path.ends_with(NOT_OF_CLASSES) && !path.ends_with("classes.rs") {
                let text = fs::read_to_string(&path).expect("text");
                found.extend(text.split('"').map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_class_that_the_sources_name_is_known() {
        let known: BTreeSet<&str> = all().chain(OF_OTHERS.iter().copied()).collect();
        assert_eq!(known.len(), OF_HISTORIES.len() + OF_RUNS.len() + OF_OTHERS.len());
        let families: BTreeSet<&str> =
            known.iter().filter_map(|class| Some(class.split_once('.')?.0)).collect();
        let mut found = BTreeSet::new();
        quoted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let is_class = |word: &&String| {
            let parts = word.split_once('.');
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            parts.is_some_and(|(family, rule)| {
                families.contains(family) && !rule.is_empty() && rule.chars().all(is_name)
            })
        };
        let named: BTreeSet<&str> = found.iter().filter(is_class).map(String::as_str).collect();
        let dotted: BTreeSet<&str> =
            known.iter().copied().filter(|class| class.contains('.')).collect();
        assert_eq!(named, dotted);
    }
}
