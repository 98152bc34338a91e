//! The portable snapshot: the whole state as one file that any engine can read.
//!
//! ```text
//! magic, header frame, chunk frame…, footer frame, zeros up to a multiple of 512, SHA-256
//! ```
//! A frame is length, crc and kind, then a protobuf message (docs/formats.md). The file's size
//! modulo 512 is 32, which is how etcd's tools tell a snapshot with a hash from one without.
//! Reading trusts nothing: hash first, then frames, order, counts, and every revision key.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message;
use reseed_core::port::{Op, Read, Table};
use reseed_planted::{self as planted, Bug};
use reseed_proto::snapshot::{Chunk, Header, Pair};
use reseed_rt::disk::{Disk, File, OpenMode};
use sha2::{Digest, Sha256};

use super::{
    AppliedAt, Backend, BackendError, Snapshot, decode_revision_key,
    redb::{self, Loader, RedbEngine},
};

/// The first bytes of a snapshot.
pub const SNAPSHOT_MAGIC: [u8; 8] = *b"rseedSNP";
/// The version in its header.
pub const SNAPSHOT_VERSION: u32 = 1;
/// In front of a frame's message.
pub const FRAME_HEADER_BYTES: usize = 12;
/// The footer's payload: chunks and pairs.
pub const FOOTER_BYTES: usize = 16;

const BLOCK_BYTES: u64 = 512;
/// The SHA-256 at the end.
pub const CHECKSUM_BYTES: u64 = 32;
/// A chunk ends when its pairs hold this much.
const CHUNK_BYTES: usize = 256 * 1024;
/// A longer frame is damage.
const FRAME_BYTES_MAX: usize = 1 << 30;

const HEADER: u32 = 1;
const CHUNK: u32 = 2;
const FOOTER: u32 = 3;

/// What a snapshot says about its origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportInfo {
    /// The server's version.
    pub server_version: String,
    /// The cluster it was taken from.
    pub cluster_id: u64,
    /// The member it was taken from.
    pub member_id: u64,
    /// The store's revision.
    pub revision: i64,
    /// The store's compact revision.
    pub compact_revision: i64,
}

/// A finished snapshot file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Its length, hash included.
    pub bytes: u64,
    /// The hash of all before it; the file's last 32 bytes.
    pub sha256: [u8; 32],
    /// The last entry whose effect is in it.
    pub applied: AppliedAt,
}

/// What a snapshot held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// Its header.
    pub header: Header,
    /// How many pairs.
    pub pairs: u64,
    /// The file's length.
    pub bytes: u64,
    /// The hash at its end.
    pub sha256: [u8; 32],
}

impl Backend {
    /// Writes the state of this moment to the file `path`, replacing it; durable on return, its
    /// name is not.
    ///
    /// # Errors
    /// `Full` if there is no space; `Io` or `Engine` if disk or engine fail. The file is removed.
    pub fn export_blocking(
        &self,
        path: &Path,
        info: &ExportInfo,
    ) -> Result<Exported, BackendError> {
        self.view().export_blocking(self.disk().as_ref(), path, info)
    }
}

impl Snapshot {
    /// As [`Backend::export_blocking`], of this snapshot.
    ///
    /// # Errors
    /// As there.
    pub fn export_blocking(
        &self,
        disk: &dyn Disk,
        path: &Path,
        info: &ExportInfo,
    ) -> Result<Exported, BackendError> {
        let file = disk.open(path, OpenMode::CreateTruncate);
        let file = file.map_err(BackendError::io("create the snapshot"))?;
        export(self, Writer::new(file), info).inspect_err(|_| {
            // Best effort: the error that matters is the one that is returned.
            _ = disk.remove(path);
        })
    }
}

fn export(
    snapshot: &Snapshot,
    mut out: Writer,
    info: &ExportInfo,
) -> Result<Exported, BackendError> {
    let applied = snapshot.applied();
    out.write(&SNAPSHOT_MAGIC)?;
    let header = Header {
        format_version: SNAPSHOT_VERSION,
        server_version: info.server_version.clone(),
        cluster_id: info.cluster_id,
        member_id: info.member_id,
        revision: info.revision,
        compact_revision: info.compact_revision,
        applied_index: applied.index,
        applied_term: applied.term,
    };
    out.frame(HEADER, &header.encode_to_vec())?;
    let mut counts = Counts::default();
    let left_out = |table: &Table| match table {
        Table::Lease => planted::on(Bug::SnapshotLacksLeases),
        Table::Members => planted::on(Bug::SnapshotLacksMembers),
        _ => false,
    };
    for table in Table::ALL.into_iter().filter(|table| !left_out(table)) {
        export_table(snapshot, table, &mut out, &mut counts)?;
    }
    out.frame(FOOTER, &counts.encode())?;
    out.finish(applied)
}

