//! The command line: `cargo sim run | swarm | replay | check | list | trace | bugbank |
//! selftest`, and `check-figures`, which is for developers of the checker.
//!
//! Exit codes: 0 all passed, 1 a violation, 2 usage, 3 inconclusive, 4 a seed that does not replay.

mod check;
mod figures;
mod list;
mod replay;
mod run;
mod source;
mod swarm;

use std::{
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use clap::{Parser, Subcommand};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub(crate) use self::swarm::parse_time;
use crate::{bugbank, errors, selftest, sysint};

/// The command line, or a file it names, makes no sense.
const USAGE: u8 = 2;

#[derive(Parser)]
#[command(name = "cargo sim", about = "Runs reseed in a simulated machine room")]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Subcommand)]
enum Sub {
    /// One seed of a scenario, or a plan, in this process.
    Run(run::RunArgs),
    /// Many seeds of many scenarios, a process each.
    Swarm(swarm::SwarmArgs),
    /// The plan of a failure's bundle again, and whether it does the same.
    Replay(replay::ReplayArgs),
    /// Judges a history from a file.
    Check(check::CheckArgs),
    /// How fast is checking?
    #[command(hide = true)]
    CheckFigures(figures::FiguresArgs),
    /// What there is: scenarios, faults, roles, points, probes, bugs, the schema of scenarios.
    List(list::ListArgs),
    /// Prints the events of a trace.bin, or the decisions of a decisions.bin.
    Trace(list::TraceArgs),
    /// How well are bugs on purpose found?
    Bugbank(bugbank::Options),
    /// Proves the simulated world with a tiny service, each seed twice.
    Selftest(selftest::Options),
}

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    if !sysint::addresses_are_fixed() {
        become_with_fixed_addresses();
    }
    init_log();
    let code = match Cli::parse().command {
        Sub::Run(args) => run::command(&args),
        Sub::Swarm(args) => swarm::command(&args),
        Sub::Replay(args) => replay::command(&args),
        Sub::Check(args) => check::command(&args),
        Sub::CheckFigures(args) => figures::command(&args),
        Sub::List(args) => list::command(&args),
        Sub::Trace(args) => list::trace(&args),
        Sub::Bugbank(options) => Ok(bugbank::command(&options)),
        Sub::Selftest(options) => Ok(selftest::command(&options)),
    };
    ExitCode::from(code.unwrap_or_else(|error| {
        eprintln!("reseed-sim: {error}");
        USAGE
    }))
}

/// The server's log, if RUST_LOG asks for it; with no time of day, which is not the simulation's.
fn init_log() {
    // madsim calls every planned power failure an error.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error,madsim=off"));
    // What the server says is not what the command says.
    let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let text = text.without_time().with_ansi(false).with_filter(filter);
    // By target, so that spans of others, madsim's of each task first of all, cost nothing.
    let ours = Targets::new().with_target("reseed", LevelFilter::ERROR);
    let errors = errors::Collect.with_filter(ours);
    tracing_subscriber::registry().with(text).with(errors).init();
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
