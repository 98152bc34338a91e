//! `cargo sim list` and `cargo sim trace`: what there is, and what was.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use reseed_planted::Bug;
use reseed_rt::{buggify::Point, probe::Probe};

use super::source::{self, What};
use crate::{
    bundle::{self, DECISIONS},
    fingerprint, out,
    plan::{FaultKind, Role, fault::EFFECTS, scenario},
    report::Verdict,
};

/// Where the repository keeps its scenarios.
const SCENARIOS: &str = "scenarios";

#[derive(Args)]
pub(super) struct ListArgs {
    /// Of what.
    what: Kind,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Files below scenarios/, with the first sentence of each.
    Scenarios,
    /// What can go wrong, and what comes of it.
    Faults,
    /// What clients do.
    Roles,
    /// Where the server may be made to behave rarely.
    Points,
    /// Rare branches of the server.
    Probes,
    /// The bug bank.
    Bugs,
    /// The JSON schema of scenario files.
    Schema,
}

#[derive(Args)]
pub(super) struct TraceArgs {
    /// A trace.bin or decisions.bin of a bundle, or what `run --trace X.bin` wrote.
    file: PathBuf,
}

pub(super) fn command(args: &ListArgs) -> Result<u8, String> {
    let text = match args.what {
        Kind::Scenarios => scenarios()?,
        Kind::Faults => FaultKind::NAMES.into_iter().chain(EFFECTS).map(line).collect(),
        Kind::Roles => Role::ALL.iter().map(|role| line(&role_name(*role))).collect(),
        Kind::Points => Point::ALL.iter().map(|one| two(one.name(), one.story())).collect(),
        Kind::Probes => Probe::ALL.iter().map(|one| two(one.name(), one.story())).collect(),
        Kind::Bugs => Bug::ALL.iter().map(|bug| bug_line(*bug)).collect(),
        Kind::Schema => scenario::schema(),
    };
    out::print(&text);
    Ok(Verdict::Pass.exit_code())
}

fn line(text: &str) -> String {
    format!("{text}\n")
}

fn two(name: &str, story: &str) -> String {
    format!("{name:<28} {story}\n")
}

fn role_name(role: Role) -> String {
    // Roles are written in files as serde has them.
    serde_json::to_string(&role).unwrap_or_default().trim_matches('"').to_owned()
}

fn bug_line(bug: Bug) -> String {
    let issue = bug.etcd_issue().map_or(String::new(), |issue| format!(" (etcd#{issue})"));
    format!("{:<28} {:<10} {}{issue}\n", bug.name(), bug.layer(), bug.story())
}

fn scenarios() -> Result<String, String> {
    let mut text = String::new();
    let entries = fs::read_dir(SCENARIOS).map_err(|error| format!("{SCENARIOS}: {error}"))?;
    let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    dirs.retain(|path| path.is_dir());
    dirs.sort();
    for file in dirs.iter().flat_map(|dir| source::files(dir).unwrap_or_default()) {
        let what = What { scenarios: vec![file.clone()], planted: Vec::new() };
        source::load(&what)?;
        text.push_str(&two(&file.display().to_string(), &sentence(&file)));
    }
    Ok(text)
}

/// The first sentence of the comment at the top of a file.
fn sentence(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let comment = text.lines().map_while(|line| line.strip_prefix('#'));
    let comment = comment.map(str::trim).collect::<Vec<_>>().join(" ");
    comment.split_inclusive(". ").next().unwrap_or_default().trim().to_owned()
}

pub(super) fn trace(args: &TraceArgs) -> Result<u8, String> {
    let at = |error: io::Error| format!("{}: {error}", args.file.display());
    if args.file.ends_with(DECISIONS) {
        out::print(&bundle::read_decisions(&args.file).map_err(at)?.to_string());
        return Ok(Verdict::Pass.exit_code());
    }
    let events = fingerprint::read_trace(&args.file).map_err(at)?;
    out::print(&events.iter().map(|event| line(&event.to_string())).collect::<String>());
    Ok(Verdict::Pass.exit_code())
}
