//! What one run says: to the fleet as a line of JSON, to people as text, to a failure's bundle.

use std::{fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    check::Violation,
    figures::Figures,
    kv_history::{self as history, Event},
    plan::Plan,
};

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing wrong, and enough happened to mean something. Of a scenario that expects a
    /// violation: it was found.
    Pass,
    /// Too little happened, or the run broke before it could be judged.
    Inconclusive,
    /// A promise was broken. Of a scenario that expects a violation: another one, or none.
    Violation,
    /// The same seed did something else the second time.
    Nondeterminism,
}

impl Verdict {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Violation => 1,
            Self::Inconclusive => 3,
            Self::Nondeterminism => 4,
        }
    }

    /// The one a summary reports: nondeterminism before a violation before the rest.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        self.max(other)
    }
}

/// The report of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The scenario's name.
    pub scenario: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why, if not passed: the first violation, or what was missing.
    pub story: String,
    /// All violations.
    pub violations: Vec<Violation>,
    /// The hash over everything that happened.
    pub fingerprint: String,
    /// Events in it.
    pub events: u64,
    /// Simulated seconds.
    pub sim_secs: f64,
    /// Processor seconds of this process so far.
    pub cpu_secs: f64,
    /// Counters.
    pub figures: Figures,
}

impl Report {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { seed, scenario, verdict, fingerprint, sim_secs, cpu_secs, figures, .. } = self;
        let word = match verdict {
            Verdict::Pass => "pass",
            Verdict::Inconclusive => "INCONCLUSIVE",
            Verdict::Violation => "FAIL",
            Verdict::Nondeterminism => "NONDETERMINISM",
        };
        let Figures { acknowledged, unknown, watched, revision, crashes, .. } = figures;
        let [torn_writes, lost_writes, lost_names] = ["torn_write", "lost_write", "lost_name"]
            .map(|name| figures.fired.get(name).copied().unwrap_or(0));
        format!(
            "{word} {scenario} seed {seed} {fingerprint}: {sim_secs:.0} s simulated in \
             {cpu_secs:.1} s, {acknowledged} answered, {unknown} unknown, {watched} watched, \
             revision {revision}, {crashes} crashes, writes torn {torn_writes} lost \
             {lost_writes}, names lost {lost_names}{}{}",
            if self.story.is_empty() { "" } else { "\n  " },
            self.story
        )
    }
}

/// Keeps what a failed run leaves: `target/sim-failures/<seed>/`.
///
/// # Errors
/// If the directory cannot be written.
pub fn keep_failure(report: &Report, plan: &Plan, history: &[Event]) -> io::Result<PathBuf> {
    let dir = PathBuf::from("target/sim-failures").join(report.seed.to_string());
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    fs::write(dir.join("plan.json"), serde_json::to_vec_pretty(plan)?)?;
    let mut lines = Vec::new();
    history::write(history, &mut lines)?;
    fs::write(dir.join("history.jsonl"), lines)?;
    Ok(dir)
}
