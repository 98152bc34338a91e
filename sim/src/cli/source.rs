//! What a command is to run: scenario files, plan files, directories of them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use sha2::{Digest, Sha256};

use crate::{
    bundle,
    fingerprint::hex,
    plan::{
        Plan,
        scenario::{self, Scenario},
    },
};

/// What `run` and `swarm` do without a scenario.
const DEFAULT_SCENARIO: &str = include_str!("../../../scenarios/fast/power_loss.toml");

#[derive(Args)]
pub(super) struct What {
    /// Scenarios (.toml), plans (.json) or directories of them; power loss of one member without.
    pub(super) scenarios: Vec<PathBuf>,
    /// A bug on purpose, such as `ack-before-sync`; may be given again.
    #[arg(long)]
    pub(super) planted: Vec<String>,
}

/// One thing to run.
pub(super) struct Source {
    /// Where it came from.
    pub(super) file: Option<PathBuf>,
    /// A hash of its text.
    pub(super) hash: String,
    kind: Kind,
}

enum Kind {
    Scenario(Box<Scenario>),
    Plan(Box<Plan>),
}

impl Source {
    /// Its name in reports.
    pub(super) fn name(&self) -> &str {
        match &self.kind {
            Kind::Scenario(scenario) => &scenario.name,
            Kind::Plan(plan) => &plan.name,
        }
    }

    /// The one seed it has, if it is a plan.
    pub(super) fn seed(&self) -> Option<u64> {
        match &self.kind {
            Kind::Scenario(_) => None,
            Kind::Plan(plan) => Some(plan.seed),
        }
    }

    /// What `seed` makes of it.
    pub(super) fn plan(&self, seed: u64) -> Plan {
        match &self.kind {
            Kind::Scenario(scenario) => Plan::draw(scenario, seed),
            Kind::Plan(plan) => Plan::clone(plan),
        }
    }
}

/// Everything `what` means, in order.
pub(super) fn load(what: &What) -> Result<Vec<Source>, String> {
    if what.scenarios.is_empty() {
        return Ok(vec![source(None, DEFAULT_SCENARIO, &what.planted)?]);
    }
    let mut sources = Vec::new();
    for path in &what.scenarios {
        let files = if path.is_dir() { files(path)? } else { vec![path.clone()] };
        for file in files {
            let text = fs::read_to_string(&file).map_err(|error| at(&file, &error.to_string()))?;
            let parsed = source(Some(file.clone()), &text, &what.planted);
            sources.push(parsed.map_err(|error| at(&file, &error))?);
        }
    }
    if sources.is_empty() { Err("there is no scenario".to_owned()) } else { Ok(sources) }
}

fn at(file: &Path, error: &str) -> String {
    format!("{}: {error}", file.display())
}

fn source(file: Option<PathBuf>, text: &str, planted: &[String]) -> Result<Source, String> {
    let hash = hex(&Sha256::digest(text.as_bytes()));
    let is_plan = file.as_ref().and_then(|file| file.extension()).is_some_and(|end| end == "json");
    let kind = match &file {
        Some(file) if is_plan => {
            let mut plan = bundle::read_plan(file)?;
            scenario::check_bugs(planted)?;
            plan.planted.extend(planted.iter().cloned());
            Kind::Plan(Box::new(plan))
        }
        _ => {
            let mut scenario = Scenario::parse(text)?;
            scenario.planted.extend(planted.iter().cloned());
            scenario.check_planted()?;
            Kind::Scenario(Box::new(scenario))
        }
    };
    Ok(Source { file, hash, kind })
}

/// Scenarios and plans in a directory, in order.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|error| at(dir, &error.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| at(dir, &error.to_string()))?.path();
        let is_source = path.extension().is_some_and(|end| end == "toml" || end == "json");
        let is_schema = path.file_name().is_some_and(|name| name == "schema.json");
        if is_source && !is_schema {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
