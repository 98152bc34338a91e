//! One segment file: its name, its header, and how it comes into being.
//!
//! A segment is written under the name `next.tmp`, which preallocates it ahead of need, and gets
//! its real name only when header and opening records are durable. Not here: records after those.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use reseed_planted::{self as planted, Bug};
use reseed_rt::disk::{Disk, File, OpenMode};

use super::{
    Metadata, WalError,
    record::{read_u32, read_u64},
};

/// The first bytes of a segment.
pub const MAGIC: [u8; 8] = *b"rseedWAL";
/// The version of header and records.
pub const WAL_VERSION: u32 = 1;
/// Bytes in front of the first record.
pub const SEGMENT_HEADER_BYTES: usize = 72;

/// No index, sequence or position comes near this: larger ones are damage, and sums never overflow.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

const NEXT_NAME: &str = "next.tmp";
const CRC_AT: usize = 12;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) metadata: Metadata,
    /// Counts segments from 0.
    pub(crate) sequence: u64,
    /// The index an entry appended right at the beginning would have.
    pub(crate) first_index: u64,
    /// The log's position of the file's first byte.
    pub(crate) base: u64,
    /// The file's length.
    pub(crate) file_bytes: u64,
    /// The crc of the last record of the segment before.
    pub(crate) chain: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&WAL_VERSION.to_le_bytes());
        let numbers = [
            self.metadata.cluster_id,
            self.metadata.member_id,
            self.sequence,
            self.first_index,
            self.base,
            self.file_bytes,
        ];
        for (number, into) in numbers.iter().zip(bytes[16..64].chunks_exact_mut(8)) {
            into.copy_from_slice(&number.to_le_bytes());
        }
        bytes[64..68].copy_from_slice(&self.chain.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, String> {
        if bytes[..8] != MAGIC {
            return Err("not a segment of a reseed log".to_owned());
        }
        let version = read_u32(bytes, 8).unwrap_or_default();
        if version != WAL_VERSION {
            return Err(format!("log version {version}; this reseed reads {WAL_VERSION} only"));
        }
        let mut unsigned = *bytes;
        unsigned[CRC_AT..CRC_AT + 4].fill(0);
        if read_u32(bytes, CRC_AT) != Some(crc32c::crc32c(&unsigned)) || bytes[68..72] != [0; 4] {
            return Err("the segment header does not fit its checksum".to_owned());
        }
        let number = |at| read_u64(bytes, at).unwrap_or_default();
        if [32, 40, 48, 56].into_iter().any(|at| number(at) > NUMBER_MAX) {
            return Err("the segment header counts beyond what can be".to_owned());
        }
        Ok(Self {
            metadata: Metadata { cluster_id: number(16), member_id: number(24) },
            sequence: number(32),
            first_index: number(40),
            base: number(48),
            file_bytes: number(56),
            chain: read_u32(bytes, 64).unwrap_or_default(),
        })
    }

    pub(crate) fn name(&self) -> SegmentName {
        SegmentName { sequence: self.sequence, first_index: self.first_index }
    }
}

/// A segment as its file name tells it: `<sequence>-<first index>.wal`, both in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) sequence: u64,
    pub(crate) first_index: u64,
}

impl SegmentName {
    pub(crate) fn file_name(self) -> String {
        format!("{:016x}-{:016x}.wal", self.sequence, self.first_index)
    }

    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }

    fn parse(name: &str) -> Option<Self> {
        let (sequence, first_index) = name.strip_suffix(".wal")?.split_once('-')?;
        let parsed = Self {
            sequence: u64::from_str_radix(sequence, 16).ok()?,
            first_index: u64::from_str_radix(first_index, 16).ok()?,
        };
        (parsed.file_name() == name).then_some(parsed)
    }
}

/// The segments in `dir`, in order. Other files are left alone.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<SegmentName>, WalError> {
    let names = disk.list(dir).map_err(WalError::io("list the directory"))?;
    let mut segments: Vec<_> = names.iter().filter_map(|name| SegmentName::parse(name)).collect();
    segments.sort_unstable();
    Ok(segments)
}

/// A file that waits to become the next segment: its space is reserved, its bytes are zero.
#[derive(Debug)]
pub(crate) struct Prepared {
    file: Arc<dyn File>,
    pub(crate) file_bytes: u64,
}

impl Prepared {
    /// Reserves a file of `file_bytes`.
    ///
    /// # Errors
    /// `Full` if there is no space (nothing stays behind); `Io` otherwise.
    pub(crate) fn new(disk: &dyn Disk, dir: &Path, file_bytes: u64) -> Result<Self, WalError> {
        let path = dir.join(NEXT_NAME);
        let prepared = Self::reserve(disk, &path, file_bytes);
        prepared.map_err(WalError::full_or("prepare the next segment")).inspect_err(|error| {
            if matches!(error, WalError::Full) {
                // Best effort: what cannot be removed is truncated by the next attempt.
                _ = disk.remove(&path);
            }
        })
    }

    fn reserve(disk: &dyn Disk, path: &Path, file_bytes: u64) -> io::Result<Self> {
        let file = disk.open(path, OpenMode::CreateTruncate)?;
        file.allocate(file_bytes)?;
        file.sync()?;
        Ok(Self { file, file_bytes })
    }

    /// Makes it the segment that `header` describes, opening with `records`; durable on return.
    ///
    /// # Errors
    /// `Full` leaves the file prepared; `Io` is final.
    pub(crate) fn install(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        header: &SegmentHeader,
        records: &[u8],
    ) -> Result<Arc<dyn File>, WalError> {
        assert_eq!(header.file_bytes, self.file_bytes, "the header tells the file's length");
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(records);
        let path = header.name().path(dir);
        self.file.write_at(&bytes, 0).map_err(WalError::full_or("begin a segment"))?;
        self.file.sync().map_err(WalError::io("sync a new segment"))?;
        let renamed = disk.rename(&dir.join(NEXT_NAME), &path);
        renamed.map_err(WalError::full_or("name a segment"))?;
        if !planted::on(Bug::SegmentNameUnsynced) {
            disk.sync_dir(dir).map_err(WalError::io("sync the directory"))?;
        }
        Ok(Arc::clone(&self.file))
    }
}
