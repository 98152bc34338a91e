//! What each revision changed, as told by those who saw all of it.
//!
//! The auditor's watch comes first. Where compaction took the beginning from it, watchers of every
//! key tell; a revision is theirs to tell only if they got the whole of it. Whoever else saw
//! something is compared with the result later.

use super::{Case, model::Effect, ops::Parts, told::Told};
use crate::history::{Change, WatchSpec, WatchStep};

/// What changed, by revision.
#[derive(Debug, Default)]
pub(super) struct Witness<'a> {
    effects: Vec<Effect<'a>>,
    /// Where in `effects` those of a revision begin, and how many; none: nobody told.
    spans: Vec<(u32, u32)>,
    /// The auditor saw everything from here to `audit_to`; 0: there was none.
    pub(super) audit_from: i64,
    pub(super) audit_to: i64,
    /// The store's last revision.
    pub(super) last: i64,
}

impl<'a> Witness<'a> {
    pub(super) fn collect(case: &Case<'a>, parts: &Parts<'a>, told: &mut Told) -> Self {
        let mut witness = Self::default();
        witness.find_end(case, parts, told);
        witness.take_audit(case, told);
        for steps in parts.watches.values() {
            let mut run = Run::default();
            for step in steps {
                run.step(step.step, &mut witness);
            }
        }
        witness
    }

    /// What changed at a revision; `None` if nobody saw all of it.
    pub(super) fn at(&self, revision: i64) -> Option<&[Effect<'a>]> {
        let (start, len) = *self.spans.get(usize::try_from(revision).ok()?)?;
        let span = start as usize..(start + len) as usize;
        if len == 0 { None } else { self.effects.get(span) }
    }

    /// Whether the auditor should have seen a revision.
    pub(super) fn is_audited(&self, revision: i64) -> bool {
        self.audit_from != 0 && (self.audit_from..=self.audit_to).contains(&revision)
    }

    fn take_audit(&mut self, case: &Case<'a>, told: &mut Told) {
        let mut before = 0;
        for changes in case.audit.changes.chunk_by(|a, b| a.revision == b.revision) {
            let revision = changes[0].revision;
            if revision <= before {
                told.tell("timeline.order", &[], || {
                    format!("the auditor saw revision {revision} after {before}")
                });
            }
            before = before.max(revision);
            self.put(revision, changes.iter());
        }
    }

    /// A revision a watcher saw all of. The first to tell is believed.
    fn take(&mut self, revision: i64, changes: &[&'a Change]) {
        if !self.is_audited(revision) {
            self.put(revision, changes.iter().copied());
        }
    }

    fn put(&mut self, revision: i64, changes: impl Iterator<Item = &'a Change>) {
        self.add(revision, changes.map(Effect::of));
    }

    /// Supposes what a revision was that nobody saw.
    pub(super) fn fill(&mut self, revision: i64, effects: &[Effect<'a>]) {
        self.add(revision, effects.iter().copied());
    }

    /// Takes the last supposition back.
    pub(super) fn empty(&mut self, revision: i64) {
        if let Some(span) = usize::try_from(revision).ok().and_then(|at| self.spans.get_mut(at)) {
            let (start, _) = std::mem::take(span);
            self.effects.truncate(start as usize);
        }
    }

    fn add(&mut self, revision: i64, effects: impl Iterator<Item = Effect<'a>>) {
        let span = usize::try_from(revision).ok().and_then(|at| self.spans.get_mut(at));
        if let Some(span) = span.filter(|(_, len)| *len == 0) {
            let start = self.effects.len();
            self.effects.extend(effects);
            *span = (start as u32, (self.effects.len() - start) as u32);
        }
    }

    /// Where the store ends: what was seen later than the audit may go beyond it, what was seen
    /// before must not.
    fn find_end(&mut self, case: &Case<'a>, parts: &Parts<'a>, told: &mut Told) {
        if case.audit.revision > 0 {
            self.audit_from = case.audit.changes_from.max(1);
            let newest = case.audit.changes.iter().map(|change| change.revision).max();
            self.audit_to = case.audit.revision.max(newest.unwrap_or(0));
        }
        let audited = self.audit_to;
        let at = if audited == 0 { 0 } else { case.audit.at };
        self.last = audited.max(1);
        for op in &parts.ops {
            if op.response().is_none() {
                continue;
            }
            if op.returned > at {
                self.last = self.last.max(op.revision);
            } else if op.revision > audited && !op.wrote {
                told.tell("durable.seen", &[op.id], || {
                    format!("revision {} was answered; it ends at {audited}", op.revision)
                });
            }
        }
        for (watch, steps) in &parts.watches {
            for step in steps {
                let Some(revision) = revision_of(step.step) else { continue };
                if step.at > at {
                    self.last = self.last.max(revision);
                } else if revision > audited {
                    told.tell("durable.seen", &[], || {
                        format!("watch {watch} was told of {revision}; it ends at {audited}")
                    });
                }
            }
        }
        // What is out of all proportion is not worth the memory; `check` says so.
        if self.last <= revisions_max(case) {
            self.spans = vec![(0, 0); usize::try_from(self.last + 1).unwrap_or(0)];
        }
    }
}

/// More revisions than this cannot come from so few events.
pub(super) fn revisions_max(case: &Case<'_>) -> i64 {
    1000 + 4 * (case.history.len() + case.audit.changes.len()) as i64
}

/// The revision a step of a watch shows to be there.
pub(super) fn revision_of(step: &WatchStep) -> Option<i64> {
    match step {
        WatchStep::Created { revision } | WatchStep::Progress { revision } => Some(*revision),
        WatchStep::Events { revision, changes, .. } => {
            Some(changes.iter().map(|change| change.revision).fold(*revision, i64::max))
        }
        _ => None,
    }
}

/// The events of one stream that sees everything, gathered until a revision is whole.
#[derive(Default)]
struct Run<'a> {
    sees_all: bool,
    pending: Vec<&'a Change>,
}

impl<'a> Run<'a> {
    fn step(&mut self, step: &'a WatchStep, witness: &mut Witness<'a>) {
        match step {
            WatchStep::Open { spec } => {
                self.sees_all = sees_all(spec);
                self.pending.clear();
            }
            WatchStep::Events { changes, fragment, .. } if self.sees_all => {
                self.pending.extend(changes);
                if !fragment {
                    for whole in self.pending.chunk_by(|a, b| a.revision == b.revision) {
                        witness.take(whole[0].revision, whole);
                    }
                    self.pending.clear();
                }
            }
            WatchStep::Broken { .. } => self.pending.clear(),
            _ => {}
        }
    }
}

fn sees_all(spec: &WatchSpec) -> bool {
    matches!(spec.key.as_str(), "" | "\0") && spec.end == "\0" && !spec.no_put && !spec.no_delete
}
