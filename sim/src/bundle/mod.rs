//! What a failed run leaves: a directory that is enough to see the failure again.
//!
//! | file | what |
//! |---|---|
//! | `README` | how to replay it |
//! | `manifest.json` | which program, scenario and seed; verdict, signature, hash of the trace |
//! | `plan.json` | the run with every choice made: replays run this, not the scenario |
//! | `report.json` | verdict, violations, counters |
//! | `history.jsonl`, `history.edn` | what clients did and saw, for us and for Jepsen's checkers |
//! | `evidence.json` | what the audit found, or `null`, to check the history again |
//! | `decisions.bin` | the simulator's decisions: faults, crashes, streams (bincode) |
//! | `trace.bin` | every event of the run (bincode) |
//!
//! The last two come from a second run of the plan, which also shows that it replays; `cargo sim
//! trace` prints them.
//!
//! - `read`: each file back; - [`judge`]: the history judged again.

pub mod judge;
mod read;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

use crate::{
    check::Audit,
    fingerprint::{Decision, hex},
    history::{self, Event},
    plan::Plan,
    report::{Report, Verdict},
};

pub use read::{read_decisions, read_manifest, read_plan};

/// The format of bundles; 2: alarms name their members, evidence is the audit alone.
const FORMAT: u32 = 2;
/// Files of the first run.
pub const FILES: [&str; 7] = [
    "README",
    "manifest.json",
    "plan.json",
    "report.json",
    "history.jsonl",
    "history.edn",
    "evidence.json",
];
/// Files that the second run adds.
pub const FILES_OF_SECOND: [&str; 2] = [DECISIONS, "trace.bin"];
/// The file of decisions.
pub const DECISIONS: &str = "decisions.bin";
/// Where bundles go, from the directory of the command.
const ROOT: &str = "target/sim-failures";

/// Which run a bundle is of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Of bundles.
    pub format: u32,
    /// The commit of the program, with a `+` after it if files had changed; or `unknown`.
    pub commit: String,
    /// The version of the program.
    pub version: String,
    /// What it was built for.
    pub target: String,
    /// The scenario's name.
    pub scenario: String,
    /// A hash of the scenario's file.
    pub scenario_hash: String,
    /// The seed.
    pub seed: u64,
    /// How the run ended.
    pub verdict: Verdict,
    /// What failures of its cause have in common.
    pub signature: String,
    /// The hash over everything that happened.
    pub trace_hash: String,
    /// Events in it.
    pub events: u64,
}

/// The simulator's decisions in a run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Decisions {
    /// The root of the streams that were drawn from while the run went on.
    pub root: Vec<u8>,
    /// The labels of these streams.
    pub labels: Vec<String>,
    /// Faults, crashes and boots, with the numbers of their events.
    pub decided: Vec<Decision>,
}

impl fmt::Display for Decisions {
    /// The root, a stream a line, a decision a line with the number of its event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "root of the streams {}", hex(&self.root))?;
        self.labels.iter().try_for_each(|label| writeln!(f, "stream {label}"))?;
        self.decided
            .iter()
            .try_for_each(|Decision { number, event }| writeln!(f, "{number:>9} {event}"))
    }
}

/// What goes into a bundle after the first run.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// The report.
    pub report: &'a Report,
    /// The plan.
    pub plan: &'a Plan,
    /// A hash of the scenario's file.
    pub scenario_hash: &'a str,
    /// What clients did and saw.
    pub history: &'a [Event],
    /// What was there in the end, if it could be looked at.
    pub audit: Option<&'a Audit>,
}

/// Where the bundle of this run belongs.
#[must_use]
pub fn place(scenario: &str, seed: u64) -> PathBuf {
    PathBuf::from(ROOT).join(format!("{scenario}-{seed}"))
}

/// Writes a bundle to `dir`, in place of what was there.
///
/// # Errors
/// If the directory cannot be written.
pub fn write(dir: &Path, contents: &Contents<'_>) -> io::Result<()> {
    let Contents { report, plan, scenario_hash, history, audit } = contents;
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    let manifest = Manifest {
        format: FORMAT,
        commit: commit(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        scenario: report.scenario.clone(),
        scenario_hash: (*scenario_hash).to_owned(),
        seed: report.seed,
        verdict: report.verdict,
        signature: report.signature.clone(),
        trace_hash: report.fingerprint.clone(),
        events: report.events,
    };
    write_json(&dir.join("manifest.json"), &manifest)?;
    write_json(&dir.join("plan.json"), plan)?;
    write_json(&dir.join("report.json"), report)?;
    write_json(&dir.join("evidence.json"), audit)?;
    write_file(&dir.join("history.jsonl"), |out| history::write(history, out))?;
    write_file(&dir.join("history.edn"), |out| history::write_edn(history, out))?;
    fs::write(dir.join("README"), readme(dir, report))
}

fn write_file(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<fs::File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    content(&mut out)?;
    out.flush()
}

fn readme(dir: &Path, report: &Report) -> String {
    format!("{}\n\nSee it again:\n\n    cargo sim replay {}\n", report.line(), dir.display())
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    fs::write(path, text)
}

/// Adds the decisions of the second run.
///
/// # Errors
/// If the file cannot be written.
pub fn write_decisions(dir: &Path, decisions: &Decisions) -> io::Result<()> {
    let bytes = bincode::serialize(decisions).map_err(io::Error::other)?;
    fs::write(dir.join(DECISIONS), bytes)
}

/// The commit of the sources: as the build was told, or as git says now.
#[must_use]
pub fn commit() -> String {
    if let Some(commit) = option_env!("RESEED_COMMIT") {
        return commit.to_owned();
    }
    let git = |arguments: &[&str]| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new("git").arg("-C").arg(here).args(arguments).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(said)
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_some_and(|files| !files.is_empty()) { commit + "+" } else { commit }
}
