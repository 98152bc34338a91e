//! The fingerprint of a run: one hash over everything that happened.
//!
//! Every disk operation, every delivered segment, every event of the history goes in, with the
//! simulated time at which it happened to the nanosecond. Time moves a random little with each
//! task that runs, so that a single scheduling decision made differently changes everything after
//! it. Two runs of a seed must print the same fingerprint; where they do not, [`Trace::write_to`]
//! gives two text files whose first difference is the culprit.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use bincode::Options;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// FNV-1a, 64 bit: a short, stable hash for names and for data inside trace lines.
#[must_use]
pub fn fold(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Kinds of events that are decisions of the simulator: what a bundle keeps of a run besides its
/// plan. Everything else follows from them, the plan and the streams.
const DECISIONS: [&str; 5] = ["fault", "heal", "power failure", "reset", "ended"];

/// Collects the events of a run.
#[derive(Default)]
pub struct Trace {
    hash: Sha256,
    events: u64,
    decisions: Vec<Decision>,
    file: Option<TraceFile>,
}

/// A decision of the simulator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// Which event of the trace it is, from 1.
    pub number: u64,
    /// What it was.
    pub event: TraceEvent,
}

/// One event of a trace, as files have it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TraceEvent {
    /// True simulated time, nanoseconds.
    pub at: u64,
    /// On which node.
    pub node: u64,
    /// What.
    pub kind: String,
    /// Its details.
    pub parts: Vec<TracePart>,
}

/// A detail of an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TracePart {
    /// Short text as it is.
    Text(String),
    /// Anything else: its length and hash.
    Bytes(u64, u64),
}

impl TraceEvent {
    fn new(at: Duration, kind: &str, node: u64, parts: &[&[u8]]) -> Self {
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let parts = parts.iter().map(|part| TracePart::new(part)).collect();
        Self { at, node, kind: kind.to_owned(), parts }
    }
}

impl TracePart {
    fn new(part: &[u8]) -> Self {
        let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        match std::str::from_utf8(part) {
            Ok(text) if part.len() <= 80 && part.iter().all(printable) => {
                Self::Text(text.to_owned())
            }
            _ => Self::Bytes(part.len() as u64, fold(part)),
        }
    }
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>15} n{} {}", self.at, self.node, self.kind)?;
        self.parts.iter().try_for_each(|part| match part {
            TracePart::Text(text) => write!(f, " {text}"),
            TracePart::Bytes(len, hash) => write!(f, " [{len} {hash:016x}]"),
        })
    }
}

/// Where events go besides the hash.
struct TraceFile {
    out: io::BufWriter<std::fs::File>,
    binary: bool,
}

impl TraceFile {
    fn write(&mut self, event: &TraceEvent) -> io::Result<()> {
        if self.binary {
            return bincode::serialize_into(&mut self.out, event).map_err(io::Error::other);
        }
        writeln!(self.out, "{event}")
    }
}

/// Reads the events of a trace file written under a name that ends in `.bin`.
///
/// # Errors
/// If the file cannot be read, or is no such trace.
pub fn read_trace(path: &Path) -> io::Result<Vec<TraceEvent>> {
    let mut file = io::BufReader::new(std::fs::File::open(path)?);
    let mut events = Vec::new();
    while !io::BufRead::fill_buf(&mut file)?.is_empty() {
        // A broken length must not ask for all memory there is.
        let options = bincode::DefaultOptions::new().with_fixint_encoding().allow_trailing_bytes();
        let event = options.with_limit(1 << 20).deserialize_from(&mut file);
        events.push(event.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?);
    }
    Ok(events)
}

impl Trace {
    /// One event: when, what, on which node, and its details.
    pub fn event(&mut self, at: Duration, kind: &str, node: u64, parts: &[&[u8]]) {
        self.events += 1;
        self.hash.update(at.as_nanos().to_le_bytes());
        self.hash.update(node.to_le_bytes());
        for part in std::iter::once(&kind.as_bytes()).chain(parts) {
            self.hash.update((part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
        if DECISIONS.contains(&kind) {
            let event = TraceEvent::new(at, kind, node, parts);
            self.decisions.push(Decision { number: self.events, event });
        }
        if let Some(file) = &mut self.file {
            // A trace that cannot be written is a nuisance, not a failure of the run.
            let _written = file.write(&TraceEvent::new(at, kind, node, parts));
        }
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    /// How many events went in.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// What the simulator decided so far.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Writes every event to `path` from now on: as a line of text, or with bincode if the name
    /// ends in `.bin`.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn write_to(&mut self, path: &Path) -> io::Result<()> {
        let binary = path.extension().is_some_and(|extension| extension == "bin");
        let out = io::BufWriter::new(std::fs::File::create(path)?);
        self.file = Some(TraceFile { out, binary });
        Ok(())
    }

    /// Completes the file, if there is one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn close(&mut self) -> io::Result<()> {
        self.file.take().map_or(Ok(()), |mut file| file.out.flush())
    }
}

/// The first twelve bytes of a hash, which is as much as anybody compares.
pub(crate) fn hex(hash: &[u8]) -> String {
    hash.iter().take(12).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(events: &[(u64, &str, &[u8])]) -> String {
        let mut trace = Trace::default();
        for (at, kind, part) in events {
            trace.event(Duration::from_nanos(*at), kind, 1, &[part]);
        }
        trace.digest()
    }

    #[test]
    fn a_trace_file_gives_back_the_events_and_decisions_are_kept_besides() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("trace.bin");
        let mut trace = Trace::default();
        trace.write_to(&path).expect("a file");
        trace.event(Duration::from_nanos(5), "segment", 2, &[b"1>2", &[7; 500]]);
        trace.event(Duration::from_nanos(9), "fault", 0, &[b"Stop"]);
        trace.close().expect("written");
        let events = read_trace(&path).expect("its own file");
        let lines: Vec<_> = events.iter().map(ToString::to_string).collect();
        assert!(lines[0].contains("5 n2 segment 1>2 [500 "), "{lines:?}");
        assert!(lines[1].ends_with("9 n0 fault Stop"), "{lines:?}");
        assert_eq!(trace.decisions(), [Decision { number: 2, event: events[1].clone() }]);
        std::fs::write(&path, [0xff; 40]).expect("written");
        assert!(read_trace(&path).is_err());
    }

    #[test]
    fn any_difference_shows() {
        let base = digest(&[(1, "write", b"a"), (2, "sync", b"")]);
        assert_eq!(base, digest(&[(1, "write", b"a"), (2, "sync", b"")]));
        for other in [
            digest(&[(1, "write", b"b"), (2, "sync", b"")]),
            digest(&[(1, "write", b"a"), (3, "sync", b"")]),
            digest(&[(2, "sync", b""), (1, "write", b"a")]),
            digest(&[(1, "writ", b"ea"), (2, "sync", b"")]),
        ] {
            assert_ne!(base, other);
        }
    }
}
