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
use reseed_rt::buggify::{self, Point};
use reseed_rt::clock::Instant;
use reseed_rt::disk::{self, File, OpenMode};
use reseed_rt::probe::{self, Probe};
use reseed_rt::task;
use reseed_storage::backend::{BackendError, CHECKSUM_BYTES, ExportInfo, Exported};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::state::State;

/// Bytes of one chunk (etcd's).
const CHUNK_BYTES: usize = 32 << 10;

/// Name of a temporary file begins and ends with these; boot removes what a crash left.
pub(crate) const EXPORT: (&str, &str) = ("export-", ".tmp");

/// Exports that may exist at once for clients, and as many for members.
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

/// The store at one moment, as a file that goes when this does.
pub(crate) struct Export {
    pub(crate) file: Arc<dyn File>,
    pub(crate) exported: Exported,
    _temporary: Temporary,
    /// Few at a time: each is a copy of the store on the member's disk.
    _permit: Option<OwnedSemaphorePermit>,
}

/// Makes a file of the store, while the member goes on, once `leave` gives leave.
///
/// # Errors
/// The file cannot be written.
pub(crate) async fn export(
    state: Arc<State>,
    leave: &Arc<Semaphore>,
) -> Result<Export, BackendError> {
    let began = Instant::now();
    let unique = reseed_rt::rng::u64();
    let path = state
        .config
        .data_dir
        .join("member/snap")
        .join(format!("{}{unique:016x}{}", EXPORT.0, EXPORT.1));
    let exporting = Arc::clone(&state);
    let to = path.clone();
    let permit = Arc::clone(leave).acquire_owned().await;
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
        let exported = view.export_blocking(&*disk::disk(), &to, &info)?;
        Ok::<_, BackendError>((exported, temporary))
    });
    let (exported, temporary) = exported.await?;
    disk::settle().await;
    state.metrics.backend_snapshot.observe(began.elapsed().as_secs_f64());
    let file = disk::disk().open(&path, OpenMode::Read);
    let file = file.map_err(|source| BackendError::Io { what: "open the export", source })?;
    Ok(Export { file, exported, _temporary: temporary, _permit: permit.ok() })
}

/// An export on its way to a client.
struct Sending {
    export: Export,
    sent: u64,
}

/// Exports the store and returns its chunks.
pub(crate) async fn start(
    state: Arc<State>,
) -> Result<BoxStream<'static, Result<SnapshotResponse, Status>>, Status> {
    let exported = export(Arc::clone(&state), &state.client_snapshots).await;
    let export = exported.map_err(|error| Status::unknown(format!("snapshot: {error}")))?;
    let chunks = stream::unfold(Some(Sending { export, sent: 0 }), |sending| async {
        let mut sending = sending?;
        if sending.sent == sending.export.exported.bytes {
            probe::hit(Probe::SnapshotStreamed);
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
        let total = self.export.exported.bytes;
        let left = total - self.sent;
        // The checksum travels alone, as the last chunk.
        let body_left = left.saturating_sub(CHECKSUM_BYTES);
        let chunk_bytes = if buggify::point(Point::SnapshotTinyChunks) { 512 } else { CHUNK_BYTES };
        let size = if body_left == 0 { left } else { body_left.min(chunk_bytes as u64) };
        let mut blob = vec![0; usize::try_from(size).unwrap_or(CHUNK_BYTES)];
        self.export.file.read_at(&mut blob, self.sent)?;
        self.sent += blob.len() as u64;
        Ok(SnapshotResponse {
            header: None,
            remaining_bytes: total - self.sent,
            blob: Bytes::from(blob),
            version: CLUSTER_VERSION.into(),
        })
    }
}
