//! Violations as they are found: so many of a class, no more.

use std::collections::BTreeMap;

use super::Violation;
use crate::history::OpId;

/// Violations told of one class; one story is enough to see what is wrong, a thousand hide it.
const TOLD_MAX: u32 = 8;

/// What was found so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    violations: Vec<Violation>,
    of_class: BTreeMap<&'static str, u32>,
}

impl Told {
    pub(super) fn tell(
        &mut self,
        class: &'static str,
        ops: &[OpId],
        story: impl FnOnce() -> String,
    ) {
        let told = self.of_class.entry(class).or_default();
        *told += 1;
        if *told <= TOLD_MAX {
            self.violations.push(Violation::new(class, ops, story()));
        }
    }

    /// Everything, the most telling first: what is lost, then what the store did, then what it
    /// said; in the order of finding within a family.
    pub(super) fn finish(mut self) -> Vec<Violation> {
        const ORDER: [&str; 4] = ["durable.", "timeline.", "txn.torn", "order."];
        let rank = |one: &Violation| {
            ORDER.iter().position(|family| one.class.starts_with(family)).unwrap_or(ORDER.len())
        };
        self.violations.sort_by_key(rank);
        self.violations
    }
}
