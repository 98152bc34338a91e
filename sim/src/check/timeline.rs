//! Every change in its order: what the replay found out.

use std::collections::BTreeMap;

use super::{
    holes::Hole,
    model::{Effect, Live, covers},
};

/// A change of a key, with what it was before.
#[derive(Clone, Copy)]
pub(super) struct Fact<'a> {
    pub(super) key: &'a str,
    pub(super) revision: i64,
    /// `None`: deleted.
    pub(super) now: Option<Live<'a>>,
    /// The index of the key's last fact at an earlier revision; [`NONE`]: there is none.
    before: u32,
}

/// The index of no fact.
const NONE: u32 = u32::MAX;

impl std::fmt::Debug for Fact<'_> {
    /// What changed; where the fact before is in a list is of no use in a story.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Effect { key: self.key, now: self.now }.fmt(f)
    }
}

/// Who made a revision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// Nobody known.
    Unknown,
    /// An operation by its index.
    Op(u32),
    /// The end of a lease; certain, if nobody else could have done the same.
    Lease { id: i64, certain: bool },
}

/// All changes.
#[derive(Debug, Default)]
pub(super) struct Timeline<'a> {
    facts: Vec<Fact<'a>>,
    /// Where the facts of a revision begin.
    starts: Vec<u32>,
    causes: Vec<Cause>,
    of_key: BTreeMap<&'a str, Vec<u32>>,
    /// Where it ends, should nobody have seen what came next.
    pub(super) hole: Option<Hole<'a>>,
}

impl<'a> Timeline<'a> {
    /// Of an empty store: revisions 0 and 1 have no changes.
    pub(super) fn new() -> Self {
        let causes = vec![Cause::Unknown; 2];
        Self { starts: vec![0, 0, 0], causes, ..Self::default() }
    }

    /// The first revision from which on the facts are not known.
    pub(super) fn unknown_from(&self) -> Option<i64> {
        self.hole.as_ref().map(|hole| hole.revision)
    }

    /// Adds a fact to the revision that is not finished yet.
    pub(super) fn add(&mut self, key: &'a str, now: Option<Live<'a>>) {
        let revision = self.last() + 1;
        let index = self.facts.len() as u32;
        let entry = self.of_key.entry(key);
        // All facts of a key name it by the same bytes, which are then near at hand.
        let key = *entry.key();
        let of_key = entry.or_default();
        let begun = self.starts.last().copied().unwrap_or(0);
        let before = of_key.iter().rfind(|other| **other < begun).copied().unwrap_or(NONE);
        of_key.push(index);
        self.facts.push(Fact { key, revision, now, before });
    }

    /// Finishes a revision.
    pub(super) fn finish(&mut self, cause: Cause) {
        self.starts.push(self.facts.len() as u32);
        self.causes.push(cause);
    }

    pub(super) fn set_cause(&mut self, revision: i64, cause: Cause) {
        if let Some(at) = usize::try_from(revision).ok().and_then(|at| self.causes.get_mut(at)) {
            *at = cause;
        }
    }

    /// The last finished revision.
    pub(super) fn last(&self) -> i64 {
        self.causes.len() as i64 - 1
    }

    pub(super) fn cause(&self, revision: i64) -> Cause {
        let cause = usize::try_from(revision).ok().and_then(|at| self.causes.get(at));
        cause.copied().unwrap_or(Cause::Unknown)
    }

    /// The facts of a revision.
    pub(super) fn at(&self, revision: i64) -> &[Fact<'a>] {
        let span =
            |at: usize| Some(*self.starts.get(at)? as usize..*self.starts.get(at + 1)? as usize);
        let span = usize::try_from(revision).ok().and_then(span);
        span.map_or(&[], |span| &self.facts[span])
    }

    pub(super) fn fact(&self, index: u32) -> &Fact<'a> {
        &self.facts[index as usize]
    }

    pub(super) fn facts(&self) -> &[Fact<'a>] {
        &self.facts
    }

    /// What a key was before a fact, at the end of the revision before.
    pub(super) fn before(&self, fact: &Fact<'a>) -> Option<Live<'a>> {
        self.facts.get(fact.before as usize)?.now
    }

    /// Indexes of the facts about one key, in order.
    pub(super) fn of_key(&self, key: &str) -> &[u32] {
        self.of_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// Indexes of the facts about the keys of a range, in order.
    pub(super) fn of_range(&self, key: &str, end: &str) -> Vec<u32> {
        if end.is_empty() {
            return self.of_key(key).to_vec();
        }
        let all = (0..).zip(&self.facts);
        all.filter(|(_, fact)| covers(key, end, fact.key)).map(|(index, _)| index).collect()
    }

    /// What a key is at a revision.
    pub(super) fn state(&self, key: &str, revision: i64) -> Option<Live<'a>> {
        let facts = self.of_key(key);
        let upto = facts.partition_point(|index| self.fact(*index).revision <= revision);
        self.fact(*facts.get(upto.checked_sub(1)?)?).now
    }
}
