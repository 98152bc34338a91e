//! The command: every bug from every master seed, each run in a process of its own.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clap::Args;
use indicatif::ProgressBar;
use reseed_planted::Bug;

use super::{
    hunt::{Found, Hunt, Outcome, Prey},
    ledger::{Ledger, Terms},
    table::{Row, Table},
};
use crate::{
    cli::parse_time,
    fleet, out,
    plan::scenario,
    report::{Report, Verdict},
};

/// A run that takes longer than this hangs: the planted bug makes the program spin.
const RUN_MAX: Duration = Duration::from_secs(120);
/// Share of the bugs that must be found.
const FOUND_PERCENT_MIN: usize = 95;

/// What to hunt, and how long.
#[derive(Args, Debug)]
pub struct Options {
    /// Scenario files; those of `scenarios/fast`, `swarm` and `cluster` without.
    scenarios: Vec<PathBuf>,
    /// Only this bug; may be given again.
    #[arg(long)]
    bug: Vec<String>,
    /// Master seeds per bug.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// The first master seed: other numbers hunt in other places.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Processor time per bug and master seed, such as `10m`.
    #[arg(long, default_value = "10m", value_parser = parse_time)]
    cpu: Duration,
    /// Processes at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Note hunts here as they end, and leave out those that are in it: what was stopped goes
    /// on.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Write the table here, too, as Markdown.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Write everything here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Runs the command: 0 if enough was found, 1 if not, 2 if it makes no sense.
#[must_use]
pub fn command(options: &Options) -> u8 {
    let rows = match hunt_all(options) {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("reseed-sim: {error}");
            return 2;
        }
    };
    let table = Table { rows, cpu: options.cpu };
    out::print(&table.text());
    let files = [(&options.markdown, table.markdown()), (&options.json, table.json())];
    for (file, content) in files {
        if let Some(file) = file
            && let Err(error) = fs::write(file, content)
        {
            eprintln!("reseed-sim: {}: {error}", file.display());
            return 2;
        }
    }
    u8::from(table.found_percent() < FOUND_PERCENT_MIN)
}

fn bugs(names: &[String]) -> Result<Vec<Bug>, String> {
    if names.is_empty() {
        return Ok(Bug::ALL.to_vec());
    }
    scenario::check_bugs(names)?;
    Ok(names.iter().filter_map(|name| Bug::named(name)).collect())
}

/// The files to run; none of them may know of bugs.
fn scenarios(files: &[PathBuf]) -> Result<Vec<String>, String> {
    let mut found = vec![files.to_vec()];
    if files.is_empty() {
        let all = files_of("scenarios/cluster");
        let one = all.iter().step_by(2).cloned().collect();
        let other = all.iter().skip(1).step_by(2).rev().cloned().collect();
        // Most of what can go wrong takes several members: every second run has them.
        found = vec![files_of("scenarios/fast"), one, files_of("scenarios/swarm"), other];
    }
    let found = dealt(found);
    if found.is_empty() {
        return Err("there are no scenarios".to_owned());
    }
    Ok(found.into_iter().map(|path| path.display().to_string()).collect())
}

fn files_of(dir: &str) -> Vec<PathBuf> {
    // One of them may be missing: then the others are all there is.
    let entries = fs::read_dir(dir).into_iter().flatten();
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut found: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    found.sort();
    found
}

/// One of each pile in turn, so that a hunt meets every kind of scenario early; the shorter piles
/// go round.
fn dealt(piles: Vec<Vec<PathBuf>>) -> Vec<PathBuf> {
    let longest = piles.iter().map(Vec::len).max().unwrap_or(0);
    let turn = |n: usize| piles.iter().filter_map(move |pile| pile.iter().cycle().nth(n));
    (0..longest).flat_map(|n| turn(n).cloned().collect::<Vec<_>>()).collect()
}

/// What is known of runs without a bug, by scenario and seed.
type Sound = Mutex<BTreeMap<(usize, u64), bool>>;