fn export_table(
    snapshot: &Snapshot,
    table: Table,
    out: &mut Writer,
    counts: &mut Counts,
) -> Result<(), BackendError> {
    let mut chunk = Chunk { table: table as u32, pairs: Vec::new() };
    let mut bytes = 0;
    let mut failed = None;
    let mut put = |chunk: &mut Chunk, out: &mut Writer| {
        counts.chunks += 1;
        counts.pairs += chunk.pairs.len() as u64;
        let frame = chunk.encode_to_vec();
        chunk.pairs.clear();
        out.frame(CHUNK, &frame)
    };
    snapshot.scan(table, &[], None, &mut |key, value| {
        bytes += key.len() + value.len();
        chunk.pairs.push(Pair { key: Bytes::copy_from_slice(key), value: value.clone() });
        if bytes >= CHUNK_BYTES {
            bytes = 0;
            failed = put(&mut chunk, out).err();
        }
        failed.is_none()
    })?;
    match failed {
        Some(error) => Err(error),
        None if chunk.pairs.is_empty() => Ok(()),
        None => put(&mut chunk, out),
    }
}

/// What the footer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    chunks: u64,
    pairs: u64,
}

impl Counts {
    fn encode(self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..8].copy_from_slice(&self.chunks.to_le_bytes());
        bytes[8..].copy_from_slice(&self.pairs.to_le_bytes());
        bytes
    }
}

/// Writes and hashes.
#[derive(Debug)]
struct Writer {
    file: Arc<dyn File>,
    offset: u64,
    hash: Sha256,
}

impl Writer {
    fn new(file: Arc<dyn File>) -> Self {
        Self { file, offset: 0, hash: Sha256::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.hash.update(bytes);
        let written = self.file.write_at(bytes, self.offset);
        written.map_err(BackendError::io("write the snapshot"))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn frame(&mut self, kind: u32, payload: &[u8]) -> Result<(), BackendError> {
        let length = u32::try_from(payload.len()).expect("a chunk is small");
        let crc = frame_crc(kind, payload);
        let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + payload.len());
        for number in [length, crc, kind] {
            frame.extend_from_slice(&number.to_le_bytes());
        }
        frame.extend_from_slice(payload);
        self.write(&frame)
    }

    fn finish(mut self, applied: AppliedAt) -> Result<Exported, BackendError> {
        let padding = self.offset.next_multiple_of(BLOCK_BYTES) - self.offset;
        self.write(&vec![0; padding as usize])?;
        let sha256: [u8; 32] = self.hash.clone().finalize().into();
        self.write(&sha256)?;
        self.file.sync().map_err(BackendError::io("sync the snapshot"))?;
        Ok(Exported { bytes: self.offset, sha256, applied })
    }
}

fn frame_crc(kind: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&kind.to_le_bytes()), payload)
}

/// Makes the database file `into` from a snapshot; `into` must not exist. A crash leaves either
/// the whole database under its name or none. The effect of the raft log does not carry over: the
/// database's applied index is `at`.
///
/// # Errors
/// `Snapshot` if the file is not a sound snapshot; `Full`, `Io`, `Engine`.
pub fn import_blocking(
    disk: &Arc<dyn Disk>,
    from: &Path,
    into: &Path,
    at: AppliedAt,
) -> Result<Imported, BackendError> {
    let exists = disk.exists(into).map_err(BackendError::io("look for the database"))?;
    assert!(!exists, "{} must not be replaced", into.display());
    let temporary: PathBuf = into.with_extension(redb::IMPORT);
    let mut engine = RedbEngine::create(
        Arc::clone(disk),
        &temporary,
        super::BackendOptions::default().cache_bytes,
    )?;
    let mut loader = Loader::new(&mut engine);
    let imported = read_blocking(disk.as_ref(), from, &mut |op| loader.put(op))?;
    loader.finish(at)?;
    engine.rename(into)?;
    Ok(imported)
}

/// Reads a snapshot, checking everything, and hands out its pairs in order as puts.
///
/// # Errors
/// `Snapshot` if the file is not a sound snapshot; `Io`; what `put` returns.
pub fn read_blocking(
    disk: &dyn Disk,
    from: &Path,
    put: &mut dyn FnMut(Op) -> Result<(), BackendError>,
) -> Result<Imported, BackendError> {
    let file = disk.open(from, OpenMode::Read).map_err(BackendError::io("open the snapshot"))?;
    let bytes = file.len().map_err(BackendError::io("ask the snapshot for its length"))?;
    let mut reader =
        Reader { file, path: from, offset: 0, end: bytes.saturating_sub(CHECKSUM_BYTES) };
    if bytes % BLOCK_BYTES != CHECKSUM_BYTES {
        return Err(reader.refuse(format!("a file of {bytes} bytes has no hash at its end")));
    }
    let sha256 = reader.check_hash()?;
    let mut imported = Imported { bytes, sha256, ..Imported::default() };
    if *reader.take(SNAPSHOT_MAGIC.len())? != SNAPSHOT_MAGIC {
        return Err(reader.refuse("not a snapshot of reseed".to_owned()));
    }
    let (kind, payload) = reader.frame()?;
    let header = Header::decode(payload).map_err(|error| reader.refuse(error.to_string()))?;
    if kind != HEADER || header.format_version != SNAPSHOT_VERSION {
        let found = header.format_version;
        let reason = format!("format version {found}; this reseed reads {SNAPSHOT_VERSION} only");
        return Err(reader.refuse(reason));
    }
    imported.header = header;
    let counts = read_chunks(&mut reader, put)?;
    imported.pairs = counts.pairs;
    let padding = reader.end - reader.offset;
    if padding >= BLOCK_BYTES || reader.take(padding as usize)?.iter().any(|byte| *byte != 0) {
        return Err(reader.refuse("bytes behind the footer".to_owned()));
    }
    Ok(imported)
}

