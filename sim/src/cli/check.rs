//! `cargo sim check`: judges a bundle, or a history from a file: of ours, with its audit in the
//! first line or alone; Jepsen's EDN; Jepsen's log.

use std::path::PathBuf;

use clap::Args;

use crate::{
    bundle::judge::judge,
    check::import::{self, Imported},
    out,
    report::Verdict,
};

#[derive(Args)]
pub(super) struct CheckArgs {
    /// A bundle or the history of one, a file of histories/, or a foreign history.
    file: PathBuf,
}

pub(super) fn command(args: &CheckArgs) -> Result<u8, String> {
    let file = &args.file;
    // The history of a bundle is judged as the bundle is, by the rules of its plan.
    let folder = if file.is_dir() { Some(file.as_path()) } else { file.parent() };
    if let Some(bundle) = folder.filter(|folder| folder.join("manifest.json").exists()) {
        let judged = judge(bundle)?;
        out::print(&judged.text);
        return Ok(judged.verdict.exit_code());
    }
    if file.is_dir() {
        return Err(format!("{}: not a bundle, it has no manifest.json", file.display()));
    }
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| at(&error))?;
    let Imported { checked, is_bare } = import::check_text(&text).map_err(|error| at(&error))?;
    if is_bare {
        out::line("judged without an audit, as of one member with a true clock");
    }
    for violation in &checked.violations {
        out::line(violation);
    }
    let verdict = match (checked.violations.is_empty(), checked.undecided) {
        (false, _) => Verdict::Violation,
        (true, Some(why)) => {
            out::line(&format!("undecided: {why}"));
            Verdict::Inconclusive
        }
        (true, None) => {
            out::line("no violation");
            Verdict::Pass
        }
    };
    Ok(verdict.exit_code())
}
