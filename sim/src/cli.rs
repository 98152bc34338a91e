//! The command line: `cargo sim run | swarm | selftest`.
//!
//! Exit codes: 0 all passed, 1 a violation, 2 usage, 3 inconclusive, 4 a seed that does not replay.

use std::{
    ops::RangeInclusive,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::{Args, Parser, Subcommand};

use crate::{
    bugbank, fleet,
    judge::{Order, run_and_judge},
    plan::scenario::Scenario,
    selftest,
    swarm::{self, Swarm},
    sysint,
};

/// The command line, or a scenario, makes no sense.
const USAGE: u8 = 2;
/// What `run` and `swarm` do without a scenario.
const DEFAULT_SCENARIO: &str = include_str!("../../scenarios/fast/power_loss.toml");

#[derive(Parser)]
#[command(name = "cargo sim", about = "Runs reseed in a simulated machine room")]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Subcommand)]
enum Sub {
    /// One seed of a scenario, in this process.
    Run(RunArgs),
    /// Many seeds of a scenario, a process each.
    Swarm(SwarmArgs),
    /// How well are bugs on purpose found?
    Bugbank(bugbank::Options),
    /// Proves the simulated world with a tiny service, each seed twice.
    Selftest(selftest::Options),
}

#[derive(Args)]
struct What {
    /// A scenario file, or a directory of them; power loss of one member without.
    scenario: Option<PathBuf>,
    /// A bug on purpose, such as `ack-before-sync`; may be given again.
    #[arg(long)]
    planted: Vec<String>,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    what: What,
    /// Decides everything.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a line per event to this file: two of them show where two runs part.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Print the report for a fleet.
    #[arg(long, hide = true)]
    child: bool,
}

#[derive(Args)]
struct SwarmArgs {
    #[command(flatten)]
    what: What,
    /// First and last seed, as `1..100`; both run.
    #[arg(long, default_value = "1..20", value_parser = parse_seeds)]
    seeds: RangeInclusive<u64>,
    /// Processes at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Run each seed twice and compare what happened.
    #[arg(long)]
    twice: bool,
    /// Stop at the first seed that does not pass.
    #[arg(long)]
    fail_fast: bool,
}

fn parse_seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once("..").ok_or("seeds are written as 1..100")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let (first, last) = (number(first)?, number(last.trim_start_matches('='))?);
    if first > last { Err(format!("{first}..{last} is empty")) } else { Ok(first..=last) }
}

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    if !sysint::addresses_are_fixed() {
        become_with_fixed_addresses();
    }
    init_log();
    let code = match Cli::parse().command {
        Sub::Run(args) => run(&args),
        Sub::Swarm(args) => swarm(&args),
        Sub::Bugbank(options) => bugbank::command(&options),
        Sub::Selftest(options) => selftest::command(&options),
    };
    ExitCode::from(code)
}

/// The server's log, if RUST_LOG asks for it; with no time of day, which is not the simulation's.
fn init_log() {
    // madsim calls every planned power failure an error.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error,madsim=off"));
    tracing_subscriber::fmt().with_env_filter(filter).without_time().with_ansi(false).init();
}

/// Starts this program over with fixed addresses; returns if that cannot be had.
fn become_with_fixed_addresses() {
    let fixed = sysint::fix_addresses().and_then(|()| std::env::current_exe());
    if let Ok(this) = fixed
        && sysint::addresses_are_fixed()
    {
        let error = Command::new(this).args(std::env::args_os().skip(1)).exec();
        eprintln!("reseed-sim: cannot start over with fixed addresses: {error}");
    }
}

/// The scenarios a command means, with the file each came from.
fn scenarios(what: &What) -> Result<Vec<(Option<PathBuf>, Scenario)>, String> {
    let Some(path) = &what.scenario else {
        return Ok(vec![(None, parse(DEFAULT_SCENARIO, what)?)]);
    };
    let mut files = vec![path.clone()];
    if path.is_dir() {
        files = list(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let load = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
        match text.and_then(|text| parse(&text, what)) {
            Ok(scenario) => Ok((Some(file), scenario)),
            Err(error) => Err(format!("{}: {error}", file.display())),
        }
    };
    files.into_iter().map(load).collect()
}

/// Scenario files in a directory, in order.
fn list(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn parse(text: &str, what: &What) -> Result<Scenario, String> {
    let mut scenario = Scenario::parse(text)?;
    scenario.planted.extend(what.planted.iter().cloned());
    scenario.check_planted()?;
    Ok(scenario)
}

fn run(args: &RunArgs) -> u8 {
    let found = match scenarios(&args.what) {
        Ok(found) => found,
        Err(error) => return usage(&error),
    };
    // One process, one simulation: a directory is for the swarm.
    let [(_, scenario)] = found.as_slice() else {
        return usage("run takes one scenario; swarm takes directories");
    };
    let order = Order { seed: args.seed, trace: args.trace.clone(), keep: true };
    let report = run_and_judge(scenario, &order);
    if args.child {
        fleet::report(&report);
        return 0;
    }
    println!("{}", report.line());
    for violation in report.violations.iter().take(10) {
        println!("  {violation}");
    }
    report.verdict.exit_code()
}

fn swarm(args: &SwarmArgs) -> u8 {
    let found = match scenarios(&args.what) {
        Ok(found) => found,
        Err(error) => return usage(&error),
    };
    let mut worst = 0;
    for (file, scenario) in found {
        println!("{}", scenario.name);
        let mut command = vec!["run".to_owned(), "--child".to_owned()];
        command.extend(file.map(|file| file.display().to_string()));
        for planted in &args.what.planted {
            command.extend(["--planted".to_owned(), planted.clone()]);
        }
        let code = swarm::run(&Swarm {
            seeds: args.seeds.clone(),
            jobs: args.jobs,
            twice: args.twice,
            fail_fast: args.fail_fast,
            command,
        });
        worst = worst.max(code);
    }
    worst
}

fn usage(error: &str) -> u8 {
    eprintln!("reseed-sim: {error}");
    USAGE
}