fn read_chunks(
    reader: &mut Reader<'_>,
    put: &mut dyn FnMut(Op) -> Result<(), BackendError>,
) -> Result<Counts, BackendError> {
    let mut counts = Counts::default();
    let mut last: Option<(Table, Bytes)> = None;
    loop {
        let (kind, payload) = reader.frame()?;
        match kind {
            CHUNK => counts.chunks += 1,
            FOOTER if payload == counts.encode().as_slice() => return Ok(counts),
            FOOTER => return Err(reader.refuse("the footer counts something else".to_owned())),
            _ => return Err(reader.refuse(format!("a frame of kind {kind}"))),
        }
        let chunk = Chunk::decode(payload).map_err(|error| reader.refuse(error.to_string()))?;
        let table = Table::ALL.into_iter().find(|table| *table as u32 == chunk.table);
        let table = table.ok_or_else(|| reader.refuse(format!("a table {}", chunk.table)))?;
        for Pair { key, value } in chunk.pairs {
            let place = (table, key.clone());
            if last.as_ref().is_some_and(|last| *last >= place) {
                return Err(reader.refuse("keys out of order".to_owned()));
            }
            if table == Table::Key && decode_revision_key(&key).is_none() {
                return Err(reader.refuse(format!("{key:?} is not a revision")));
            }
            last = Some(place);
            counts.pairs += 1;
            put(Op { table, key, value: Some(value) })?;
        }
    }
}

/// Reads frames and refuses what they cannot be.
#[derive(Debug)]
struct Reader<'a> {
    file: Arc<dyn File>,
    path: &'a Path,
    offset: u64,
    /// Where the hash begins.
    end: u64,
}

impl Reader<'_> {
    fn refuse(&self, reason: String) -> BackendError {
        let reason = format!("{reason} (at offset {})", self.offset);
        BackendError::Snapshot { file: self.path.display().to_string(), reason }
    }

    fn check_hash(&mut self) -> Result<[u8; 32], BackendError> {
        let mut hash = Sha256::new();
        let mut piece = vec![0; CHUNK_BYTES];
        while self.offset < self.end {
            let len = (self.end - self.offset).min(CHUNK_BYTES as u64) as usize;
            self.read(&mut piece[..len])?;
            hash.update(&piece[..len]);
            self.offset += len as u64;
        }
        let mut stored = [0; 32];
        self.read(&mut stored)?;
        if stored != <[u8; 32]>::from(hash.finalize()) {
            return Err(self.refuse("the file does not fit the hash at its end".to_owned()));
        }
        self.offset = 0;
        Ok(stored)
    }

    fn read(&self, into: &mut [u8]) -> Result<(), BackendError> {
        let read = self.file.read_at(into, self.offset);
        read.map_err(BackendError::io("read the snapshot"))
    }

    fn take(&mut self, len: usize) -> Result<Bytes, BackendError> {
        if len as u64 > self.end - self.offset {
            return Err(self.refuse("the file ends too early".to_owned()));
        }
        let mut bytes = vec![0; len];
        self.read(&mut bytes)?;
        self.offset += len as u64;
        Ok(bytes.into())
    }

    /// The next frame's kind and payload.
    fn frame(&mut self) -> Result<(u32, Bytes), BackendError> {
        let header = self.take(FRAME_HEADER_BYTES)?;
        let mut numbers = header
            .chunks_exact(4)
            .map(|number| u32::from_le_bytes(number.try_into().expect("four bytes")));
        let mut number = || numbers.next().expect("three numbers");
        let (length, crc, kind) = (number() as usize, number(), number());
        if length > FRAME_BYTES_MAX {
            return Err(self.refuse(format!("a frame of {length} bytes")));
        }
        let payload = self.take(length)?;
        if frame_crc(kind, &payload) != crc {
            return Err(self.refuse("a frame does not fit its checksum".to_owned()));
        }
        Ok((kind, payload))
    }
}
