//! What clients did and saw: one schema for recording, checking and files.
//!
//! An operation is two events, its invocation and its outcome; the time between them is when it
//! may have taken effect. An outcome that is unknown (a timeout, a broken connection) leaves the
//! operation open for ever. Watchers record each batch of events as it arrives. Times are true
//! simulated nanoseconds, so that events of different clients compare.
//!
//! Values are unique per run, which lets a checker tell from a value who wrote it.

use std::{
    fmt,
    io::{self, BufRead, Write},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

/// Names an operation within a run.
pub type OpId = u64;

/// One line of a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// True simulated time, nanoseconds.
    pub at: u64,
    /// Who: clients and watchers have numbers of their own.
    pub client: u32,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A client sends a request.
    Invoke {
        /// The operation this begins.
        op: OpId,
        /// What it asks.
        request: Request,
    },
    /// It was answered.
    Ok {
        /// The operation this ends.
        op: OpId,
        /// With what.
        response: Response,
    },
    /// It was refused and certainly had no effect.
    Fail {
        /// The operation this ends.
        op: OpId,
        /// Why.
        error: String,
    },
    /// It had its effect, or has it later, or never.
    Unknown {
        /// The operation this leaves open.
        op: OpId,
        /// What the client saw.
        error: String,
    },
    /// A watcher of the whole key space starts, or starts again.
    WatchOpen {
        /// Events from this revision on were asked for.
        start_revision: i64,
    },
    /// A watcher receives events.
    Watched {
        /// The revision in the response's header.
        revision: i64,
        /// In the order received.
        events: Vec<Change>,
    },
}

/// A request of the workload: each touches one key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Writes.
    Put {
        /// Where.
        key: String,
        /// A value nobody else writes.
        value: String,
    },
    /// Reads linearizably.
    Get {
        /// Where.
        key: String,
    },
    /// Deletes.
    Delete {
        /// Where.
        key: String,
    },
    /// Writes if the key's mod revision is `expected` (0: if it is missing); reads it otherwise.
    Swap {
        /// Where.
        key: String,
        /// The mod revision it must have.
        expected: i64,
        /// A value nobody else writes.
        value: String,
    },
}

impl Request {
    /// The key it touches.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. }
            | Self::Get { key }
            | Self::Delete { key }
            | Self::Swap { key, .. } => key,
        }
    }

    /// The value it would write.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Put { value, .. } | Self::Swap { value, .. } => Some(value),
            Self::Get { .. } | Self::Delete { .. } => None,
        }
    }
}

/// An answer, with the store's revision from its header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Response {
    /// Of the store, after the operation.
    pub revision: i64,
    /// Did the operation change the store? A read never does.
    pub wrote: bool,
    /// What was read: by a get, and by a swap that did not write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Version>,
}

/// A key as it was at some revision.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its value.
    pub value: String,
    /// Written at.
    pub mod_revision: i64,
    /// Came into being at.
    pub create_revision: i64,
    /// Written this many times since.
    pub version: i64,
}

impl fmt::Debug for Version {
    /// Short: stories are told in these, and a value is known by its beginning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, mod_revision, create_revision, version } = self;
        let begin: String = value.chars().take(12).collect();
        let dots = if begin.len() < value.len() { ".." } else { "" };
        write!(f, "{begin:?}{dots} (mod {mod_revision}, create {create_revision}, #{version})")
    }
}

/// A change of a key, as a watcher is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub key: String,
    /// When.
    pub revision: i64,
    /// What it is now; `None`: deleted.
    pub now: Option<Version>,
}

/// Collects a history from many tasks of one simulation.
#[derive(Clone, Default, Debug)]
pub struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default, Debug)]
struct Recorded {
    events: Vec<Event>,
    next_op: OpId,
}

impl Recorder {
    /// Adds an event.
    pub fn record(&self, event: Event) {
        self.lock().events.push(event);
    }

    /// A name for a new operation.
    #[must_use]
    pub fn next_op(&self) -> OpId {
        let mut recorded = self.lock();
        recorded.next_op += 1;
        recorded.next_op
    }

    /// Everything recorded so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a history as JSON lines.
///
/// # Errors
/// Those of `out`.
pub fn write(events: &[Event], out: &mut impl Write) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut *out, event)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Reads a history back.
///
/// # Errors
/// Of `input`, or `InvalidData` for a line that is no event.
pub fn read(input: impl BufRead) -> io::Result<Vec<Event>> {
    let parse = |line: io::Result<String>| Ok(serde_json::from_str(&line?)?);
    input.lines().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_survives_its_file() {
        let version =
            Version { value: "v".into(), mod_revision: 3, create_revision: 2, version: 2 };
        let request = Request::Swap { key: "k".into(), expected: 2, value: "v".into() };
        let response = Response { revision: 3, wrote: false, found: Some(version.clone()) };
        let change = Change { key: "k".into(), revision: 3, now: Some(version) };
        let whats = [
            What::Invoke { op: 1, request },
            What::Ok { op: 1, response },
            What::Fail { op: 2, error: "no".into() },
            What::Unknown { op: 3, error: "timeout".into() },
            What::WatchOpen { start_revision: 1 },
            What::Watched { revision: 3, events: vec![change] },
        ];
        let events: Vec<Event> =
            whats.into_iter().zip(1..).map(|(what, at)| Event { at, client: 1, what }).collect();
        let mut file = Vec::new();
        write(&events, &mut file).expect("memory takes it");
        assert_eq!(read(file.as_slice()).expect("it is well-formed"), events);
    }
}
