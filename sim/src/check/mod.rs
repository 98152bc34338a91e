//! Is a history what etcd promises?
//!
//! etcd numbers its states: every answer carries the revision it belongs to. So nothing has to be
//! searched for: a history is checked in one pass over its revisions (*RevLin*), in time linear in
//! its length but for sorting.
//!
//! 1. `ops` puts operations together from their events;
//! 2. `timeline` collects, for each revision, what the auditor and all watchers say changed;
//! 3. `replay` goes through the revisions with an independent model (`model`, a map of strings):
//!    each acknowledged write must have exactly that effect, each answer must be what the model
//!    says at its revision, and each revision nobody acknowledged must have been asked for by an
//!    operation whose outcome is unknown, or be the end of a lease (`explain`);
//! 4. `order` finds commit times for all revisions between what was asked before and what was
//!    answered after, or the two operations that contradict each other;
//! 5. the rest use the timeline and these bounds: `watch`, `lease`, `lock`, `compaction`,
//!    `refusal` (errors that are answers), `member` (what one member says over time).
//!
//! Why this is exact: reads of one revision commute, so a linearization exists if and only if
//! there are commit times t(2) < t(3) < ... with each t(r) after everything that must come before
//! it and before everything that must come after it. That is a chain; taking each as early as
//! possible finds them if they exist. It needs one clock for all events, unique values, and a
//! witness without holes; where there are holes, what may fill them is tried (`holes`), and what
//! takes too long is undecided ([`Checked::undecided`]).
//!
//! [`wgl`] is the slow, general search for histories without revisions, and the cross-check: both
//! must agree on millions of small random histories. Nothing here shares code with the server.

pub mod case;
pub mod classes;
mod compaction;
mod exec;
mod explain;
pub mod figures;
pub mod file;
pub mod foreign;
mod holes;
pub mod import;
mod lease;
mod lock;
mod member;
mod model;
mod ops;
mod order;
mod range;
mod refusal;
mod replay;
pub mod sample;
mod timeline;
mod told;
mod watch;
pub mod wgl;
mod witness;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use case::{Audit, AuditedLease, Case, Rules, View};

use crate::history::OpId;
use compaction::Compactions;
use holes::Passed;
use ops::Parts;
use order::Bounds;
use told::Told;
use witness::Witness;

/// Something etcd promises and the history breaks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// Which promise, `family.rule`; stable, used to compare failures.
    pub class: String,
    /// The story in one line.
    pub story: String,
    /// Operations involved.
    pub ops: Vec<OpId>,
}

impl Violation {
    fn new(class: &str, ops: &[OpId], story: impl Into<String>) -> Self {
        Self { class: class.to_owned(), story: story.into(), ops: ops.to_vec() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.story)?;
        if !self.ops.is_empty() {
            write!(f, " (operations {:?})", self.ops)?;
        }
        Ok(())
    }
}

/// What checking found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Checked {
    /// Promises broken, the most telling first.
    pub violations: Vec<Violation>,
    /// Why nothing, or not everything, can be said: the run proves nothing unless it has
    /// violations.
    pub undecided: Option<String>,
}

/// Checks a run.
#[must_use]
pub fn check(case: &Case<'_>) -> Checked {
    let parts = Parts::of(case.history);
    if let Some(why) = parts.malformed {
        return Checked { violations: Vec::new(), undecided: Some(why) };
    }
    let mut told = Told::default();
    let mut witness = Witness::collect(case, &parts, &mut told);
    if witness.last > witness::revisions_max(case) {
        let story = || format!("revision {} from so few writes", witness.last);
        told.tell("timeline.gap", &[], story);
        return Checked { violations: told.finish(), undecided: None };
    }
    holes::decide(&mut witness, &|witness| pass(case, &parts, witness, told.clone()))
}

/// Goes by what the witness says; `told` is what is known to be wrong with that.
fn pass<'a>(
    case: &Case<'a>,
    parts: &Parts<'a>,
    witness: &Witness<'a>,
    mut told: Told,
) -> Passed<'a> {
    let mut bounds = Bounds::new(case, parts, witness.last);
    let timeline = replay::run(case, parts, witness, &mut bounds, &mut told);
    bounds.check(parts, &mut told);
    let compactions = Compactions::of(case, parts);
    compaction::check(case, parts, &compactions, &mut told);
    refusal::check(case.rules, parts, (&bounds, &timeline), &mut told);
    member::check(parts, &mut told);
    member::check_hashes(case.audit, parts, &mut told);
    member::check_views(case.audit, &mut told);
    watch::check(parts, &timeline, &compactions, &mut told);
    let against = lease::Against { case, parts, bounds: &bounds, timeline: &timeline };
    lease::check(&against, &mut told);
    lock::check(&against, &mut told);
    Passed { violations: told.finish(), hole: timeline.hole }
}

#[cfg(test)]
mod differential;
#[cfg(test)]
mod tests;
