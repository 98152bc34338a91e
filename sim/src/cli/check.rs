//! `cargo sim check`: judges a history from a file.

use std::path::PathBuf;

use clap::Args;

use crate::kv_history;

#[derive(Args)]
pub(super) struct CheckArgs {
    /// A bundle, or the history.jsonl of one.
    file: PathBuf,
}

pub(super) fn command(args: &CheckArgs) -> Result<u8, String> {
    let is_dir = args.file.is_dir();
    let file = if is_dir { args.file.join("history.jsonl") } else { args.file.clone() };
    let text = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let events = kv_history::read(text.as_slice());
    let events = events.map_err(|error| format!("{}: {error}", file.display()))?;
    Err(format!("{} events are read, but not judged yet: the audit is missing", events.len()))
}
