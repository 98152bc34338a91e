//! Raft's promises, judged while the run goes on, from what every member lets us see.
//!
//! | class | the promise (Raft §5.2 to §5.4) |
//! |---|---|
//! | `raft.leader` | a term has one leader |
//! | `raft.vote` | a member remembers its term, and its vote in it, over restarts |
//! | `raft.log` | logs with an entry of one index and term have the same one, behind the same |
//! | `raft.complete` | who leads has every entry that anybody has applied |
//! | `raft.lost` | a member never replaces what it has applied |
//! | `raft.machine` | all members apply the same entry at an index |
//! | `raft.order` | a member applies each entry once, in order |
//!
//! Log matching is checked entry by entry: equal terms before equal entries are what Raft's own
//! induction needs, so that whoever has the last applied entry has all before it. The judge is
//! pure: who saw what goes in, violations come out. It also knows who leads, which faults by rank
//! ask.

use std::{collections::BTreeMap, time::Duration};

use reseed_server::Sight;

use crate::{check::Violation, pace::Pace};

/// Violations kept.
const KEPT_MAX: usize = 20;

/// What is known of a cluster.
#[derive(Debug, Default)]
pub struct Consensus {
    /// By term.
    leaders: BTreeMap<u64, u64>,
    /// Who led last, and when: term and number.
    last_leader: Option<(u64, u32)>,
    /// Term and digest of each applied entry, by index.
    applied: BTreeMap<u64, (u64, u32)>,
    /// What is known of each entry that is or was in a log, by index and term: the term of the one
    /// before, where a log knew it, and the digest.
    logged: BTreeMap<(u64, u64), (Option<u64>, u32)>,
    /// Terms in the log of each member, by its number and by index.
    logs: BTreeMap<u32, BTreeMap<u64, u64>>,
    /// Term and vote that a member relies on, by its id: a disk that is lost takes the id along.
    promised: BTreeMap<u64, (u64, u64)>,
    /// Last applied index of each member, by its number, in its present life.
    reached: BTreeMap<u32, u64>,
    /// How fast the cluster commits.
    pub pace: Pace,
    violations: Vec<Violation>,
}

impl Consensus {
    /// Member `number` starts its program: it may apply again what it had applied.
    pub fn boots(&mut self, number: u32) {
        self.reached.remove(&number);
        self.logs.remove(&number);
    }

    /// Somebody goes on alone (`--force-new-cluster`): its log does, in a term that others may have
    /// written in too, who are gone.
    pub fn goes_on_alone(&mut self) {
        self.logged.clear();
    }

    /// Member `number`, whose id is `id`, shows something `now`; is it that it leads from now on?
    pub fn sees(&mut self, (number, id): (u32, u64), sight: Sight, now: Duration) -> bool {
        // Before the first leader nobody could commit: the first election is not a pause.
        if let Sight::Place { committed, .. } = sight
            && self.last_leader.is_some()
        {
            self.pace.sees(committed, now);
        }
        match sight {
            Sight::Place { term, leader, last, .. } if leader == id => {
                return self.leads(number, id, term, last);
            }
            Sight::Place { .. } => {}
            Sight::Promised { term, vote } => {
                self.promised.insert(id, (term, vote));
            }
            Sight::Recalled { term, vote } => self.recalls((number, id), (term, vote)),
            Sight::Logged { index, term, before, digest } => {
                self.logs_entry(number, (index, term), (before, digest));
            }
            Sight::Applied { index, term, digest } => self.applies(number, index, (term, digest)),
            Sight::Installed { index } => {
                self.reached.insert(number, index);
                self.logs.remove(&number);
            }
        }
        false
    }

    /// The number of the member that leads in the newest term there was a leader in.
    #[must_use]
    pub fn leader(&self) -> Option<u32> {
        self.last_leader.map(|(_, number)| number)
    }

