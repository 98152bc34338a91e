//! What a failed run leaves: a directory that is enough to see the failure again.
//!
//! | file | what |
//! |---|---|
//! | `README` | how to replay it |
//! | `manifest.json` | which program, scenario and seed; verdict, signature, hash of the trace |
//! | `plan.json` | the run with every choice made: replays run this, not the scenario |
//! | `report.json` | verdict, violations, counters |
//! | `history.jsonl`, `history.edn` | what clients did and saw, for us and for Jepsen's checkers |
//! | `evidence.json` | what the audit found and the world was allowed, to check the history again |
//! | `decisions.bin` | the simulator's decisions: faults, crashes, streams (bincode) |
//! | `trace.bin` | every event of the run (bincode; `cargo sim trace` prints it) |
//!
//! The last two come from a second run of the plan, which also shows that it replays.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use bincode::Options;
use serde::{Deserialize, Serialize};

use crate::{
    fingerprint::Decision,
    plan::Plan,
    report::{Report, Verdict},
};

/// The format of bundles.
const FORMAT: u32 = 1;
/// Where bundles go, from the directory of the command.
const ROOT: &str = "target/sim-failures";
/// The most a file of decisions may hold.
const DECISIONS_BYTES_MAX: u64 = 256 << 20;

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

/// What goes into a bundle after the first run.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// The report.
    pub report: &'a Report,
    /// The plan.
    pub plan: &'a Plan,
    /// A hash of the scenario's file.
    pub scenario_hash: &'a str,
    /// The history as files, by name.
    pub history: &'a [(&'a str, Vec<u8>)],
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
    let Contents { report, plan, scenario_hash, history } = contents;
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
    for (name, bytes) in *history {
        fs::write(dir.join(name), bytes)?;
    }
    fs::write(dir.join("README"), readme(dir, report))
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
    fs::write(dir.join("decisions.bin"), bytes)
}

/// Reads the decisions back.
///
/// # Errors
/// If the file cannot be read, or is none.
pub fn read_decisions(dir: &Path) -> io::Result<Decisions> {
    let bytes = fs::read(dir.join("decisions.bin"))?;
    let options = bincode::DefaultOptions::new().with_fixint_encoding().allow_trailing_bytes();
    let read = options.with_limit(DECISIONS_BYTES_MAX).deserialize(&bytes);
    read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads a plan: a file, or that of a bundle.
///
/// # Errors
/// What is wrong with it.
pub fn read_plan(path: &Path) -> Result<Plan, String> {
    let file = if path.is_dir() { path.join("plan.json") } else { path.to_owned() };
    let plan: Plan = read_json(&file)?;
    if plan.version != crate::plan::VERSION {
        return Err(format!("{}: plans of version {} are not read", file.display(), plan.version));
    }
    Ok(plan)
}

/// Reads the manifest of a bundle.
///
/// # Errors
/// What is wrong with it.
pub fn read_manifest(dir: &Path) -> Result<Manifest, String> {
    read_json(&dir.join("manifest.json"))
}

fn read_json<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<T, String> {
    let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        figures::Figures,
        fingerprint::{TraceEvent, TracePart},
        plan::scenario::Scenario,
    };

    fn report() -> Report {
        Report {
            seed: 7,
            scenario: "x".to_owned(),
            verdict: Verdict::Violation,
            story: "durable.lost: a write".to_owned(),
            signature: "durable.lost: a write".to_owned(),
            violations: Vec::new(),
            fingerprint: "00ff".to_owned(),
            events: 3,
            sim_secs: 1.0,
            cpu_secs: 0.1,
            figures: Figures::default(),
            bundle: None,
        }
    }

    #[test]
    fn a_bundle_is_read_back_as_it_was_and_replaces_an_older_one() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = home.path().join("x-7");
        fs::create_dir(&dir).expect("a directory");
        fs::write(dir.join("old"), "old").expect("written");
        let scenario = Scenario::parse("version = 2\nname = \"x\"\nfaults.stop = 3\n");
        let plan = Plan::draw(&scenario.expect("valid"), 7);
        let history = [("history.jsonl", b"{}\n".to_vec())];
        let report = report();
        let contents =
            Contents { report: &report, plan: &plan, scenario_hash: "ab", history: &history };
        write(&dir, &contents).expect("written");
        assert!(!dir.join("old").exists());
        assert_eq!(read_plan(&dir), Ok(plan.clone()));
        assert_eq!(read_plan(&dir.join("plan.json")), Ok(plan));
        assert_eq!(read_manifest(&dir).map(|manifest| manifest.trace_hash), Ok("00ff".into()));
        let readme = fs::read_to_string(dir.join("README")).expect("there is one");
        assert!(readme.contains("cargo sim replay"), "{readme}");
    }

    #[test]
    fn decisions_are_read_back_and_nonsense_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let parts = vec![TracePart::Text("Stop".into())];
        let event = TraceEvent { at: 5, node: 1, kind: "fault".into(), parts };
        let decided = vec![Decision { number: 2, event }];
        let decisions = Decisions { root: vec![1; 32], labels: vec!["load".into()], decided };
        write_decisions(home.path(), &decisions).expect("written");
        assert_eq!(read_decisions(home.path()).expect("its own file"), decisions);
        fs::write(home.path().join("decisions.bin"), [0xff; 64]).expect("written");
        assert!(read_decisions(home.path()).is_err());
    }
}
