//! The receiving side: a file that grows, is checked, imported, and handed to the driver.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use prost::Message as _;
use raft::eraftpb::{Message, MessageType};
use reseed_planted::{self as planted, Bug};
use reseed_proto::peer::{
    SnapshotChunk, SnapshotOffer, SnapshotPart, SnapshotWanted, snapshot_part::Part,
};
use reseed_rt::chan::Sender;
use reseed_rt::clock;
use reseed_rt::disk::{self, File, OpenMode};
use reseed_rt::task;
use reseed_storage::backend::{AppliedAt, BackendError, import_blocking, install_path};
use tokio::sync::{Mutex, oneshot};
use tonic::Status;

use crate::peer::Route;
use crate::raft::PeerEvent;

/// Name of a file that is not complete begins and ends with these, its hash in between.
const PART: (&str, &str) = ("receive-", ".part");

/// A sender that says nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// It has to export its state before it begins, which may take so long.
const EXPORT_MAX: Duration = Duration::from_secs(600);

/// A snapshot as it comes.
pub(crate) trait Parts: Stream<Item = Result<SnapshotPart, Status>> + Unpin {}

impl<S: Stream<Item = Result<SnapshotPart, Status>> + Unpin> Parts for S {}

/// Receives snapshots, one at a time.
#[derive(Clone, Debug)]
pub(crate) struct Receiving {
    /// The backend's file; everything happens beside it.
    db: PathBuf,
    /// Bytes of files here belong to who holds this.
    busy: Arc<Mutex<()>>,
}

impl Receiving {
    /// For the member whose backend is the file `db`.
    pub(crate) fn new(db: PathBuf) -> Self {
        Self { db, busy: Arc::default() }
    }

    /// Returns when none is under way.
    pub(crate) async fn ended(&self) {
        drop(self.busy.lock().await);
    }

    /// How much of the offered file is here.
    pub(crate) fn held(&self, offer: &SnapshotOffer) -> Result<u64, Status> {
        let path = self.part(offer)?;
        let disk = disk::disk();
        let held = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file.len().map_err(|error| failed("length", &error))?,
            Err(_) => 0,
        };
        Ok(if held <= offer.bytes { held } else { 0 })
    }

    /// Takes the parts of a snapshot sent by `from` and hands it to the driver, which installs it
    /// or finds that it is not needed.
    pub(crate) async fn receive(
        &self,
        mut parts: impl Parts,
        from: u64,
        driver: &Sender<PeerEvent>,
    ) -> Result<(), Status> {
        let Ok(turn) = Arc::clone(&self.busy).try_lock_owned() else {
            return Err(Status::unavailable("another snapshot is under way"));
        };
        let offer = offered(&mut parts).await?;
        let message = message_of(&offer, from)?;
        let path = self.part(&offer)?;
        self.remove_others(&path);
        self.fill(&path, &offer, parts).await?;
        // This call ends with its connection. What has begun to take the place of this member's
        // state comes to its end all the same, before anything else touches the same files.
        let (this, driver) = (self.clone(), driver.clone());
        let taking = async move {
            let taken = this.take_over(path, &offer, message, &driver).await;
            drop(turn);
            taken
        };
        let taken = task::spawn("snapshot-install", taking).await;
        taken.unwrap_or_else(|_cancelled| Err(Status::unavailable("this member stops")))
    }

    /// Makes a database of the complete file at `path` and has the driver install it.
    async fn take_over(
        &self,
        path: PathBuf,
        offer: &SnapshotOffer,
        message: Message,
        driver: &Sender<PeerEvent>,
    ) -> Result<(), Status> {
        self.import(path.clone(), offer, &message).await?;
        let (done, installed) = oneshot::channel();
        let from = install_path(&self.db);
        let snapshot = PeerEvent::Snapshot { message: Box::new(message), from, done };
        driver.send(snapshot).await.map_err(|_closed| Status::unavailable("stopping"))?;
        if !planted::on(Bug::SnapshotForgottenEarly) {
            installed
                .await
                .map_err(|_dropped| Status::unavailable("the snapshot was not taken"))?;
        }
        remove(&install_path(&self.db));
        remove(&path);
        Ok(())
    }

    /// Fetches the state of the member at the end of `route` and imports it; where it waits is
    /// [`install_path`], what it is the answer.
    pub(crate) async fn fetch(&self, route: &Route, index_min: u64) -> Result<AppliedAt, Status> {
        let mut client = route.client(&route.url(0));
        let wanted = client.fetch_snapshot(route.request(SnapshotWanted { index_min }));
        let first = async {
            let mut parts = wanted.await?.into_inner();
            Ok((offered(&mut parts).await?, parts))
        };
        let first = clock::timeout(EXPORT_MAX, first).await;
        let (offer, parts) =
            first.map_err(|late| Status::deadline_exceeded(late.to_string())).flatten()?;
        let message = message_of(&offer, route.to)?;
        let path = self.part(&offer)?;
        self.remove_others(&path);
        // It comes from its beginning.
        remove(&path);
        self.fill(&path, &offer, parts).await?;
        self.import(path.clone(), &offer, &message).await?;
        remove(&path);
        let metadata = message.get_snapshot().get_metadata();
        Ok(AppliedAt { index: metadata.index, term: metadata.term })
    }

    fn part(&self, offer: &SnapshotOffer) -> Result<PathBuf, Status> {
        if offer.sha256.len() != 32 {
            return Err(Status::invalid_argument("a snapshot is named by its SHA-256"));
        }
        let hash = offer.sha256.iter().take(8).fold(String::new(), |mut hash, byte| {
            // Writing to a string cannot fail.
            let _written = write!(hash, "{byte:02x}");
            hash
        });
        Ok(self.db.with_file_name(format!("{}{hash}{}", PART.0, PART.1)))
    }

    /// A snapshot that nobody sends any more only takes space.
    fn remove_others(&self, keep: &Path) {
        let dir = self.db.parent().unwrap_or(Path::new(""));
        for name in disk::disk().list(dir).unwrap_or_default() {
            let path = dir.join(&name);
            if name.starts_with(PART.0) && name.ends_with(PART.1) && path != keep {
                remove(&path);
            }
        }
    }

    /// Appends chunks until the file is complete.
    async fn fill(
        &self,
        path: &Path,
        offer: &SnapshotOffer,
        mut parts: impl Parts,
    ) -> Result<(), Status> {
        let file = disk::disk().open(path, OpenMode::CreateOrOpen);
        let file = file.map_err(|error| failed("open", &error))?;
        let mut have = file.len().map_err(|error| failed("length", &error))?;
        if have > offer.bytes {
            file.set_len(0).map_err(|error| failed("truncate", &error))?;
            have = 0;
        }
        while have < offer.bytes {
            let next = clock::timeout(SILENCE_MAX, parts.next()).await;
            let next = next.map_err(|silent| Status::deadline_exceeded(silent.to_string()))?;
            let next = next.transpose()?;
            let Some(SnapshotPart { part: Some(Part::Chunk(chunk)) }) = next else {
                return Err(Status::aborted(format!("the snapshot broke off after {have} bytes")));
            };
            have = write(file.as_ref(), &chunk, have, offer.bytes)?;
            disk::settle().await;
        }
        file.sync().map_err(|error| failed("sync", &error))?;
        disk::settle().await;
        Ok(())
    }

    /// Makes a database of the file, beside the one in use. A file that is not what its hash says
    /// is of no use, and goes.
    async fn import(
        &self,
        path: PathBuf,
        offer: &SnapshotOffer,
        message: &Message,
    ) -> Result<(), Status> {
        let metadata = message.get_snapshot().get_metadata();
        let at = AppliedAt { index: metadata.index, term: metadata.term };
        let (from, into) = (path.clone(), install_path(&self.db));
        let imported = task::blocking(move || {
            remove(&into);
            import_blocking(&disk::disk(), &from, &into, at)
        });
        let imported = imported.await;
        disk::settle().await;
        let is_right = |header: &reseed_proto::snapshot::Header| {
            (header.applied_index, header.applied_term) == (at.index, at.term)
                || planted::on(Bug::SnapshotIndexStale)
        };
        match imported {
            Ok(found) if found.sha256[..] == offer.sha256[..] && is_right(&found.header) => Ok(()),
            Err(BackendError::Full) => Err(Status::resource_exhausted("the disk is full")),
            other => {
                let error = other.err().map(|error| error.to_string());
                remove(&install_path(&self.db));
                remove(&path);
                let reason = error.unwrap_or_else(|| "it is not what was offered".to_owned());
                tracing::warn!(reason, "a snapshot arrived damaged");
                Err(Status::data_loss(reason))
            }
        }
    }
}