    /// What was broken.
    #[must_use]
    pub fn take(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    fn leads(&mut self, number: u32, id: u64, term: u64, last: u64) -> bool {
        if let Some(first) = self.leaders.get(&term) {
            if *first != id {
                let story = format!("{first:x} and {id:x} both lead in term {term}");
                self.tell("raft.leader", story);
            }
            return false;
        }
        self.leaders.insert(term, id);
        if self.last_leader.is_none_or(|(newest, _)| newest < term) {
            self.last_leader = Some((term, number));
        }
        // A leader of a term that is over already has only what there was then.
        if self.last_leader == Some((term, number)) {
            self.must_be_complete(number, term, last);
        }
        true
    }

    /// By log matching the newest applied entry stands for all.
    fn must_be_complete(&mut self, number: u32, term: u64, last: u64) {
        let Some((&applied, &(of, _))) = self.applied.last_key_value() else { return };
        let own = self.logs.get(&number).and_then(|log| log.get(&applied)).copied();
        let story = match own {
            _ if last < applied => format!("with a log up to {last}"),
            Some(own) if own != of => format!("with one of term {own} in its log"),
            // Or it is below where the log begins.
            _ => return,
        };
        let what = format!("entry {applied} of term {of} is applied elsewhere");
        self.tell("raft.complete", format!("member {number} leads in term {term} {story}; {what}"));
    }

    fn logs_entry(&mut self, number: u32, place: (u64, u64), entry: (Option<u64>, u32)) {
        let (index, term) = place;
        if let Some(reached) = self.reached.get(&number).filter(|reached| **reached >= index) {
            let story =
                format!("member {number} has applied {reached}, and replaces entry {index}");
            self.tell("raft.lost", story);
        }
        let known = self.logged.entry(place).or_insert(entry);
        let (before, digest) = *known;
        known.0 = before.or(entry.0);
        if digest != entry.1 || before.is_some_and(|before| entry.0.is_some_and(|b| b != before)) {
            let behind = |(before, digest): (Option<u64>, u32)| {
                let term =
                    before.map_or("one".to_owned(), |before| format!("one of term {before}"));
                format!("{digest:08x} behind {term}")
            };
            let story = format!(
                "entry {index} of term {term} is {} at member {number}, and {} elsewhere",
                behind(entry),
                behind((before, digest)),
            );
            self.tell("raft.log", story);
        }
        let log = self.logs.entry(number).or_default();
        log.split_off(&index);
        log.insert(index, term);
    }

    fn recalls(&mut self, (number, id): (u32, u64), found: (u64, u64)) {
        let Some(told) = self.promised.get(&id).copied() else { return };
        let forgot = found.0 < told.0 || (found.0 == told.0 && told.1 != 0 && found.1 != told.1);
        if forgot {
            let story = format!(
                "member {number} had voted for {:x} in term {}, and starts with a vote for {:x} \
                 in term {}",
                told.1, told.0, found.1, found.0
            );
            self.tell("raft.vote", story);
        }
    }

    fn applies(&mut self, number: u32, index: u64, entry: (u64, u32)) {
        if let Some(before) = self.reached.insert(number, index)
            && before + 1 != index
        {
            self.tell("raft.order", format!("member {number} applies {index} after {before}"));
        }
        let first = *self.applied.entry(index).or_insert(entry);
        if first != entry {
            let story = format!(
                "member {number} applies entry {index} of term {}, others had one of term {}",
                entry.0, first.0
            );
            self.tell("raft.machine", story);
        }
    }

    fn tell(&mut self, class: &str, story: String) {
        if self.violations.len() < KEPT_MAX {
            self.violations.push(Violation { class: class.to_owned(), story, ops: Vec::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(term: u64, leader: u64, last: u64) -> Sight {
        Sight::Place { term, leader, committed: 0, last }
    }

    fn applied(index: u64, term: u64, digest: u32) -> Sight {
        Sight::Applied { index, term, digest }
    }

    fn logged(index: u64, term: u64, before: u64, digest: u32) -> Sight {
        Sight::Logged { index, term, before: Some(before), digest }
    }

    fn classes(seen: &[(u32, Sight)]) -> Vec<String> {
        let mut judge = Consensus::default();
        for (number, sight) in seen {
            judge.sees((*number, u64::from(*number) + 100), *sight, Duration::ZERO);
        }
        judge.take().into_iter().map(|one| one.class).collect()
    }

    #[test]
    fn what_raft_allows_passes() {
        let history = [
            (0, Sight::Recalled { term: 0, vote: 0 }),
            (0, Sight::Promised { term: 2, vote: 100 }),
            (1, Sight::Promised { term: 2, vote: 0 }),
            (1, Sight::Recalled { term: 2, vote: 100 }),
            (0, place(2, 100, 1)),
            (0, Sight::Recalled { term: 2, vote: 100 }),
            (0, place(2, 100, 5)),
            (1, place(2, 100, 1)),
            (0, logged(1, 2, 0, 7)),
            (0, logged(2, 2, 2, 8)),
            (0, logged(3, 2, 2, 1)),
            (1, logged(1, 2, 0, 7)),
            (1, logged(2, 2, 2, 8)),
            (0, applied(1, 2, 7)),
            (0, applied(2, 2, 8)),
            (1, applied(1, 2, 7)),
            (1, place(3, 101, 2)),
            (0, logged(3, 3, 2, 9)),
            (2, Sight::Installed { index: 2 }),
            (2, Sight::Logged { index: 3, term: 3, before: None, digest: 9 }),
            (2, applied(3, 3, 9)),
        ];
        assert_eq!(classes(&history), Vec::<String>::new());
    }

    #[test]
    fn each_broken_promise_has_its_class() {
        let two = [(0, place(2, 100, 1)), (1, place(2, 101, 1))];
        assert_eq!(classes(&two), ["raft.leader"]);
        let promised = Sight::Promised { term: 3, vote: 101 };
        let older = [(0, promised), (0, Sight::Recalled { term: 2, vote: 101 })];
        assert_eq!(classes(&older), ["raft.vote"]);
        let forgotten = [(0, promised), (0, Sight::Recalled { term: 3, vote: 0 })];
        assert_eq!(classes(&forgotten), ["raft.vote"]);
        let short = [(0, applied(1, 1, 7)), (0, applied(2, 1, 7)), (1, place(2, 101, 1))];
        assert_eq!(classes(&short), ["raft.complete"]);
        let other = [(1, logged(1, 1, 0, 7)), (0, applied(1, 2, 7)), (1, place(3, 101, 1))];
        assert_eq!(classes(&other), ["raft.complete"]);
        let differ = [(0, logged(2, 2, 1, 7)), (1, logged(2, 2, 1, 8))];
        assert_eq!(classes(&differ), ["raft.log"]);
        let behind_another = [(0, logged(2, 2, 1, 7)), (1, logged(2, 2, 0, 7))];
        assert_eq!(classes(&behind_another), ["raft.log"]);
        let replaced = [(0, applied(1, 1, 7)), (0, logged(1, 2, 0, 7))];
        assert_eq!(classes(&replaced), ["raft.lost"]);
        let apart = [(0, applied(1, 1, 7)), (1, applied(1, 1, 8))];
        assert_eq!(classes(&apart), ["raft.machine"]);
        let again = [(0, applied(1, 1, 7)), (0, applied(1, 1, 7))];
        assert_eq!(classes(&again), ["raft.order"]);
        let gap = [(0, applied(1, 1, 7)), (0, applied(3, 1, 7))];
        assert_eq!(classes(&gap), ["raft.order"]);
    }

    #[test]
    fn a_log_that_was_given_up_is_forgotten() {
        let mut judge = Consensus::default();
        let mut see = |number: u32, sight| {
            judge.sees((number, u64::from(number) + 100), sight, Duration::ZERO);
        };
        see(0, applied(1, 3, 7));
        see(1, logged(1, 2, 0, 8));
        see(1, Sight::Installed { index: 1 });
        see(1, place(4, 101, 1));
        see(2, logged(2, 4, 3, 8));
        judge.goes_on_alone();
        judge.sees((1, 101), logged(2, 4, 3, 9), Duration::ZERO);
        assert!(judge.take().is_empty());
    }

    #[test]
    fn a_restart_may_apply_again_and_the_newest_leader_counts() {
        let mut judge = Consensus::default();
        judge.sees((1, 101), applied(1, 1, 7), Duration::ZERO);
        judge.boots(1);
        judge.sees((1, 101), applied(1, 1, 7), Duration::ZERO);
        judge.sees((2, 102), place(4, 102, 1), Duration::ZERO);
        judge.sees((1, 101), place(3, 101, 1), Duration::ZERO);
        assert_eq!(judge.leader(), Some(2));
        assert!(judge.take().is_empty());
    }
}
