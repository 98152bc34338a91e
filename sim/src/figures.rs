//! What a run counted: the contract between a trial, the report and the tables over many runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts by name.
pub type Counts = BTreeMap<String, u64>;

/// Counters of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Operations that were answered.
    pub acknowledged: u64,
    /// Operations that certainly had no effect.
    pub refused: u64,
    /// Operations whose outcome nobody knows.
    pub unknown: u64,
    /// Changes watchers were told.
    pub watched: u64,
    /// The store's revision in the end.
    pub revision: i64,
    /// Crashes of members.
    pub crashes: u64,
    /// The longest time in which nothing was committed, percent of the election timeout; of several
    /// runs, the longest of all.
    pub standstill_percent: u64,
    /// Syncs of the disks.
    pub syncs: u64,
    /// Segments on the network.
    pub segments: u64,
    /// Faults and effects that bit, by their names in `plan::fault`.
    pub fired: Counts,
    /// Points of `rt::buggify` that fired, by name.
    pub points: Counts,
    /// Probes hit, by name.
    pub probes: Counts,
    /// Requests by field and class of its value, such as `range.limit/negative`.
    pub coverage: Counts,
    /// Operations asked for, by kind.
    pub operations: Counts,
}

impl Figures {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.watched += other.watched;
        self.revision += other.revision;
        self.crashes += other.crashes;
        self.standstill_percent = self.standstill_percent.max(other.standstill_percent);
        self.syncs += other.syncs;
        self.segments += other.segments;
        for (mine, others) in [
            (&mut self.fired, &other.fired),
            (&mut self.points, &other.points),
            (&mut self.probes, &other.probes),
            (&mut self.coverage, &other.coverage),
            (&mut self.operations, &other.operations),
        ] {
            for (name, count) in others {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_every_name() {
        let counts = |name: &str| Counts::from([(name.to_owned(), 2)]);
        let mut sum = Figures { fired: counts("stop"), ..Figures::default() };
        sum.add(&Figures { acknowledged: 3, fired: counts("pause"), ..Figures::default() });
        sum.add(&Figures { acknowledged: 4, fired: counts("stop"), ..Figures::default() });
        assert_eq!(sum.acknowledged, 7);
        assert_eq!(sum.fired, Counts::from([("pause".into(), 2), ("stop".into(), 4)]));
    }
}
