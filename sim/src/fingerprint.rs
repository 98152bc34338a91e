//! The fingerprint of a run: one hash over everything that happened.
//!
//! Every disk operation, every delivered segment, every event of the history goes in, with the
//! simulated time at which it happened to the nanosecond. Time moves a random little with each
//! task that runs, so that a single scheduling decision made differently changes everything after
//! it. Two runs of a seed must print the same fingerprint; where they do not, [`Trace::write_to`]
//! gives two text files whose first difference is the culprit.

use std::{fmt::Write as _, io, path::Path, time::Duration};

use sha2::{Digest, Sha256};

/// FNV-1a, 64 bit: a short, stable hash for names and for data inside trace lines.
#[must_use]
pub fn fold(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Collects the events of a run.
#[derive(Default)]
pub struct Trace {
    hash: Sha256,
    events: u64,
    lines: Option<Lines>,
}

/// Where trace lines go besides the hash.
struct Lines(io::BufWriter<Box<dyn io::Write + Send>>);

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
        if let Some(Lines(out)) = &mut self.lines {
            let mut line = format!("{:>15} n{node} {kind}", at.as_nanos());
            for part in parts {
                push_part(&mut line, part);
            }
            // A trace that cannot be written is a nuisance, not a failure of the run.
            let _written = io::Write::write_all(out, format!("{line}\n").as_bytes());
        }
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn digest(&self) -> String {
        let digest = self.hash.clone().finalize();
        digest.iter().take(12).fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _written = write!(text, "{byte:02x}");
            text
        })
    }

    /// How many events went in.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Writes a line per event to `path` from now on.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn write_to(&mut self, path: &Path) -> io::Result<()> {
        let file: Box<dyn io::Write + Send> = Box::new(std::fs::File::create(path)?);
        self.lines = Some(Lines(io::BufWriter::new(file)));
        Ok(())
    }
}

/// Short text as it is, anything else as length and hash.
fn push_part(line: &mut String, part: &[u8]) {
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    // Writing to a string cannot fail.
    let _written = match std::str::from_utf8(part) {
        Ok(text) if part.len() <= 80 && part.iter().all(printable) => write!(line, " {text}"),
        _ => write!(line, " [{} {:016x}]", part.len(), fold(part)),
    };
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
