//! `cargo sim check`: judges a history from a file: a bundle of ours, a case with its audit in the
//! first line, Jepsen's EDN or Jepsen's log.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    check::{self, Case, Evidence, import},
    history,
    report::Verdict,
};

#[derive(Args)]
pub(super) struct CheckArgs {
    /// A bundle, the history.jsonl of one with its evidence.json beside it, a file of
    /// histories/, or a foreign history.
    file: PathBuf,
}

pub(super) fn command(args: &CheckArgs) -> Result<u8, String> {
    let is_dir = args.file.is_dir();
    let file = if is_dir { args.file.join("history.jsonl") } else { args.file.clone() };
    let text = load(&file)?;
    let beside = file.with_file_name("evidence.json");
    let checked = if beside.exists() {
        let evidence: Evidence = serde_json::from_slice(&load(&beside)?)
            .map_err(|error| format!("{}: {error}", beside.display()))?;
        let events = history::read(text.as_slice());
        let events = events.map_err(|error| format!("{}: {error}", file.display()))?;
        if evidence.audit.at == 0 {
            // What the run told is in its report; against an empty end everything would be lost.
            println!("undecided: the run ended before its audit; its report.json says why");
            return Ok(Verdict::Inconclusive.exit_code());
        }
        check::check(&Case { history: &events, audit: &evidence.audit, rules: &evidence.rules })
    } else {
        let text = String::from_utf8(text);
        let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
        import::check_text(&text).map_err(|error| format!("{}: {error}", file.display()))?
    };
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
            println!("no violation");
            Verdict::Pass
        }
    };
    Ok(verdict.exit_code())
}

fn load(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}