fn hunt_all(options: &Options) -> Result<Vec<Row>, String> {
    let bugs = bugs(&options.bug)?;
    let terms = Terms { scenarios: scenarios(&options.scenarios)?, cpu: options.cpu };
    let ledger = match &options.ledger {
        Some(path) => Ledger::open(path, &terms)?,
        None => Ledger::default(),
    };
    let scenarios = terms.scenarios.as_slice();
    let masters = options.first..options.first + options.seeds;
    let all = bugs.iter().flat_map(|bug| masters.clone().map(|master| (*bug, master)));
    let mut todo: Vec<(Bug, u64)> =
        all.filter(|(bug, master)| !ledger.has(*bug, *master)).collect();
    todo.reverse();
    let progress = ProgressBar::new(todo.len() as u64);
    let (todo, sound) = (Mutex::new(todo), Sound::default());
    let (ledger, failed) = (Mutex::new(ledger), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some((bug, master)) = { lock(&todo).pop() } {
                    let prey = Processes { bug, scenarios, sound: &sound };
                    let hunt = Hunt { master, scenarios: scenarios.len(), cpu: options.cpu };
                    let caught = hunt.run(&prey);
                    let line = format!("{:<24} {}", bug.name(), caught.line());
                    progress.suspend(|| out::line(line));
                    if let Err(error) = lock(&ledger).add(bug, caught) {
                        *lock(&failed) = Some(format!("the ledger: {error}"));
                        lock(&todo).clear();
                    }
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    if let Some(error) = lock(&failed).take() {
        return Err(error);
    }
    let ledger = lock(&ledger);
    Ok(bugs.iter().map(|bug| Row::new(*bug, ledger.of(*bug), scenarios)).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a scenario with the bug in a process of its own.
struct Processes<'a> {
    bug: Bug,
    scenarios: &'a [String],
    sound: &'a Sound,
}

impl Processes<'_> {
    fn child(&self, scenario: usize, seed: u64, bug: Option<Bug>) -> Outcome {
        let mut command = ["run", "--child", "--forget"].map(str::to_owned).to_vec();
        command.push(self.scenarios[scenario].clone());
        command.extend(["--seed".to_owned(), seed.to_string()]);
        if let Some(bug) = bug {
            command.extend(["--planted".to_owned(), bug.name().to_owned()]);
        }
        match fleet::run_child_within::<Report>(&command, RUN_MAX) {
            Ok(Some(fleet::Child { report: Some(report), .. })) => Outcome {
                cpu: Duration::from_secs_f64(report.cpu_secs),
                found: (report.verdict == Verdict::Violation).then(|| Found {
                    scenario,
                    seed,
                    class: report.violations.first().map_or("missed", |v| &v.class).to_owned(),
                    story: report.story,
                }),
            },
            // No report, or no process: nothing is known.
            Ok(Some(fleet::Child { report: None, .. })) | Err(_) => Outcome::default(),
            Ok(None) => Outcome {
                cpu: RUN_MAX,
                found: Some(Found {
                    scenario,
                    seed,
                    class: "live.spin".to_owned(),
                    story: format!("the run was not over after {RUN_MAX:?}"),
                }),
            },
        }
    }
}

impl Prey for Processes<'_> {
    fn run(&self, scenario: usize, seed: u64) -> Outcome {
        self.child(scenario, seed, Some(self.bug))
    }

    fn is_sound(&self, scenario: usize, seed: u64) -> bool {
        let known = lock(self.sound).get(&(scenario, seed)).copied();
        known.unwrap_or_else(|| {
            let sound = self.child(scenario, seed, None).found.is_none();
            lock(self.sound).insert((scenario, seed), sound);
            sound
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_nobody_knows_is_refused() {
        assert!(bugs(&["ack-before-sync".to_owned()]).is_ok());
        assert!(bugs(&["no-such-bug".to_owned()]).is_err());
        assert_eq!(bugs(&[]).map(|bugs| bugs.len()), Ok(Bug::ALL.len()));
    }
}