/// What comes first says what the rest is.
async fn offered(parts: &mut impl Parts) -> Result<SnapshotOffer, Status> {
    match parts.next().await.transpose()? {
        Some(SnapshotPart { part: Some(Part::Offer(offer)) }) => Ok(offer),
        _ => Err(Status::invalid_argument("a snapshot begins with what it is")),
    }
}

/// The raft message of an offer, if that is what it is.
fn message_of(offer: &SnapshotOffer, from: u64) -> Result<Message, Status> {
    let message = Message::decode(offer.message.clone())
        .map_err(|error| Status::invalid_argument(format!("no raft message: {error}")))?;
    message
        .validate()
        .map_err(|error| Status::invalid_argument(format!("raft message: {error}")))?;
    let is_snapshot = message.msg_type == MessageType::MsgSnapshot as i32;
    if !is_snapshot || message.from != from || message.get_snapshot().get_metadata().index == 0 {
        return Err(Status::invalid_argument("not a snapshot message of this sender"));
    }
    Ok(message)
}

/// Writes a chunk behind what is there; how much is there then.
fn write(file: &dyn File, chunk: &SnapshotChunk, have: u64, bytes: u64) -> Result<u64, Status> {
    let end = chunk.offset.checked_add(chunk.data.len() as u64);
    if chunk.offset != have || chunk.data.is_empty() || end.is_none_or(|end| end > bytes) {
        return Err(Status::invalid_argument(format!("a chunk at {}, not {have}", chunk.offset)));
    }
    if crc32c::crc32c(&chunk.data) != chunk.crc32c {
        return Err(Status::data_loss(format!("the chunk at {have} is damaged")));
    }
    file.write_at(&chunk.data, have).map_err(|error| failed("write", &error))?;
    Ok(have + chunk.data.len() as u64)
}

fn failed(what: &str, error: &std::io::Error) -> Status {
    Status::internal(format!("{what} of the snapshot file: {error}"))
}

/// Best effort: a file that stays costs space, and the next snapshot removes it.
fn remove(path: &Path) {
    let _there_or_not = disk::disk().remove(path);
}

#[cfg(test)]
mod tests;
