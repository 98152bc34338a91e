//! One bug, one master seed: run after run, until something is found or time is up.
//!
//! Pure: runs are a port, so that what counts as found can be tested without processes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seeds of one master seed lie together and never meet those of another.
const SEEDS_PER_MASTER: u64 = 1_000_000;
/// A run costs at least this much, so that runs that tell nothing end a hunt, too.
const RUN_CPU_MIN: Duration = Duration::from_millis(50);

/// Characters of a story in a line.
const STORY_CHARS_MAX: usize = 160;

/// A violation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Found {
    /// By its place in the list.
    pub scenario: usize,
    /// Of the run.
    pub seed: u64,
    /// Which promise.
    pub class: String,
    /// In one line.
    pub story: String,
}

/// What one run came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Processor time it took.
    pub cpu: Duration,
    /// What was violated.
    pub found: Option<Found>,
}

/// What is hunted.
pub trait Prey {
    /// Runs a scenario with the bug.
    fn run(&self, scenario: usize, seed: u64) -> Outcome;

    /// Is the scenario not violated without it?
    fn is_sound(&self, scenario: usize, seed: u64) -> bool;
}

/// Where to hunt.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// What seeds and order depend on.
    pub master: u64,
    /// How many there are; each has its turn.
    pub scenarios: usize,
    /// Time to spend.
    pub cpu: Duration,
}

/// What came of a hunt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Caught {
    /// From which master seed.
    pub master: u64,
    /// Runs with the bug.
    pub runs: u64,
    /// Processor time of those runs.
    pub cpu: Duration,
    /// What was found.
    pub found: Option<Found>,
    /// Scenario and seed of runs that are violated without the bug as well.
    pub unsound: Vec<(usize, u64)>,
}

impl Caught {
    /// For people who wait.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { master, runs, cpu, found, .. } = self;
        let found = found.as_ref().map_or("not found", |found| &found.story);
        let story: String = found.chars().take(STORY_CHARS_MAX).collect();
        format!("master {master} {runs} runs {:.1} s: {story}", cpu.as_secs_f64())
    }
}

impl Hunt {
    /// Hunts.
    pub fn run(self, prey: &impl Prey) -> Caught {
        let Self { master, scenarios, cpu: cpu_max } = self;
        let mut caught =
            Caught { master, runs: 0, cpu: Duration::ZERO, found: None, unsound: Vec::new() };
        while caught.cpu < cpu_max {
            let seed = master * SEEDS_PER_MASTER + caught.runs;
            // Another master seed begins with another scenario.
            let turn = master + caught.runs;
            let scenario = usize::try_from(turn % scenarios as u64).unwrap_or(0);
            let outcome = prey.run(scenario, seed);
            caught.runs += 1;
            caught.cpu += outcome.cpu.max(RUN_CPU_MIN);
            let Some(found) = outcome.found else { continue };
            if prey.is_sound(scenario, seed) {
                caught.found = Some(found);
                return caught;
            }
            caught.unsound.push((scenario, seed));
        }
        caught
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Violated at the `at`-th seed of each master seed, and anyway at some others.
    struct Fake {
        at: u64,
        anyway: &'static [u64],
    }

    impl Prey for Fake {
        fn run(&self, scenario: usize, seed: u64) -> Outcome {
            let number = seed % SEEDS_PER_MASTER;
            let is_violated = number == self.at || self.anyway.contains(&number);
            let (class, story) = ("class".to_owned(), String::new());
            let found = is_violated.then_some(Found { scenario, seed, class, story });
            Outcome { cpu: Duration::from_secs(1), found }
        }

        fn is_sound(&self, _: usize, seed: u64) -> bool {
            !self.anyway.contains(&(seed % SEEDS_PER_MASTER))
        }
    }

    fn hunt(prey: &Fake) -> Caught {
        Hunt { master: 3, scenarios: 2, cpu: Duration::from_secs(10) }.run(prey)
    }

    #[test]
    fn a_hunt_ends_with_the_first_violation() {
        let caught = hunt(&Fake { at: 4, anyway: &[] });
        let found = caught.found.expect("it is there");
        assert_eq!((caught.runs, caught.cpu), (5, Duration::from_secs(5)));
        assert_eq!((found.seed, found.scenario), (3 * SEEDS_PER_MASTER + 4, 1));
    }

    #[test]
    fn a_hunt_ends_when_time_is_up() {
        let caught = hunt(&Fake { at: 10, anyway: &[] });
        assert_eq!((caught.runs, caught.found), (10, None));
    }

    #[test]
    fn what_is_violated_without_the_bug_is_not_found() {
        let caught = hunt(&Fake { at: 10, anyway: &[2] });
        assert_eq!(caught.found, None);
        assert_eq!(caught.unsound, [(1, 3 * SEEDS_PER_MASTER + 2)]);
    }
}
