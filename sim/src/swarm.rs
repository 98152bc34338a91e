//! Many seeds of one scenario, a process each, and the table at the end.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use crate::{
    fleet,
    report::{Report, Verdict},
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// The seeds.
    pub seeds: RangeInclusive<u64>,
    /// Processes at a time.
    pub jobs: usize,
    /// Each seed twice, and their fingerprints compared.
    pub twice: bool,
    /// Stop at the first that does not pass.
    pub fail_fast: bool,
    /// The command line of a run without its seed.
    pub command: Vec<String>,
}

/// Sums over all runs.
#[derive(Default)]
struct Summary {
    seeds: u64,
    failed: u64,
    sim_secs: f64,
    cpu_secs: f64,
    acknowledged: u64,
    unknown: u64,
    watched: u64,
    crashes: u64,
    torn_writes: u64,
    lost_writes: u64,
    lost_names: u64,
    worst: Option<Verdict>,
}

impl Summary {
    fn add(&mut self, report: &Report) {
        let figures = &report.figures;
        self.seeds += 1;
        self.sim_secs += report.sim_secs;
        self.cpu_secs += report.cpu_secs;
        self.acknowledged += figures.acknowledged;
        self.unknown += figures.unknown;
        self.watched += figures.watched;
        self.crashes += figures.crashes;
        let fired = |name| figures.fired.get(name).copied().unwrap_or(0);
        self.torn_writes += fired("torn_write");
        self.lost_writes += fired("lost_write");
        self.lost_names += fired("lost_name");
    }

    fn judge(&mut self, verdict: Verdict) {
        self.failed += u64::from(verdict != Verdict::Pass);
        self.worst = Some(self.worst.map_or(verdict, |worst| worst.worst(verdict)));
    }

    fn print(&self) {
        println!("runs              {:>12}   seeds not passed {}", self.seeds, self.failed);
        println!(
            "simulated seconds {:>12.0}   per run {:.1}",
            self.sim_secs,
            self.per(self.sim_secs)
        );
        println!(
            "processor seconds {:>12.1}   per run {:.2}",
            self.cpu_secs,
            self.per(self.cpu_secs)
        );
        println!("operations        {:>12}   unknown {}", self.acknowledged, self.unknown);
        println!("watched changes   {:>12}", self.watched);
        println!("crashes           {:>12}", self.crashes);
        println!(
            "writes torn       {:>12}   lost {}   names lost {}",
            self.torn_writes, self.lost_writes, self.lost_names
        );
    }

    fn per(&self, sum: f64) -> f64 {
        sum / self.seeds.max(1) as f64
    }
}

/// Runs the swarm; prints a line per run that does not pass, and the table.
#[must_use]
pub fn run(swarm: &Swarm) -> u8 {
    let todo: Mutex<VecDeque<u64>> = Mutex::new(swarm.seeds.clone().collect());
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..swarm.jobs.max(1) {
            scope.spawn(|| {
                while let Some(seed) = next(&todo) {
                    let verdict = run_seed(swarm, seed, &summary);
                    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                    summary.judge(verdict);
                    if verdict != Verdict::Pass && swarm.fail_fast {
                        todo.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    }
                }
            });
        }
    });
    let summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.print();
    summary.worst.map_or(2, Verdict::exit_code)
}

fn next(todo: &Mutex<VecDeque<u64>>) -> Option<u64> {
    todo.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn run_seed(swarm: &Swarm, seed: u64, summary: &Mutex<Summary>) -> Verdict {
    let mut first: Option<Report> = None;
    for _ in 0..if swarm.twice { 2 } else { 1 } {
        let mut command = swarm.command.clone();
        command.extend(["--seed".to_owned(), seed.to_string()]);
        let child = fleet::run_child::<Report>(&command);
        let report = match child {
            Ok(fleet::Child { report: Some(report), said }) => {
                if report.verdict != Verdict::Pass {
                    println!("{}\n{}", report.line(), tail(&said));
                }
                report
            }
            Ok(fleet::Child { report: None, said }) => {
                println!("INCONCLUSIVE seed {seed}: no report\n{}", tail(&said));
                return Verdict::Inconclusive;
            }
            Err(error) => {
                println!("INCONCLUSIVE seed {seed}: {error}");
                return Verdict::Inconclusive;
            }
        };
        summary.lock().unwrap_or_else(PoisonError::into_inner).add(&report);
        match &first {
            Some(first) if first.fingerprint != report.fingerprint => {
                println!(
                    "NONDETERMINISM seed {seed}: {} and then {}",
                    first.fingerprint, report.fingerprint
                );
                return Verdict::Nondeterminism;
            }
            Some(_) => {}
            None => first = Some(report),
        }
    }
    first.map_or(Verdict::Inconclusive, |report| report.verdict)
}

/// The end of what a child said: a panic's message is near it.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    let from = lines.len().saturating_sub(12);
    lines.iter().skip(from).fold(String::new(), |text, line| format!("{text}  | {line}\n"))
}
