//! One run of a scenario in this process, from the seed to a verdict.

use std::{path::PathBuf, time::Duration};

use crate::{
    check::Violation,
    figures::Figures,
    kv_history::{Event, Recorder},
    plan::{Plan, scenario::Scenario},
    report::{Report, Verdict, keep_failure},
    run::{self, Ended, Setting},
    trial::{self, Trial},
};

/// What a run is besides its scenario.
#[derive(Clone, Debug)]
pub struct Order {
    /// Decides everything.
    pub seed: u64,
    /// Where to write a line per event.
    pub trace: Option<PathBuf>,
    /// Keep the history of a run that failed.
    pub keep: bool,
}

/// Runs `scenario` and judges it.
#[must_use]
pub fn run_and_judge(scenario: &Scenario, order: &Order) -> Report {
    let plan = Plan::draw(scenario, order.seed);
    let running = plan.clone();
    let recorder = Recorder::default();
    let recording = recorder.clone();
    let setting = Setting {
        seed: order.seed,
        time_limit: Duration::from_secs(scenario.limits.sim_seconds),
        trace: order.trace.clone(),
    };
    let ended = run::simulate(setting, move || async move { trial::run(running, recording).await });
    let history = recorder.events();
    let report = judge(scenario, order.seed, &ended, &history);
    if order.keep && report.verdict != Verdict::Pass {
        match keep_failure(&report, &plan, &history) {
            Ok(dir) => eprintln!("kept in {}", dir.display()),
            Err(error) => eprintln!("cannot keep the failure: {error}"),
        }
    }
    report
}

fn judge(scenario: &Scenario, seed: u64, ended: &Ended<Trial>, history: &[Event]) -> Report {
    let (violations, figures) = match &ended.output {
        Ok(trial) => (trial.violations.clone(), trial.figures.clone()),
        Err(panic) => {
            let mut figures = Figures::default();
            trial::count(&mut figures, history);
            (vec![of_panic(panic)], figures)
        }
    };
    let missing = || {
        let limits = &scenario.limits;
        let few =
            figures.acknowledged < limits.acknowledged_min || figures.crashes < limits.crashes_min;
        few.then(|| format!("too little happened: {figures:?}"))
    };
    let (verdict, story) = match (&scenario.expect.violation, violations.first()) {
        (None, Some(first)) => (Verdict::Violation, first.to_string()),
        (None, None) => match missing() {
            Some(story) => (Verdict::Inconclusive, story),
            None => (Verdict::Pass, String::new()),
        },
        (Some(class), Some(_)) => match violations.iter().find(|one| one.class == *class) {
            Some(found) => (Verdict::Pass, format!("found as expected: {found}")),
            None => (Verdict::Violation, format!("expected {class}, found {violations:?}")),
        },
        (Some(class), None) => (Verdict::Violation, format!("expected {class}, found nothing")),
    };
    Report {
        seed,
        scenario: scenario.name.clone(),
        verdict,
        story,
        violations,
        fingerprint: ended.fingerprint.clone(),
        events: ended.events,
        sim_secs: ended.elapsed.as_secs_f64(),
        cpu_secs: crate::sysint::cpu_time().as_secs_f64(),
        figures,
    }
}

/// A run that ended in a panic breaks a promise too; which one, its message tells.
fn of_panic(message: &str) -> Violation {
    let class = match message {
        _ if message.starts_with(trial::NO_BOOT) => "boot.refused",
        _ if message.starts_with(trial::HALTED) => "halted",
        _ if message.contains("time limit exceeded") => "live.hang",
        _ if message.contains("all tasks will block forever") => "live.hang",
        _ => "panic",
    };
    Violation { class: class.to_owned(), story: message.to_owned(), ops: Vec::new() }
}
