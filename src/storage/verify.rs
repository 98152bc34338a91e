//! Proves a data directory sound, or says what is wrong with it.
//!
//! Format version, every record of the log, every table of the backend, and that the two fit: the
//! backend is neither behind the mark (entries it would need are gone) nor ahead of the log
//! (entries it contains were lost). Used by tests, by the simulator after each crash, and by the
//! operator's tool. The caller holds the directory's lock. The log is only read; opening the
//! backend may write to it, as redb finishes what a crash interrupted.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use prost::Message;
use reseed_core::port::{Read, Table};
use reseed_proto::mvccpb::KeyValue;
use reseed_rt::disk::Disk;

use crate::{
    backend::{AppliedAt, Backend, BackendError, BackendOptions, decode_revision_key},
    layout::{self, LayoutError},
    wal::{self, Recovered, WalError},
};

/// What a sound data directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The log.
    pub wal: Recovered,
    /// The last entry in the backend.
    pub applied: AppliedAt,
    /// Revisions in the backend.
    pub revisions: u64,
    /// The highest of them.
    pub last_revision: i64,
}

/// Why a data directory is not sound.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not a directory of ours, or of another version.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The log is damaged or missing.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The backend is damaged.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Both are sound, but not together, or the contents make no sense.
    #[error("unsound data directory: {0}")]
    Unsound(String),
}

/// Checks the data directory `root`.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_blocking(disk: &Arc<dyn Disk>, root: &Path) -> Result<Report, VerifyError> {
    let found = layout::read_format(disk.as_ref(), root)?;
    if found != layout::FORMAT_VERSION {
        let dir = root.display().to_string();
        return Err(LayoutError::Version { dir, found }.into());
    }
    let wal = wal::inspect(disk.as_ref(), &layout::wal_dir(root))?;
    let options = BackendOptions::default();
    let backend = Backend::open(Arc::clone(disk), &layout::db_file(root), options)?;
    let applied = backend.applied();
    check_fit(&wal, applied)?;
    let (revisions, last_revision) = check_revisions(&backend)?;
    Ok(Report { wal, applied, revisions, last_revision })
}

fn check_fit(wal: &Recovered, applied: AppliedAt) -> Result<(), VerifyError> {
    let (mark, index) = (wal.mark.index, applied.index);
    let last = wal.entries.last().map_or(mark, |entry| entry.index);
    if index < mark {
        let reason = format!("the backend ends at entry {index}, the log begins behind {mark}");
        return Err(VerifyError::Unsound(reason));
    }
    if index > last {
        let reason = format!("the backend contains entry {index}, the log ends at {last}");
        return Err(VerifyError::Unsound(reason));
    }
    let logged = wal.entries.iter().find(|entry| entry.index == index);
    match logged.map(|entry| entry.term) {
        Some(term) if term != applied.term => Err(VerifyError::Unsound(format!(
            "entry {index} has term {term} in the log, {} in the backend",
            applied.term
        ))),
        _ => check_terms(wal),
    }
}

/// Raft §5.3: terms never go down along the log.
fn check_terms(wal: &Recovered) -> Result<(), VerifyError> {
    let mut term = wal.mark.term;
    for entry in &wal.entries {
        if entry.term < term {
            let reason = format!("entry {} has term {} after {term}", entry.index, entry.term);
            return Err(VerifyError::Unsound(reason));
        }
        term = entry.term;
    }
    Ok(())
}

/// Counts the revisions, checking that each decodes and says of itself what its key says.
fn check_revisions(backend: &Backend) -> Result<(u64, i64), VerifyError> {
    let (mut count, mut last, mut wrong) = (0, 0, None);
    let scanned = backend.scan(Table::Key, &[], None, &mut |key, value| {
        match check_revision(key, value) {
            Ok(main) => {
                count += 1;
                last = main;
            }
            Err(reason) => wrong = Some(reason),
        }
        wrong.is_none()
    });
    scanned.map_err(BackendError::from)?;
    match wrong {
        Some(reason) => Err(VerifyError::Unsound(reason)),
        None => Ok((count, last)),
    }
}

fn check_revision(key: &[u8], value: &Bytes) -> Result<i64, String> {
    let revision = decode_revision_key(key).ok_or_else(|| format!("{key:x?} is no revision"))?;
    let pair = KeyValue::decode(value.clone())
        .map_err(|error| format!("the value of {revision:?} does not decode: {error}"))?;
    // A deletion keeps only the key.
    if !revision.tombstone && pair.mod_revision != revision.main {
        return Err(format!("the value of {revision:?} says revision {}", pair.mod_revision));
    }
    Ok(revision.main)
}

#[cfg(test)]
mod tests;
