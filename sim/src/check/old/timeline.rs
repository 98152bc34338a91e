//! The one order of all writes, from the auditor's watch, and the states in between.

use std::collections::BTreeMap;

use super::{Audit, Operation, Outcome, Violation};
use crate::kv_history::{Change, OpId, Version};

/// The first revision a write can have; an empty store is at 1.
const FIRST: i64 = 2;

/// Every write in its order, and who asked for it.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Writes by revision.
    changes: BTreeMap<i64, Change>,
    /// Per key, its state after each revision that changed it.
    states: BTreeMap<String, BTreeMap<i64, Option<Version>>>,
    /// The operation that wrote a value, by value.
    writers: BTreeMap<String, OpId>,
    /// The store's last revision.
    last: i64,
}

impl Timeline {
    pub(super) fn build(
        operations: &BTreeMap<OpId, Operation>,
        audit: &Audit,
    ) -> (Self, Vec<Violation>) {
        let mut timeline = Self { last: audit.revision, ..Self::default() };
        for operation in operations.values() {
            if let Some(value) = operation.request.value() {
                timeline.writers.insert(value.to_owned(), operation.id);
            }
        }
        let mut violations = Vec::new();
        for change in &audit.changes {
            timeline.add(change, &mut violations);
        }
        timeline.check_dense(&mut violations);
        timeline.check_writers(operations, &mut violations);
        timeline.check_final(audit, &mut violations);
        (timeline, violations)
    }

    /// The write at a revision.
    #[must_use]
    pub fn at(&self, revision: i64) -> Option<&Change> {
        self.changes.get(&revision)
    }

    /// Writes from a revision on.
    pub fn from(&self, revision: i64) -> impl Iterator<Item = &Change> {
        self.changes.range(revision..).map(|(_, change)| change)
    }

    /// What a key is at a revision.
    #[must_use]
    pub fn state(&self, key: &str, revision: i64) -> Option<&Version> {
        let (_, state) = self.states.get(key)?.range(..=revision).next_back()?;
        state.as_ref()
    }

    /// Who wrote a value, if anybody asked for it.
    #[must_use]
    pub fn writer(&self, value: &str) -> Option<OpId> {
        self.writers.get(value).copied()
    }

    /// The store's last revision.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.last
    }

    /// Adds a change and checks that its counters continue those of its key.
    fn add(&mut self, change: &Change, violations: &mut Vec<Violation>) {
        let Change { key, revision, now } = change;
        if self.changes.insert(*revision, change.clone()).is_some() {
            let story = format!("two writes have revision {revision}");
            violations.push(Violation::new("timeline.double", &[], story));
        }
        let before = self.state(key, revision - 1).cloned();
        if let Some(now) = now {
            let (create_revision, version) = match &before {
                Some(before) => (before.create_revision, before.version + 1),
                None => (*revision, 1),
            };
            let value = now.value.clone();
            let right = Version { value, mod_revision: *revision, create_revision, version };
            if *now != right {
                let story = format!("{key} at revision {revision} is {now:?}, not {right:?}");
                violations.push(Violation::new("timeline.counters", &[], story));
            }
        } else if before.is_none() {
            let story = format!("{key} is deleted at revision {revision}, but was not there");
            violations.push(Violation::new("timeline.delete", &[], story));
        }
        self.states.entry(key.clone()).or_default().insert(*revision, now.clone());
    }

    /// Each write takes the next revision.
    fn check_dense(&self, violations: &mut Vec<Violation>) {
        let missing = (FIRST..=self.last).find(|revision| !self.changes.contains_key(revision));
        if let Some(missing) = missing {
            let story = format!("no write has revision {missing}, the store is at {}", self.last);
            violations.push(Violation::new("timeline.gap", &[], story));
        }
        if let Some((beyond, _)) = self.changes.range(self.last + 1..).next() {
            let story = format!("a write has revision {beyond}, the store is at {}", self.last);
            violations.push(Violation::new("timeline.beyond", &[], story));
        }
    }

    /// Each value was asked for, by an operation that was not refused, and is there once.
    fn check_writers(
        &self,
        operations: &BTreeMap<OpId, Operation>,
        violations: &mut Vec<Violation>,
    ) {
        let mut seen: BTreeMap<&str, i64> = BTreeMap::new();
        for (revision, change) in &self.changes {
            let Some(now) = &change.now else { continue };
            let Some(writer) = self.writer(&now.value).and_then(|id| operations.get(&id)) else {
                let story = format!("nobody asked for {:?} at revision {revision}", now.value);
                violations.push(Violation::new("timeline.phantom", &[], story));
                continue;
            };
            if writer.request.key() != change.key {
                let story = format!("{:?} was meant for another key", change);
                violations.push(Violation::new("timeline.key", &[writer.id], story));
            }
            if matches!(writer.outcome, Outcome::Failed) {
                let story = format!("a refused write took effect at revision {revision}");
                violations.push(Violation::new("timeline.refused", &[writer.id], story));
            }
            if let Some(first) = seen.insert(&now.value, *revision) {
                let story = format!("one write took effect at revisions {first} and {revision}");
                violations.push(Violation::new("timeline.twice", &[writer.id], story));
            }
        }
    }

    /// The final state is what the changes add up to.
    fn check_final(&self, audit: &Audit, violations: &mut Vec<Violation>) {
        let keys: std::collections::BTreeSet<&String> =
            self.states.keys().chain(audit.state.keys()).collect();
        for key in keys {
            let (right, found) = (self.state(key, self.last), audit.state.get(key));
            if right != found {
                let story = format!("in the end {key} is {found:?}, not {right:?}");
                violations.push(Violation::new("timeline.final", &[], story));
            }
        }
    }
}
