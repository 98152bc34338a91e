//! snapshot save: the stream goes to FILE.part, is proven whole, and takes FILE's name.
//!
//! The last 32 bytes are the SHA-256 of all before them. A stream that breaks off would otherwise
//! leave a file that looks like a snapshot, so nothing gets the name before the sum is right.

use std::{io::Write as _, path::Path};

use sha2::{Digest as _, Sha256};

use super::{CtlError, Session, write_out};

const SUM_BYTES: usize = 32;

pub(super) async fn save(session: &Session, args: &[String]) -> Result<(), CtlError> {
    let [path] = args else {
        return Err(CtlError::bad_args("snapshot save expects one argument"));
    };
    if session.global.endpoints.len() > 1 {
        let endpoints = session.global.endpoints.join(" ");
        return Err(CtlError::bad_args(format!(
            "snapshot must be requested to one selected node, not multiple [{endpoints}]"
        )));
    }
    let part = format!("{path}.part");
    let version = match fetch(session, Path::new(&part)).await {
        Ok(version) => version,
        Err(error) => {
            // What is there is useless; if it cannot be removed, the name still says so.
            remove(Path::new(&part)).ok();
            return Err(error);
        }
    };
    publish(Path::new(&part), Path::new(path))
        .map_err(|error| CtlError::io(format!("could not rename {part} to {path} ({error})")))?;
    write_out(format!("Snapshot saved at {path}\n"))?;
    match version.is_empty() {
        true => Ok(()),
        false => write_out(format!("Server version {version}\n")),
    }
}

/// Writes the stream to `part` and checks its sum; returns the server's storage version.
async fn fetch(session: &Session, part: &Path) -> Result<String, CtlError> {
    let bad_file = |error: std::io::Error| {
        CtlError::interrupted(format!("could not open {} ({error})", part.display()))
    };
    let mut file = create(part).map_err(bad_file)?;
    let mut snapshot = session.client.snapshot().await?;
    let mut check = Check::default();
    let bad_write = |error: std::io::Error| CtlError::io(error.to_string());
    while let Some(piece) = snapshot.next().await? {
        check.add(&piece);
        file.write_all(&piece).map_err(bad_write)?;
    }
    if !check.finish() {
        let text = "snapshot is broken: its checksum does not match its content";
        return Err(CtlError::io(text));
    }
    file.sync_all().map_err(bad_write)?;
    Ok(snapshot.version().to_owned())
}

/// Sums up all but the last bytes of a stream whose end is not known beforehand.
#[derive(Default)]
struct Check {
    hasher: Sha256,
    /// At most [`SUM_BYTES`] bytes: what may turn out to be the sum.
    tail: Vec<u8>,
}

impl Check {
    fn add(&mut self, piece: &[u8]) {
        self.tail.extend_from_slice(piece);
        let summed = self.tail.len().saturating_sub(SUM_BYTES);
        self.hasher.update(&self.tail[..summed]);
        self.tail.drain(..summed);
    }

    /// Were the last bytes the sum of all before them?
    fn finish(self) -> bool {
        self.tail.len() == SUM_BYTES && self.hasher.finalize().as_slice() == self.tail
    }
}

#[expect(clippy::disallowed_types, reason = "a file of the operator's, not of the store's")]
fn create(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::File::create(path)
}

#[expect(clippy::disallowed_methods, reason = "a file of the operator's, not of the store's")]
fn remove(path: &Path) -> std::io::Result<()> {
    std::fs::remove_file(path)
}

/// Renames, and syncs the directory so that the name lasts.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a file of the operator's, not of the store's"
)]
fn publish(part: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::rename(part, path)?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_whole_only_with_its_sum() {
        let content = b"some bytes that are longer than the sum itself, to be sure";
        let sum = Sha256::digest(content);
        let whole: Vec<u8> = content.iter().chain(sum.iter()).copied().collect();
        let check = |bytes: &[u8], piece: usize| {
            let mut check = Check::default();
            bytes.chunks(piece).for_each(|piece| check.add(piece));
            check.finish()
        };
        for piece in [1, 7, 32, 33, 1000] {
            assert!(check(&whole, piece), "in pieces of {piece}");
            assert!(!check(&whole[..whole.len() - 1], piece), "cut short");
            assert!(!check(content, piece), "without its sum");
        }
        assert!(!check(b"", 1));
        let mut damaged = whole.clone();
        damaged[3] ^= 1;
        assert!(!check(&damaged, 10));
    }
}
