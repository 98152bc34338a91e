//! One run of a plan in this process, from the plan to a report and, if it fails, a bundle.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    bundle::{self, Contents},
    figures::{Counts, Figures},
    history::{Event, Recorder},
    judge::{self, Outcome},
    plan::Plan,
    report::{Report, Verdict},
    run::{self, Ended, Setting},
    sysint,
    trial::{self, Trial},
};

/// What a run is besides its plan.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Where to write every event.
    pub trace: Option<PathBuf>,
    /// Keep a bundle of a run that does not pass; the hash of the scenario's file.
    pub keep: Option<String>,
    /// Add the decisions of this run to this bundle.
    pub decisions: Option<PathBuf>,
}

/// Runs `plan` and judges it.
#[must_use]
pub fn run_and_judge(plan: &Plan, order: &Order) -> Report {
    let recorder = Recorder::default();
    let (running, recording) = (plan.clone(), recorder.clone());
    let setting = Setting {
        seed: plan.seed,
        time_limit: Duration::from_secs(plan.limits.sim_seconds),
        trace: order.trace.clone(),
    };
    let ended = run::simulate(setting, move || async move { trial::run(running, recording).await });
    let history = recorder.take();
    let mut report = report(plan, &ended, &history);
    if let Some(dir) = &order.decisions {
        complain("the decisions", bundle::write_decisions(dir, &ended.decisions));
    }
    if let (Some(hash), true) = (&order.keep, report.verdict != Verdict::Pass) {
        let dir = bundle::place(&report.scenario, report.seed);
        report.bundle = Some(dir.clone());
        complain("the failure", keep(&dir, &report, (plan, hash), &ended, &history));
    }
    report
}

fn complain(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("cannot keep {what}: {error}");
    }
}

fn keep(
    dir: &Path,
    report: &Report,
    (plan, scenario_hash): (&Plan, &str),
    ended: &Ended<Trial>,
    history: &[Event],
) -> io::Result<()> {
    let trial = ended.output.as_ref().ok();
    let audit = trial.and_then(|trial| trial.audit.as_ref());
    bundle::write(dir, &Contents { report, plan, scenario_hash, history, audit })
}

fn report(plan: &Plan, ended: &Ended<Trial>, history: &[Event]) -> Report {
    let mut outcome = match &ended.output {
        Ok(trial) => Outcome {
            violations: trial.violations.clone(),
            undecided: trial.undecided.clone(),
            figures: trial.figures.clone(),
        },
        Err(panic) => {
            let mut figures = Figures::default();
            trial::count(&mut figures, history);
            Outcome { violations: vec![judge::of_panic(panic)], undecided: None, figures }
        }
    };
    // Counted outside the trial, because a trial that panics tells nothing.
    outcome.figures.points = some(reseed_rt::sim::points());
    outcome.figures.probes = some(reseed_rt::sim::probes());
    outcome.figures.fired = ended.fired.clone();
    let judgement = judge::judge(plan, &outcome);
    Report {
        seed: plan.seed,
        scenario: plan.name.clone(),
        verdict: judgement.verdict,
        story: judgement.story,
        signature: judgement.signature,
        violations: outcome.violations,
        fingerprint: ended.fingerprint.clone(),
        events: ended.events,
        sim_secs: ended.elapsed.as_secs_f64(),
        cpu_secs: sysint::cpu_time().as_secs_f64(),
        figures: outcome.figures,
        bundle: None,
    }
}

/// Those of this process, which runs one simulation, that happened at all.
fn some(counts: impl Iterator<Item = (&'static str, u64)>) -> Counts {
    counts.filter(|(_, count)| *count > 0).map(|(name, count)| (name.into(), count)).collect()
}
