//! The files of a bundle, read back: of this format, or refused.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bincode::Options;
use serde::{Deserialize, de::DeserializeOwned};

use super::{DECISIONS, Decisions, FORMAT, Manifest};
use crate::plan::{self, Plan, scenario};

/// The most a file of decisions may hold.
const DECISIONS_BYTES_MAX: u64 = 256 << 20;

/// Reads a `decisions.bin`, or that of a bundle.
///
/// # Errors
/// If the file cannot be read, or is none.
pub fn read_decisions(path: &Path) -> io::Result<Decisions> {
    let bytes = fs::read(within(path, DECISIONS))?;
    let options = bincode::DefaultOptions::new().with_fixint_encoding().allow_trailing_bytes();
    let read = options.with_limit(DECISIONS_BYTES_MAX).deserialize(&bytes);
    read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads a plan: a file, or that of a bundle.
///
/// # Errors
/// What is wrong with it.
pub fn read_plan(path: &Path) -> Result<Plan, String> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let file = within(path, "plan.json");
    // First, because a plan of another version may have another shape.
    let Versioned { version } = read_json(&file)?;
    if version != plan::VERSION {
        let ours = plan::VERSION;
        return Err(format!("{}: a plan of version {version}; read is {ours}", file.display()));
    }
    let plan: Plan = read_json(&file)?;
    scenario::check_bugs(&plan.planted).map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(plan)
}

/// Reads the manifest of a bundle.
///
/// # Errors
/// What is wrong with it; first of all, another format than ours.
pub fn read_manifest(dir: &Path) -> Result<Manifest, String> {
    #[derive(Deserialize)]
    struct Formatted {
        format: u32,
    }
    let file = dir.join("manifest.json");
    let Formatted { format } = read_json(&file)?;
    if format != FORMAT {
        let file = file.display();
        return Err(format!(
            "{file}: a bundle of format {format}, and this program reads format {FORMAT} only; \
             its commit is in there"
        ));
    }
    read_json(&file)
}

/// `path`, or the file of this name if it is a directory.
fn within(path: &Path, name: &str) -> PathBuf {
    if path.is_dir() { path.join(name) } else { path.to_owned() }
}

/// Reads any of a bundle's JSON files.
pub(super) fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))
}
