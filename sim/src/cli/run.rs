//! `cargo sim run`: one seed, in this process.

use std::path::PathBuf;

use clap::Args;

use super::source::{self, What};
use crate::{
    fleet,
    one::{self, Order},
    out,
    report::{Report, Verdict},
};

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    what: What,
    /// Decides everything; a plan has its own.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every event to this file: two of them show where two runs part. Lines of text, or
    /// bincode if the name ends in .bin.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Print the plan, and do not run it.
    #[arg(long)]
    plan: bool,
    /// Keep no bundle of a failure.
    #[arg(long)]
    forget: bool,
    /// Print the report for a fleet.
    #[arg(long, hide = true)]
    child: bool,
}

pub(super) fn command(args: &RunArgs) -> Result<u8, String> {
    let sources = source::load(&args.what)?;
    // One process, one simulation: a directory is for the swarm.
    let [source] = sources.as_slice() else {
        return Err("run takes one scenario; swarm takes several".to_owned());
    };
    let plan = source.plan(args.seed);
    if args.plan {
        let text = serde_json::to_string_pretty(&plan).map_err(|error| error.to_string())?;
        out::line(text);
        return Ok(Verdict::Pass.exit_code());
    }
    let keep = (!args.forget).then(|| source.hash.clone());
    let order = Order { trace: args.trace.clone(), keep, decisions: None };
    let report = one::run_and_judge(&plan, &order);
    if args.child {
        fleet::report(&report);
        return Ok(Verdict::Pass.exit_code());
    }
    out::line(report.text());
    let verdict = if report.bundle.is_some() { again(&report) } else { report.verdict };
    Ok(verdict.exit_code())
}

/// Runs a failure again from its bundle, which completes the bundle; the verdict on both.
fn again(report: &Report) -> Verdict {
    let Some(bundle) = &report.bundle else {
        return report.verdict;
    };
    let place = bundle.display().to_string();
    let command = ["replay", "--child", "--record", &place].map(str::to_owned);
    let second = fleet::run_child::<Report>(&command).ok().and_then(|child| child.report);
    match second {
        Some(second) if second.fingerprint == report.fingerprint => {
            out::line(format!("  kept, and the same again: cargo sim replay {place}"));
            report.verdict
        }
        Some(second) => {
            let hash = second.fingerprint;
            out::line(format!("  kept in {place}, but the second run was {hash}"));
            Verdict::Nondeterminism
        }
        None => {
            out::line(format!("  kept in {place}, but the second run gave no report"));
            Verdict::Nondeterminism
        }
    }
}
