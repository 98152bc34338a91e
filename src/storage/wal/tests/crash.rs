//! Random histories with power failures at any operation, against a model.
//!
//! The model is a list of states: what the log said when it was last synced, then one more state
//! per record appended since. After a crash the log must say one of them, neither less than what
//! was synced nor a mixture.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What a log says, as far as anyone can ask.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    hard_state: HardState,
    mark: Mark,
    entries: BTreeMap<u64, WalEntry>,
}

impl State {
    fn of(found: &Recovered) -> Self {
        let entries = found.entries.iter().map(|entry| (entry.index, entry.clone()));
        Self { hard_state: found.hard_state, mark: found.mark.clone(), entries: entries.collect() }
    }

    fn last(&self) -> u64 {
        self.entries.keys().last().copied().unwrap_or(self.mark.index)
    }

    fn with_entry(&self, entry: &WalEntry) -> Self {
        let mut next = self.clone();
        next.entries.split_off(&entry.index);
        next.entries.insert(entry.index, entry.clone());
        next
    }

    fn with_mark(&self, mark: &Mark) -> Self {
        let mut next = self.clone();
        let there = next.entries.get(&mark.index).map(|entry| entry.term);
        if mark.index > next.mark.index && there != Some(mark.term) {
            next.entries.clear();
        }
        next.entries.retain(|index, _| *index > mark.index);
        next.mark = mark.clone();
        next
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// `count` entries of `bytes` each, replacing the last `back`, then perhaps a hard state.
    Append {
        count: u64,
        bytes: usize,
        back: u64,
        vote: Option<u64>,
    },
    Sync,
    /// A mark this far behind the last entry, or ahead of it.
    Mark {
        behind: u64,
        ahead: u64,
    },
    Release,
    /// The power fails at the n-th change from now.
    PowerAfter(u64),
    /// The power fails now.
    Crash,
    /// The process is killed and starts again.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let append = (1..4u64, 0..700usize, 0..3u64, prop::option::of(0..5u64));
    prop_oneof![
        8 => append.prop_map(|(count, bytes, back, vote)| {
            Step::Append { count, bytes, back, vote }
        }),
        6 => Just(Step::Sync),
        2 => (0..6u64, prop_oneof![9 => Just(0), 1 => 1..5u64])
            .prop_map(|(behind, ahead)| Step::Mark { behind, ahead }),
        1 => Just(Step::Release),
        2 => (1..12u64).prop_map(Step::PowerAfter),
        1 => Just(Step::Crash),
        1 => Just(Step::Kill),
    ]
}

struct Run {
    disk: MemDisk,
    wal: Option<Wal>,
    /// From what is synced to what was appended last.
    states: Vec<State>,
    drawn: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = MemDisk::new(seed);
        let wal = Some(create(&disk));
        Self { disk, wal, states: vec![State::default()], drawn: 0 }
    }

