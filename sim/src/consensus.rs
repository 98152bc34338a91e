//! Raft's promises, judged while the run goes on, from what every member lets us see.
//!
//! | class | the promise (Raft §5.2 to §5.4) |
//! |---|---|
//! | `raft.leader` | a term has one leader |
//! | `raft.vote` | a member remembers its term, and its vote in it, over restarts |
//! | `raft.complete` | who leads has every entry that anybody has applied |
//! | `raft.machine` | all members apply the same entry at an index |
//! | `raft.order` | a member applies each entry once, in order |
//!
//! Log matching follows for all entries that matter, those that are applied. The judge is pure: who
//! saw what goes in, violations come out. It also knows who leads, which faults by rank ask.

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
            Sight::Applied { index, term, digest } => self.applies(number, index, (term, digest)),
            Sight::Installed { index } => {
                self.reached.insert(number, index);
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
        let applied = self.applied.last_key_value().map_or(0, |(index, _)| *index);
        // A leader of a term that is over already has only what there was then.
        let is_newest = self.last_leader == Some((term, number));
        if is_newest && last < applied {
            let story = format!(
                "member {number} leads in term {term} with a log up to {last}; {applied} \
                     is applied elsewhere"
            );
            self.tell("raft.complete", story);
        }
        true
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
            (0, applied(1, 2, 7)),
            (0, applied(2, 2, 8)),
            (1, applied(1, 2, 7)),
            (1, place(3, 101, 2)),
            (2, Sight::Installed { index: 2 }),
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
        let apart = [(0, applied(1, 1, 7)), (1, applied(1, 1, 8))];
        assert_eq!(classes(&apart), ["raft.machine"]);
        let again = [(0, applied(1, 1, 7)), (0, applied(1, 1, 7))];
        assert_eq!(classes(&again), ["raft.order"]);
        let gap = [(0, applied(1, 1, 7)), (0, applied(3, 1, 7))];
        assert_eq!(classes(&gap), ["raft.order"]);
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
