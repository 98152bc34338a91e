//! Hunts that are over, in a file: a bank of hours goes on where it was stopped.
//!
//! The first line says where was hunted and for how long; each other line is a hunt. What another
//! list of scenarios or another time found is not mixed in. A line that was not written to its end
//! was not written.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
    time::Duration,
};

use reseed_planted::Bug;
use serde::{Deserialize, Serialize};

use super::hunt::Caught;

/// What all hunts of a ledger have in common.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// Where, in order.
    pub scenarios: Vec<String>,
    /// Processor time of a hunt.
    pub cpu: Duration,
}

/// A line.
#[derive(Serialize, Deserialize)]
struct Line {
    bug: String,
    hunt: Caught,
}

/// The hunts so far; without a file they are forgotten with it.
#[derive(Debug, Default)]
pub struct Ledger {
    file: Option<File>,
    hunts: Vec<(Bug, Caught)>,
}

impl Ledger {
    /// Goes on with a file, or begins it.
    ///
    /// # Errors
    /// The file cannot be read or written, is none of ours, or has other terms: in a sentence.
    pub fn open(path: &Path, terms: &Terms) -> Result<Self, String> {
        let said = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path);
        let mut file = file.map_err(|error| said(&error))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| said(&error))?;
        let whole = text.rfind('\n').map_or(0, |last| last + 1);
        let mut lines = text[..whole].lines();
        let mut hunts = Vec::new();
        let first = lines.next();
        if let Some(first) = first {
            let theirs: Terms = serde_json::from_str(first).map_err(|error| said(&error))?;
            if theirs != *terms {
                return Err(said(&"it was begun with other scenarios or another --cpu"));
            }
        } else if !as_line(terms).map_err(|error| said(&error))?.starts_with(&text) {
            return Err(said(&"it is no ledger"));
        }
        for line in lines {
            let Line { bug, hunt } = serde_json::from_str(line).map_err(|error| said(&error))?;
            // A bug that is no longer planted has no row.
            hunts.extend(Bug::named(&bug).map(|bug| (bug, hunt)));
        }
        // Only what is certainly ours is cut.
        file.set_len(whole as u64).map_err(|error| said(&error))?;
        let mut ledger = Self { file: Some(file), hunts };
        if first.is_none() {
            ledger.write(terms).map_err(|error| said(&error))?;
        }
        Ok(ledger)
    }

    /// Whether this hunt is over.
    #[must_use]
    pub fn has(&self, bug: Bug, master: u64) -> bool {
        self.hunts.iter().any(|(other, hunt)| *other == bug && hunt.master == master)
    }

    /// Adds a hunt.
    ///
    /// # Errors
    /// Of the file.
    pub fn add(&mut self, bug: Bug, hunt: Caught) -> std::io::Result<()> {
        let line = Line { bug: bug.name().to_owned(), hunt };
        let written = self.write(&line);
        self.hunts.push((bug, line.hunt));
        written
    }

    /// The hunts of a bug.
    #[must_use]
    pub fn of(&self, bug: Bug) -> Vec<Caught> {
        let its = self.hunts.iter().filter(|(other, _)| *other == bug);
        its.map(|(_, hunt)| hunt.clone()).collect()
    }

    fn write(&mut self, line: &impl Serialize) -> std::io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(as_line(line)?.as_bytes())
    }
}

fn as_line(line: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(line)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn terms(secs: u64) -> Terms {
        Terms { scenarios: vec!["one.toml".to_owned()], cpu: Duration::from_secs(secs) }
    }

    fn caught(master: u64) -> Caught {
        Caught { master, runs: 1, cpu: Duration::from_secs(1), found: None, unsound: Vec::new() }
    }

    #[test]
    fn a_bank_goes_on_where_it_was_stopped() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("bank.jsonl");
        let mut ledger = Ledger::open(&path, &terms(9)).expect("a new one");
        ledger.add(Bug::AckBeforeSync, caught(1)).expect("written");
        ledger.add(Bug::AckBeforeSync, caught(2)).expect("written");
        let text = fs::read_to_string(&path).expect("it is there");
        // Killed in the middle of the last line.
        fs::write(&path, &text[..text.len() - 9]).expect("written");
        let mut ledger = Ledger::open(&path, &terms(9)).expect("the same one");
        let has = |ledger: &Ledger, master| ledger.has(Bug::AckBeforeSync, master);
        assert_eq!((has(&ledger, 1), has(&ledger, 2)), (true, false));
        ledger.add(Bug::AckBeforeSync, caught(2)).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
        assert_eq!(ledger.of(Bug::AckBeforeSync), [caught(1), caught(2)]);
    }

    #[test]
    fn what_was_hunted_otherwise_is_not_mixed_in() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("bank.jsonl");
        Ledger::open(&path, &terms(9)).expect("a new one");
        let refused = Ledger::open(&path, &terms(10)).expect_err("another time");
        assert!(refused.contains("another --cpu"), "{refused}");
        for other in ["something else\n", "something else"] {
            fs::write(&path, other).expect("written");
            assert!(Ledger::open(&path, &terms(9)).is_err());
            assert_eq!(fs::read_to_string(&path).expect("it is there"), other);
        }
    }

    #[test]
    fn a_ledger_that_was_hardly_begun_begins_anew() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("bank.jsonl");
        Ledger::open(&path, &terms(9)).expect("a new one");
        let text = fs::read_to_string(&path).expect("it is there");
        fs::write(&path, &text[..text.len() / 2]).expect("written");
        Ledger::open(&path, &terms(9)).expect("the same one");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
    }
}
