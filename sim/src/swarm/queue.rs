//! Which runs a swarm makes: every scenario with the first seed, then with the next, and so on,
//! until the seeds or the processor time are used up.

use std::{ops::RangeInclusive, time::Duration};

/// A scenario or plan to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Work {
    /// Its name.
    pub scenario: String,
    /// The command line of a run, without the seed.
    pub command: Vec<String>,
    /// The seed.
    pub seed: u64,
}

/// Runs to come.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Name and command of each scenario, and the one seed it has if it is a plan.
    scenarios: Vec<(String, Vec<String>, Option<u64>)>,
    seeds: RangeInclusive<u64>,
    /// Processor time there is, if that is what limits.
    budget: Option<Duration>,
    spent: Duration,
    at: usize,
}

impl Queue {
    /// Every scenario with every seed, as long as there is processor time.
    #[must_use]
    pub fn new(seeds: RangeInclusive<u64>, budget: Option<Duration>) -> Self {
        Self { scenarios: Vec::new(), seeds, budget, spent: Duration::ZERO, at: 0 }
    }

    /// Adds a scenario; with a seed: a plan, which runs once.
    pub fn add(&mut self, name: String, command: Vec<String>, seed: Option<u64>) {
        self.scenarios.push((name, command, seed));
    }

    /// No more.
    pub fn stop(&mut self) {
        self.budget = Some(Duration::ZERO);
    }

    /// So much processor time was spent.
    pub fn spend(&mut self, time: Duration) {
        self.spent += time;
    }

    /// How many runs there are, where seeds limit them and not time.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        let plans = self.scenarios.iter().filter(|(_, _, seed)| seed.is_some()).count() as u64;
        let drawn = self.scenarios.len() as u64 - plans;
        let seeds = (self.seeds.end() - self.seeds.start()).saturating_add(1);
        self.budget.is_none().then(|| seeds.saturating_mul(drawn) + plans)
    }
}

impl Iterator for Queue {
    type Item = Work;

    fn next(&mut self) -> Option<Work> {
        loop {
            let round = self.at.checked_div(self.scenarios.len())?;
            let seed = self.seeds.start().checked_add(round as u64)?;
            let used_up = self.budget.is_some_and(|budget| self.spent >= budget);
            if seed > *self.seeds.end() || used_up {
                return None;
            }
            let (scenario, command, own) = &self.scenarios[self.at % self.scenarios.len()];
            self.at += 1;
            if own.is_some() && round > 0 {
                if self.scenarios.iter().all(|(_, _, seed)| seed.is_some()) {
                    return None;
                }
                continue;
            }
            let seed = own.unwrap_or(seed);
            return Some(Work { scenario: scenario.clone(), command: command.clone(), seed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(seeds: RangeInclusive<u64>, budget: Option<u64>) -> Queue {
        let mut queue = Queue::new(seeds, budget.map(Duration::from_secs));
        queue.add("a".into(), Vec::new(), None);
        queue.add("plan".into(), Vec::new(), Some(99));
        queue.add("b".into(), Vec::new(), None);
        queue
    }

    #[test]
    fn every_scenario_gets_every_seed_and_a_plan_its_own_once() {
        let mut queue = queue(5..=6, None);
        assert_eq!(queue.left(), Some(5));
        let runs: Vec<_> = queue.by_ref().map(|work| (work.scenario, work.seed)).collect();
        let expected = [("a", 5), ("plan", 99), ("b", 5), ("a", 6), ("b", 6)];
        assert_eq!(runs, expected.map(|(name, seed)| (name.to_owned(), seed)));
        assert_eq!(Queue::new(1..=9, None).next(), None);
    }

    #[test]
    fn only_plans_end_after_one_round() {
        let mut queue = Queue::new(1..=u64::MAX, None);
        queue.add("plan".into(), Vec::new(), Some(3));
        assert_eq!(queue.count(), 1);
    }

    #[test]
    fn a_budget_ends_it_whatever_seeds_are_left() {
        let mut queue = queue(1..=u64::MAX, Some(10));
        assert_eq!(queue.left(), None);
        assert!(queue.next().is_some());
        queue.spend(Duration::from_secs(9));
        assert!(queue.next().is_some());
        queue.spend(Duration::from_secs(1));
        assert_eq!(queue.next(), None);
    }
}
