//! What all runs of a swarm add up to.

use std::collections::BTreeMap;

use super::job::Done;
use crate::{figures::Figures, report::Verdict};

/// How many seeds of a folded failure are named.
const SEEDS_NAMED: usize = 8;

/// What all runs add up to.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many seeds of each scenario ended how.
    pub(super) verdicts: BTreeMap<String, BTreeMap<Verdict, u64>>,
    /// Processes, of which each seed has one or two.
    pub(super) runs: u64,
    pub(super) sim_secs: f64,
    pub(super) cpu_secs: f64,
    pub(super) figures: Figures,
    /// Failures by signature.
    pub(super) failures: BTreeMap<String, Failure>,
    /// Every seed, for JUnit.
    pub(super) cases: Vec<Case>,
}

/// Failures of one signature.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    pub(super) count: u64,
    /// Scenario and seed of the first few.
    pub(super) seeds: Vec<(String, u64)>,
    pub(super) replay: String,
}

/// One seed.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) scenario: String,
    pub(super) seed: u64,
    pub(super) verdict: Verdict,
    pub(super) story: String,
    pub(super) signature: String,
    pub(super) replay: String,
    pub(super) trace_hash: String,
    pub(super) sim_secs: f64,
    pub(super) cpu_secs: f64,
    pub(super) operations: u64,
    pub(super) fired: u64,
}

impl Summary {
    /// Adds a seed; the text to print if it failed in a way none failed before.
    pub(super) fn add(&mut self, done: Done) -> Option<String> {
        for report in &done.reports {
            self.runs += 1;
            self.sim_secs += report.sim_secs;
            self.cpu_secs += report.cpu_secs;
            self.figures.add(&report.figures);
        }
        let verdicts = self.verdicts.entry(done.scenario.clone()).or_default();
        *verdicts.entry(done.verdict).or_default() += 1;
        self.cases.push(case(&done));
        if done.verdict == Verdict::Pass {
            return None;
        }
        let known = self.failures.get_mut(&done.signature);
        let text = known.is_none().then(|| text(&done));
        let failure = self.failures.entry(done.signature.clone()).or_insert_with(|| Failure {
            verdict: done.verdict,
            count: 0,
            seeds: Vec::new(),
            replay: done.replay(),
        });
        failure.count += 1;
        if failure.seeds.len() < SEEDS_NAMED {
            failure.seeds.push((done.scenario, done.seed));
        }
        text
    }

    /// How it ended; nothing, if nothing ran.
    #[must_use]
    pub fn worst(&self) -> Option<Verdict> {
        self.verdicts.values().flat_map(BTreeMap::keys).copied().reduce(Verdict::worst)
    }

    /// Seeds that ended so.
    pub(super) fn count(&self, verdict: Verdict) -> u64 {
        self.verdicts.values().filter_map(|counts| counts.get(&verdict)).sum()
    }

    /// For a progress bar.
    pub(super) fn in_short(&self) -> String {
        let failed: u64 = self.failures.values().map(|failure| failure.count).sum();
        format!("{failed} not passed, {:.0} s of CPU", self.cpu_secs)
    }
}

fn text(done: &Done) -> String {
    let Done { scenario, seed, story, signature, said, .. } = done;
    let word = done.verdict.word();
    let said = said.trim_end();
    // Whoever gave a report has said it all in there, but for where it panicked.
    let told = !done.reports.is_empty() && !signature.starts_with("panic");
    let said = if said.is_empty() || told { String::new() } else { format!("\n{said}") };
    let replay = done.replay();
    format!("{word} {scenario} seed {seed} [{signature}] {story}\n  {replay}{said}")
}

fn case(done: &Done) -> Case {
    let first = done.reports.first();
    let figures = first.map(|report| &report.figures);
    Case {
        scenario: done.scenario.clone(),
        seed: done.seed,
        verdict: done.verdict,
        story: done.story.clone(),
        signature: done.signature.clone(),
        replay: done.replay(),
        trace_hash: first.map(|report| report.fingerprint.clone()).unwrap_or_default(),
        sim_secs: first.map_or(0.0, |report| report.sim_secs),
        cpu_secs: done.cpu().as_secs_f64(),
        operations: figures.map_or(0, |figures| figures.acknowledged),
        fired: figures.map_or(0, |figures| figures.fired.values().sum()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::Report;

    /// A seed that ended with `verdict`.
    pub(in crate::swarm) fn done(seed: u64, verdict: Verdict, signature: &str) -> Done {
        let mut figures = Figures { acknowledged: 50, unknown: 2, ..Figures::default() };
        figures.fired.insert("stop".to_owned(), 3);
        figures.points.insert("apply.late".to_owned(), 6);
        figures.probes.insert("wal.rotated".to_owned(), 4);
        figures.coverage.insert("range.limit/zero".to_owned(), 5);
        let report = Report {
            seed,
            scenario: "x".to_owned(),
            verdict,
            story: String::new(),
            signature: signature.to_owned(),
            violations: Vec::new(),
            fingerprint: "00ff".to_owned(),
            events: 1,
            sim_secs: 30.0,
            cpu_secs: 0.5,
            figures,
            bundle: None,
        };
        Done {
            scenario: "x".to_owned(),
            seed,
            verdict,
            story: format!("story of <{seed}>"),
            signature: signature.to_owned(),
            said: String::new(),
            reports: vec![report],
        }
    }

    #[test]
    fn failures_of_one_signature_are_told_once_and_counted() {
        let mut summary = Summary::default();
        assert!(summary.add(done(1, Verdict::Pass, "")).is_none());
        let told = summary.add(done(2, Verdict::Violation, "a: b")).expect("the first is told");
        assert!(told.starts_with("FAIL x seed 2 [a: b] story of <2>"), "{told}");
        assert!(summary.add(done(3, Verdict::Violation, "a: b")).is_none());
        assert!(summary.add(done(4, Verdict::Inconclusive, "c: d")).is_some());
        assert_eq!(summary.failures["a: b"].count, 2);
        assert_eq!(summary.count(Verdict::Violation), 2);
        assert_eq!(summary.worst(), Some(Verdict::Violation));
        summary.add(done(5, Verdict::Nondeterminism, "nondeterminism"));
        assert_eq!(summary.worst(), Some(Verdict::Nondeterminism));
        assert_eq!(summary.figures.acknowledged, 250);
    }
}