    fn now(&self) -> &State {
        self.states.last().expect("never empty")
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Append { count, bytes, back, vote } => self.append(count, bytes, back, vote),
            Step::Sync => self.act(Wal::sync).map(|done| {
                if done {
                    self.states.drain(..self.states.len() - 1);
                }
            }),
            Step::Mark { behind, ahead } => self.mark(behind, ahead),
            Step::Release => {
                let index = self.now().last();
                self.act(|wal| wal.release(index)).map(|_| ())
            }
            Step::PowerAfter(n) => {
                self.disk.fail_power_after(n);
                Ok(())
            }
            Step::Crash => self.crash(),
            Step::Kill => {
                self.disk.exit();
                self.reopen()
            }
        }
    }

    /// Runs something that may find the power gone; says whether it came to its end.
    fn act(&mut self, act: impl FnOnce(&mut Wal) -> Result<(), WalError>) -> Result<bool, String> {
        match act(self.wal.as_mut().expect("open")) {
            Ok(()) => Ok(true),
            Err(WalError::Io { .. }) => self.crash().map(|()| false),
            Err(other) => Err(format!("unexpected: {other}")),
        }
    }

    fn append(
        &mut self,
        count: u64,
        bytes: usize,
        back: u64,
        vote: Option<u64>,
    ) -> Result<(), String> {
        let now = self.now().clone();
        let first = (now.last() + 1).saturating_sub(back).max(now.mark.index + 1);
        let entries: Vec<_> = (first..first + count)
            .map(|index| {
                self.drawn += 1;
                let mut data = self.drawn.to_le_bytes().to_vec();
                data.resize(8 + bytes, self.drawn as u8);
                entry(index, now.hard_state.term + back, &data)
            })
            .collect();
        let hard_state = vote.map(|vote| HardState {
            term: now.hard_state.term + back,
            vote,
            commit: now.last(),
        });
        // All that may be there if the power goes on the way.
        for entry in &entries {
            let next = self.now().with_entry(entry);
            self.states.push(next);
        }
        if let Some(hard_state) = hard_state {
            let next = State { hard_state, ..self.now().clone() };
            self.states.push(next);
        }
        self.act(|wal| wal.append(&entries, hard_state)).map(|_| ())
    }

    fn mark(&mut self, behind: u64, ahead: u64) -> Result<(), String> {
        let now = self.now();
        let index = if ahead > 0 {
            now.last() + ahead
        } else {
            now.last().saturating_sub(behind).max(now.mark.index)
        };
        let known = now.entries.get(&index).map(|entry| entry.term);
        let term = known.unwrap_or(if ahead > 0 { now.hard_state.term } else { now.mark.term });
        let mark = mark(index, term);
        let next = now.with_mark(&mark);
        self.states.push(next);
        self.act(|wal| wal.mark(mark)).map(|_| ())
    }

    fn crash(&mut self) -> Result<(), String> {
        self.disk.crash();
        self.reopen()
    }

    /// Opens the log, perhaps after the power failed in the middle of that too.
    fn reopen(&mut self) -> Result<(), String> {
        self.wal = None;
        self.drawn += 1;
        if self.drawn.is_multiple_of(3) {
            self.disk.fail_power_after(1 + self.drawn % 4);
            if open(&self.disk).is_err() {
                self.disk.crash();
            }
            self.disk.exit();
        }
        let (wal, found) = open(&self.disk).map_err(|error| format!("cannot open: {error}"))?;
        self.wal = Some(wal);
        let found = State::of(&found);
        if !self.states.contains(&found) {
            return Err(format!("found {found:?}, possible were {:?}", self.states));
        }
        self.states = vec![found];
        Ok(())
    }
}

fn check(seed: u64, steps: &[Step]) -> Result<(), String> {
    let mut run = Run::new(seed);
    for step in steps {
        run.step(step)?;
    }
    run.crash()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_crash_leaves_what_was_synced_and_no_mixture(
        seed: u64,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        check(seed, &steps).map_err(TestCaseError::fail)?;
    }
}

/// The check has teeth: a disk that lies about syncs is caught.
#[test]
fn a_sync_that_does_nothing_is_noticed() {
    let append = Step::Append { count: 2, bytes: 300, back: 0, vote: Some(1) };
    let caught = (0..50).filter(|seed| {
        let mut run = Run::new(*seed);
        run.disk.lie_about_syncs();
        let steps = [append.clone(), Step::Sync, append.clone(), Step::Sync, Step::Crash];
        steps.iter().any(|step| run.step(step).is_err())
    });
    let caught = caught.count();
    assert!(caught > 10, "only {caught} of 50 lying disks were caught");
}

#[test]
fn a_power_failure_while_creating_leaves_no_log_or_a_whole_one() {
    for seed in 0..10 {
        for n in 1.. {
            let disk = MemDisk::new(seed);
            disk.fail_power_after(n);
            let first = mark(5, 2);
            let done = Wal::create(disk.disk(), dir(), WHOSE, &first, SMALL).is_ok();
            disk.crash();
            if exists(disk.disk().as_ref(), dir()).unwrap() {
                assert_eq!(open(&disk).unwrap().1.mark, first);
            } else {
                assert!(!done, "a created log is durable");
                Wal::create(disk.disk(), dir(), WHOSE, &first, SMALL).unwrap();
            }
            if done {
                break;
            }
        }
    }
}
