//! One seed of a swarm: a process, and often a second one that must do the same.

use std::time::Duration;

use crate::{
    fingerprint::fold,
    fleet::{self, Child},
    report::{Report, Verdict},
    signature::signature,
    swarm::queue::Work,
};

/// Real time after which a process hangs. That depends on the machine, so it decides nothing but
/// that nothing is known.
const RUN_MAX: Duration = Duration::from_secs(900);

/// Which seeds run twice. Failures always do: from their bundles, with the trace written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Twice {
    /// Every seed.
    All,
    /// One in ten of those that pass, chosen by the hash of the seed.
    Sample,
}

impl Twice {
    fn includes(self, work: &Work) -> bool {
        let hash = fold(format!("{} {}", work.scenario, work.seed).as_bytes());
        self == Self::All || hash.is_multiple_of(10)
    }
}

/// How a seed went.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) scenario: String,
    pub(super) seed: u64,
    pub(super) verdict: Verdict,
    /// Why, if not passed.
    pub(super) story: String,
    /// What failures of its cause have in common.
    pub(super) signature: String,
    /// The end of what the processes said besides their reports.
    pub(super) said: String,
    /// One for each process that gave one.
    pub(super) reports: Vec<Report>,
}

impl Done {
    /// Processor time of all processes.
    pub(super) fn cpu(&self) -> Duration {
        let secs: f64 = self.reports.iter().map(|report| report.cpu_secs).sum();
        // A process that gave no report took some time too, or a budget would last for ever.
        Duration::from_secs_f64(secs.max(0.05))
    }

    /// The command that shows it again.
    pub(super) fn replay(&self) -> String {
        match self.reports.first().and_then(|report| report.bundle.as_ref()) {
            Some(bundle) => format!("cargo sim replay {}", bundle.display()),
            None => format!("cargo sim run --seed {} ({})", self.seed, self.scenario),
        }
    }

    fn broken(work: &Work, said: String, story: String) -> Self {
        Self {
            scenario: work.scenario.clone(),
            seed: work.seed,
            verdict: Verdict::Inconclusive,
            signature: signature("inconclusive", &story),
            story,
            said,
            reports: Vec::new(),
        }
    }
}

/// Runs one seed.
pub(super) fn run(work: &Work, twice: Twice) -> Done {
    let mut command = work.command.clone();
    command.extend(["--seed".to_owned(), work.seed.to_string()]);
    let (first, said) = match child(&command) {
        Ok(told) => told,
        Err((said, story)) => return Done::broken(work, said, story),
    };
    let mut done = Done {
        scenario: first.scenario.clone(),
        seed: first.seed,
        verdict: first.verdict,
        story: first.story.clone(),
        signature: first.signature.clone(),
        said,
        reports: vec![first.clone()],
    };
    let again = match &first.bundle {
        Some(bundle) => replay(&bundle.display().to_string()),
        None if twice.includes(work) => command,
        None => return done,
    };
    match child(&again) {
        Ok((second, _)) => {
            compare(&mut done, &first, &second);
            done.reports.push(second);
        }
        Err((said, story)) => {
            differs(&mut done, format!("the second run: {story}"));
            done.said.push_str(&said);
        }
    }
    done
}

/// The command line that runs a bundle's plan again and completes the bundle.
fn replay(bundle: &str) -> Vec<String> {
    ["replay", "--child", "--record", bundle].map(str::to_owned).to_vec()
}

/// The report of a process and what else it said; or that and why there is no report.
fn child(command: &[String]) -> Result<(Report, String), (String, String)> {
    match fleet::run_child_within::<Report>(command, RUN_MAX) {
        Ok(Some(Child { report: Some(report), said })) => Ok((report, tail(&said))),
        Ok(Some(Child { report: None, said })) => Err((tail(&said), "no report".to_owned())),
        Ok(None) => Err((String::new(), format!("no report within {RUN_MAX:?}"))),
        Err(error) => Err((String::new(), format!("no process: {error}"))),
    }
}

fn compare(done: &mut Done, first: &Report, second: &Report) {
    if first.fingerprint != second.fingerprint {
        let hashes = format!("{} and then {}", first.fingerprint, second.fingerprint);
        differs(done, hashes);
    }
}

fn differs(done: &mut Done, story: String) {
    done.verdict = Verdict::Nondeterminism;
    done.signature = "nondeterminism".to_owned();
    done.story = story;
}

/// The end of what a process said: a panic's message is near it.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let from = lines.len().saturating_sub(12);
    lines.iter().skip(from).fold(String::new(), |text, line| format!("{text}  | {line}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_seeds_runs_twice_and_always_the_same() {
        let work = |seed| Work { scenario: "x".into(), command: Vec::new(), seed };
        let sample: Vec<u64> =
            (0..1000).filter(|seed| Twice::Sample.includes(&work(*seed))).collect();
        assert!((70..130).contains(&sample.len()), "{}", sample.len());
        assert!(sample.iter().all(|seed| Twice::Sample.includes(&work(*seed))));
        assert!((0..1000).all(|seed| Twice::All.includes(&work(seed))));
    }
}
