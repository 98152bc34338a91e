//! `Maintenance.Snapshot`: the whole store as one file in chunks, while the member goes on.
//!
//! The backend exports itself to a temporary file from one consistent view, so that the size is
//! known before the first chunk and a slow client pins nothing but that file. The last chunk is
//! the SHA-256 of everything before it, so what the client stores is content followed by checksum,
//! as with etcd.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use reseed_core::CLUSTER_VERSION;
use reseed_proto::etcdserverpb::SnapshotResponse;
use reseed_rt::clock::Instant;
use reseed_rt::disk::{self, File, OpenMode};
use reseed_rt::task;
use reseed_storage::backend::{CHECKSUM_BYTES, ExportInfo};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use crate::state::State;

/// Bytes of one chunk (etcd's).
const CHUNK_BYTES: usize = 32 << 10;

/// Name of a temporary file begins and ends with these; boot removes what a crash left.
pub(crate) const EXPORT: (&str, &str) = ("export-", ".tmp");

/// Exports that may exist at once.
pub(crate) const AT_ONCE: usize = 2;

/// Removes the temporary file, whatever happens to the stream.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let removed = disk::disk().remove(&self.0);
        if let Err(error) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "a snapshot file stays behind");
        }
    }
}

struct Sending {
    file: Arc<dyn File>,
    sent: u64,
    total: u64,
    _temporary: Temporary,
    /// Few at a time: each is a copy of the store on the member's disk.
    _permit: Option<OwnedSemaphorePermit>,
}

/// Exports the store and returns its chunks.
pub(crate) async fn start(
    state: Arc<State>,
) -> Result<BoxStream<'static, Result<SnapshotResponse, Status>>, Status> {
    let failed = |error: &dyn std::fmt::Display| Status::unknown(format!("snapshot: {error}"));
    let began = Instant::now();
    let unique = reseed_rt::rng::u64();
    let path = state
        .config
        .data_dir
        .join("member/snap")
        .join(format!("{}{unique:016x}{}", EXPORT.0, EXPORT.1));
    let exporting = Arc::clone(&state);
    let to = path.clone();
    let permit = state.snapshots.clone().acquire_owned().await;
    let exported = task::blocking(move || {
        // Made here, so that it is removed even if the client is gone when the export ends.
        let temporary = Temporary(to.clone());
        let (view, revision, compact_revision) = {
            let machine = exporting.machine.read();
            let mvcc = &machine.mvcc;
            (exporting.backend.view(), mvcc.revision(), mvcc.compact_revision())
        };
        let info = ExportInfo {
            server_version: env!("CARGO_PKG_VERSION").into(),
            cluster_id: exporting.cluster_id,
            member_id: exporting.member_id,
            revision,
            compact_revision,
        };
        view.export_blocking(&*disk::disk(), &to, &info).map(|_| temporary)
    })
    .await;
    let temporary = exported.map_err(|error| failed(&error))?;
    disk::settle().await;
    state.metrics.backend_snapshot.observe(began.elapsed().as_secs_f64());
    let file = disk::disk().open(&path, OpenMode::Read).map_err(|error| failed(&error))?;
    let total = file.len().map_err(|error| failed(&error))?;
    let sending = Sending { file, sent: 0, total, _temporary: temporary, _permit: permit.ok() };
    let chunks = stream::unfold(Some(sending), |sending| async {
        let mut sending = sending?;
        if sending.sent == sending.total {
            return None;
        }
        match sending.next() {
            Ok(chunk) => Some((Ok(chunk), Some(sending))),
            Err(error) => Some((Err(Status::unknown(format!("snapshot: {error}"))), None)),
        }
    });
    Ok(chunks.boxed())
}

impl Sending {
    fn next(&mut self) -> std::io::Result<SnapshotResponse> {
        let left = self.total - self.sent;
        // The checksum travels alone, as the last chunk.
        let body_left = left.saturating_sub(CHECKSUM_BYTES);
        let size = if body_left == 0 { left } else { body_left.min(CHUNK_BYTES as u64) };
        let mut blob = vec![0; usize::try_from(size).unwrap_or(CHUNK_BYTES)];
        self.file.read_at(&mut blob, self.sent)?;
        self.sent += blob.len() as u64;
        Ok(SnapshotResponse {
            header: None,
            remaining_bytes: self.total - self.sent,
            blob: Bytes::from(blob),
            version: CLUSTER_VERSION.into(),
        })
    }
}
