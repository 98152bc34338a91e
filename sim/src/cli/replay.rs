//! `cargo sim replay`: the plan of a bundle, again.

use std::path::PathBuf;

use clap::Args;

use crate::{
    bundle::{self, Manifest},
    fleet,
    one::{self, Order},
    out,
    report::{Report, Verdict},
};

#[derive(Args)]
pub(super) struct ReplayArgs {
    /// The directory of the bundle.
    bundle: PathBuf,
    /// Write every event to this file, as `run --trace` does.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Add trace and decisions to the bundle.
    #[arg(long, hide = true)]
    record: bool,
    /// Print the report for a fleet.
    #[arg(long, hide = true)]
    child: bool,
}

pub(super) fn command(args: &ReplayArgs) -> Result<u8, String> {
    let manifest = bundle::read_manifest(&args.bundle)?;
    let plan = bundle::read_plan(&args.bundle)?;
    let recorded = args.record.then(|| args.bundle.join("trace.bin"));
    let order = Order {
        trace: args.trace.clone().or(recorded),
        keep: None,
        decisions: args.record.then(|| args.bundle.clone()),
    };
    let report = one::run_and_judge(&plan, &order);
    if args.child {
        fleet::report(&report);
        return Ok(Verdict::Pass.exit_code());
    }
    out::line(report.text());
    Ok(compare(&manifest, &report).exit_code())
}

/// Says whether the run did the same as when the bundle was made. Of other sources it may well do
/// something else; of the same it must not.
fn compare(manifest: &Manifest, report: &Report) -> Verdict {
    if manifest.trace_hash == report.fingerprint {
        out::line("  the trace hash is equal: the same run, event by event");
        return report.verdict;
    }
    let (then, now) = (&manifest.commit, bundle::commit());
    out::line(format!(
        "  the trace hash differs: {} then ({then}), {} now ({now})",
        manifest.trace_hash, report.fingerprint
    ));
    // Files that had changed make two sources of one commit.
    let same_sources = *then == now && now != "unknown" && !now.ends_with('+');
    if same_sources { Verdict::Nondeterminism } else { report.verdict }
}
