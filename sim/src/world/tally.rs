//! How often each kind of fault bit.
//!
//! A fault that is scheduled proves nothing: it counts when something felt it. Whoever arms one
//! gets a [`Token`]; whoever feels it hands the token back, and the first time counts. So a cut
//! that held up a thousand segments is one cut. What nobody armed, such as a torn write, is counted
//! as it happens.

use std::collections::BTreeMap;

/// Names one armed fault; copies are the same fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Token(u64);

/// Counts by name.
pub type Counts = BTreeMap<&'static str, u64>;

/// What is armed and what has bitten.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    next: u64,
    armed: BTreeMap<Token, &'static str>,
    counts: Counts,
}

impl Tally {
    /// A fault of this kind may bite from now on.
    #[must_use]
    pub fn arm(&mut self, kind: &'static str) -> Token {
        self.next += 1;
        self.armed.insert(Token(self.next), kind);
        Token(self.next)
    }

    /// The fault was felt.
    pub fn bite(&mut self, token: Token) {
        if let Some(kind) = self.armed.remove(&token) {
            self.count(kind, 1);
        }
    }

    /// Something happened `times` more times.
    pub fn count(&mut self, name: &'static str, times: u64) {
        if times > 0 {
            *self.counts.entry(name).or_default() += times;
        }
    }

    /// Everything counted so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// Adds up the counts of several tallies.
pub fn add(into: &mut Counts, counts: &Counts) {
    for (name, count) in counts {
        *into.entry(name).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_counts_when_it_is_felt_and_once() {
        let mut tally = Tally::default();
        let (one, two) = (tally.arm("cut"), tally.arm("cut"));
        assert!(tally.counts().is_empty(), "armed is not felt");
        tally.bite(one);
        tally.bite(one);
        assert_eq!(tally.counts()["cut"], 1);
        tally.bite(two);
        tally.count("torn_write", 3);
        tally.count("lost_name", 0);
        let mut sum = Counts::from([("cut", 10)]);
        add(&mut sum, tally.counts());
        assert_eq!(sum, Counts::from([("cut", 12), ("torn_write", 3)]));
    }
}
