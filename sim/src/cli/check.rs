//! `cargo sim check`: judges a history from a file.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    check::{self, Case, Evidence},
    history,
    report::Verdict,
};

#[derive(Args)]
pub(super) struct CheckArgs {
    /// A bundle, or the history.jsonl of one, with its evidence.json beside it.
    file: PathBuf,
}

pub(super) fn command(args: &CheckArgs) -> Result<u8, String> {
    let is_dir = args.file.is_dir();
    let file = if is_dir { args.file.join("history.jsonl") } else { args.file.clone() };
    let events = history::read(load(&file)?.as_slice());
    let events = events.map_err(|error| format!("{}: {error}", file.display()))?;
    let beside = file.with_file_name("evidence.json");
    let evidence: Evidence = serde_json::from_slice(&load(&beside)?)
        .map_err(|error| format!("{}: {error}", beside.display()))?;
    let case = Case { history: &events, audit: &evidence.audit, rules: &evidence.rules };
    let checked = check::check(&case);
    for violation in &checked.violations {
        println!("{violation}");
    }
    let verdict = match (checked.violations.is_empty(), checked.undecided) {
        (false, _) => Verdict::Violation,
        (true, Some(why)) => {
            println!("undecided: {why}");
            Verdict::Inconclusive
        }
        (true, None) => {
            println!("{} events, no violation", events.len());
            Verdict::Pass
        }
    };
    Ok(verdict.exit_code())
}

fn load(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}
