//! The command line: `cargo sim selftest`.
//!
//! Exit codes: 0 all passed, 1 a violation, 2 usage, 3 inconclusive, 4 a seed that does not replay.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

use crate::{fleet, run, selftest, sysint};

/// All passed.
pub const PASS: u8 = 0;
/// A checker found a violation, or the program under test panicked.
pub const VIOLATION: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// Nothing was proven: too little happened, or a run did not end.
pub const INCONCLUSIVE: u8 = 3;
/// Two runs of one seed differed.
pub const NONDETERMINISM: u8 = 4;

#[derive(Parser)]
#[command(name = "reseed-sim", about = "Runs reseed in a simulated machine room")]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Subcommand)]
enum Sub {
    /// Proves the simulated world with a tiny service, each seed twice.
    Selftest(SelftestArgs),
}

#[derive(Args)]
struct SelftestArgs {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 3)]
    count: u64,
    /// Run one seed in this process and report.
    #[arg(long, hide = true)]
    child: bool,
    /// Write a line per event to this file (with --child).
    #[arg(long, hide = true)]
    trace: Option<PathBuf>,
}

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    if !sysint::addresses_are_fixed() {
        become_with_fixed_addresses();
    }
    let code = match Cli::parse().command {
        Sub::Selftest(args) if args.child => selftest_child(&args),
        Sub::Selftest(args) => selftest(&args),
    };
    ExitCode::from(code)
}

/// Starts this program over with fixed addresses; returns if that cannot be had.
fn become_with_fixed_addresses() {
    let fixed = sysint::fix_addresses().and_then(|()| std::env::current_exe());
    if let Ok(this) = fixed {
        let error = Command::new(this).args(std::env::args_os().skip(1)).exec();
        eprintln!("reseed-sim: cannot start over with fixed addresses: {error}");
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct SelftestReport {
    failure: Option<String>,
    fingerprint: String,
    events: u64,
    sim_secs: f64,
    summary: String,
}

fn selftest_child(args: &SelftestArgs) -> u8 {
    let setting = run::Setting {
        seed: args.seed,
        time_limit: Duration::from_secs(600),
        trace: args.trace.clone(),
    };
    let ended = run::simulate(setting, selftest::program);
    let summary = ended.output.as_ref().map(|summary| format!("{summary:?}")).unwrap_or_default();
    fleet::report(&SelftestReport {
        failure: ended.output.err(),
        fingerprint: ended.fingerprint,
        events: ended.events,
        sim_secs: ended.elapsed.as_secs_f64(),
        summary,
    });
    PASS
}

fn selftest(args: &SelftestArgs) -> u8 {
    let mut worst = PASS;
    for seed in args.seed..args.seed.saturating_add(args.count) {
        let command = ["selftest", "--child", "--seed"].map(str::to_owned);
        let command: Vec<String> = command.into_iter().chain([seed.to_string()]).collect();
        let runs: Vec<_> = (0..2).map(|_| fleet::run_child::<SelftestReport>(&command)).collect();
        let reports: Vec<&SelftestReport> = runs
            .iter()
            .filter_map(|run| run.as_ref().ok().and_then(|child| child.report.as_ref()))
            .collect();
        let code = match reports.as_slice() {
            [one, _] if one.failure.is_some() => VIOLATION,
            [one, two] if one.fingerprint != two.fingerprint => NONDETERMINISM,
            [_, _] => PASS,
            _ => INCONCLUSIVE,
        };
        for report in &reports {
            let SelftestReport { failure, fingerprint, events, sim_secs, summary } = report;
            let verdict = failure.as_deref().unwrap_or("ok");
            println!("seed {seed}: {fingerprint} {events} events, {sim_secs:.1} s: {verdict}");
            println!("  {summary}");
        }
        if code != PASS {
            for run in &runs {
                println!("{run:?}");
            }
        }
        worst = worst.max(code);
    }
    worst
}
