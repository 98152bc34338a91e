//! The facts of a watch's range, in order.

use crate::check::timeline::{Fact, Timeline};

/// A list of facts, without a copy where it is of everything or of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Track<'a, 't> {
    timeline: &'t Timeline<'a>,
    /// `None`: all.
    facts: Option<&'t [u32]>,
}

impl<'a, 't> Track<'a, 't> {
    pub(super) const fn all(timeline: &'t Timeline<'a>) -> Self {
        Self { timeline, facts: None }
    }

    pub(super) const fn some(timeline: &'t Timeline<'a>, facts: &'t [u32]) -> Self {
        Self { timeline, facts: Some(facts) }
    }

    pub(super) fn get(&self, at: usize) -> Option<&'t Fact<'a>> {
        match self.facts {
            None => self.timeline.facts().get(at),
            Some(facts) => facts.get(at).map(|index| self.timeline.fact(*index)),
        }
    }

    fn len(&self) -> usize {
        self.facts.map_or(self.timeline.facts().len(), <[u32]>::len)
    }

    /// The place of the first fact of a revision or a later one.
    pub(super) fn place(&self, revision: i64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.get(middle).is_some_and(|fact| fact.revision < revision) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The place of a key's change at a revision, not before `from`.
    pub(super) fn find(&self, key: &str, revision: i64, from: usize) -> Option<usize> {
        let mut at = self.place(revision).max(from);
        while let Some(fact) = self.get(at).filter(|fact| fact.revision == revision) {
            if fact.key == key {
                return Some(at);
            }
            at += 1;
        }
        None
    }
}
