//! A case as a file: a line that says what to assume and what was found in the end, then the
//! history, an event a line.
//!
//! Files under `histories/` also say in that first line which class of violation must be found.
//! Without it (a bare history) there is no audit, and the usual rules hold.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{Audit, Case, Rules};
use crate::history::{self, Event, OpId, is_default};

/// A case that owns what it is about.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CaseFile {
    /// The class that must be found; empty: none, the history is legal.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expect: String,
    /// The operations that must be named with it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ops: Vec<OpId>,
    /// What happened, in a sentence.
    #[serde(default, skip_serializing_if = "is_default")]
    pub about: String,
    /// What the world was allowed to do.
    #[serde(default)]
    pub rules: Rules,
    /// What was there in the end.
    pub audit: Audit,
    /// What clients did and saw.
    #[serde(skip)]
    pub history: Vec<Event>,
}

impl CaseFile {
    /// What to check.
    #[must_use]
    pub fn case(&self) -> Case<'_> {
        Case { history: &self.history, audit: &self.audit, rules: &self.rules }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")?;
        history::write(&self.history, out)
    }

    /// Reads a file, or a bare history.
    ///
    /// # Errors
    /// Of `input`, or `InvalidData` for a line that is neither a case nor an event.
    pub fn read(mut input: impl BufRead) -> io::Result<Self> {
        let mut first = String::new();
        input.read_line(&mut first)?;
        let mut file = Self::default();
        match serde_json::from_str::<Self>(&first) {
            Ok(header) => file = header,
            Err(_) if first.trim().is_empty() => {}
            Err(why) => match serde_json::from_str::<Event>(&first) {
                Ok(event) => file.history.push(event),
                Err(_) => return Err(why.into()),
            },
        }
        file.history.extend(history::read(input)?);
        Ok(file)
    }
}
