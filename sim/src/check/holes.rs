//! What were the revisions that nobody saw?
//!
//! Compaction takes revisions from the auditor, and a history may have no auditor at all. A
//! revision that no watcher saw either and no answer claims is a hole: an operation whose outcome
//! is unknown made it, or the end of a lease. What it may have been is tried, one after the other,
//! each time with the whole pass: the history is legal if one way to fill its holes is, and broken
//! if none is. That is a search, as in [`super::wgl`], but over revisions: whatever a hole was, the
//! rest of the history is in order already and refutes what does not fit. It has a budget; beyond
//! it a history is undecided.

use super::{
    Checked, Violation,
    exec::try_out,
    model::{Effect, Model},
    ops::Parts,
    witness::Witness,
};

/// Passes over a history at most.
const PASSES_MAX: u32 = 1_000;

/// A revision that nobody saw.
#[derive(Debug)]
pub(super) struct Hole<'a> {
    pub(super) revision: i64,
    /// All it may have been.
    fills: Vec<Vec<Effect<'a>>>,
}

/// What a pass found; behind a hole there is no going on.
#[derive(Debug)]
pub(super) struct Passed<'a> {
    pub(super) violations: Vec<Violation>,
    pub(super) hole: Option<Hole<'a>>,
}

impl<'a> Hole<'a> {
    /// The revision after `model`.
    pub(super) fn after(model: &mut Model<'a>, parts: &Parts<'a>) -> Self {
        let mut fills: Vec<Vec<Effect<'a>>> = Vec::new();
        let unknown = parts.ops.iter().filter(|op| op.is_unknown());
        let of_ops = unknown.map(|op| try_out(model, op.request, None).effects);
        let mut add = |effects: Vec<Effect<'a>>| {
            if !effects.is_empty() && !fills.contains(&effects) {
                fills.push(effects);
            }
        };
        of_ops.for_each(&mut add);
        let gone = |key: &&'a str| Effect { key, now: None };
        model.leases().map(|keys| keys.iter().map(gone).collect()).for_each(add);
        Self { revision: model.revision() + 1, fills }
    }
}

/// Decides a history: whether there is a way to fill its holes with which `pass` finds nothing.
pub(super) fn decide<'a>(
    witness: &mut Witness<'a>,
    pass: &impl Fn(&Witness<'a>) -> Passed<'a>,
) -> Checked {
    let mut left = PASSES_MAX;
    search(witness, pass, &mut left)
}

fn search<'a>(
    witness: &mut Witness<'a>,
    pass: &impl Fn(&Witness<'a>) -> Passed<'a>,
    left: &mut u32,
) -> Checked {
    let Passed { violations, hole } = pass(witness);
    *left -= 1;
    let hole = if violations.is_empty() { hole } else { None };
    let Some(Hole { revision, fills }) = hole else {
        return Checked { violations, undecided: None };
    };
    let mut refuted = None;
    for fill in &fills {
        if *left == 0 {
            let why =
                format!("nobody saw revision {revision}, which may have been too many things");
            return Checked { violations, undecided: Some(why) };
        }
        witness.fill(revision, fill);
        let checked = search(witness, pass, left);
        witness.empty(revision);
        match checked.violations.into_iter().next() {
            None => return Checked { violations, undecided: checked.undecided },
            Some(violation) => refuted = refuted.or(Some((fill, violation))),
        }
    }
    let story = match refuted {
        None => {
            format!("nobody saw revision {revision}, and nobody asked for anything it could be")
        }
        Some((fill, violation)) => format!(
            "nobody saw revision {revision}; of {} it could be, nothing fits the rest. Were it \
             {fill:?}: {violation}",
            fills.len()
        ),
    };
    Checked { violations: vec![Violation::new("timeline.hidden", &[], story)], undecided: None }
}
