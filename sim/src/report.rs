//! What one run says: to a parent process as a line of JSON, to people as text, to bundles as a
//! file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{check::Violation, figures::Figures};

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
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Pass, Self::Inconclusive, Self::Violation, Self::Nondeterminism];

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

    /// As lines begin with it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Violation => "FAIL",
            Self::Nondeterminism => "NONDETERMINISM",
        }
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
    /// What failures of one cause have in common; empty if passed.
    pub signature: String,
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
    /// Where the rest of a failure is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<PathBuf>,
}

/// Violations printed, at most.
const TOLD_MAX: usize = 10;

impl Report {
    /// The line, and the violations that it does not tell of already.
    #[must_use]
    pub fn text(&self) -> String {
        let told = self.violations.iter().map(ToString::to_string);
        let others = told.filter(|one| *one != self.story).take(TOLD_MAX);
        others.fold(self.line(), |text, other| format!("{text}\n  {other}"))
    }

    /// One line for people; a second with the reason of what did not pass.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { seed, scenario, fingerprint, sim_secs, cpu_secs, figures, .. } = self;
        let word = self.verdict.word();
        let Figures { acknowledged, refused, unknown, watched, revision, crashes, .. } = figures;
        let fired: u64 = figures.fired.values().sum();
        let story = if self.story.is_empty() { "" } else { "\n  " };
        format!(
            "{word} {scenario} seed {seed} {fingerprint}: {sim_secs:.0} s simulated in \
             {cpu_secs:.1} s, {acknowledged} answered, {refused} refused, {unknown} unknown, \
             {watched} watched, revision {revision}, {crashes} crashes, {fired} faults bit\
             {story}{}",
            self.story
        )
    }
}

#[cfg(test)]
impl Report {
    /// Of a run that was not.
    pub(crate) fn sample(verdict: Verdict, violations: Vec<Violation>) -> Self {
        Self {
            seed: 7,
            scenario: "x".to_owned(),
            verdict,
            story: violations.first().map_or(String::new(), ToString::to_string),
            signature: "x".to_owned(),
            violations,
            fingerprint: "00ff".to_owned(),
            events: 3,
            sim_secs: 1.0,
            cpu_secs: 0.1,
            figures: Figures::default(),
            bundle: None,
        }
    }
}

#[cfg(test)]
impl Violation {
    /// Of this class.
    pub(crate) fn sample(class: &str) -> Self {
        Self { class: class.to_owned(), story: "told".to_owned(), ops: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_told_once() {
        let violations = ["halted", "live.write", "halted"].map(Violation::sample);
        let report = Report::sample(Verdict::Violation, violations.into());
        let text = report.text();
        assert_eq!(text.matches("halted: told").count(), 1, "{text}");
        assert!(text.ends_with("\n  live.write: told"), "{text}");
    }
}
