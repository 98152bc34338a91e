//! Replay: reads all segments, decides what is log, what is a torn tail, and what is damage.
//!
//! Changes nothing on disk; [`super::Wal::open`] does what the [`Scan`] found to be necessary. The
//! rule for telling a torn tail from a damaged middle is in the essay of `mod.rs`.

use std::{path::Path, sync::Arc};

use reseed_planted::{self as planted, Bug};
use reseed_rt::disk::{Disk, File, OpenMode};
use reseed_rt::probe::{self, Probe};

use super::{
    HardState, Mark, Metadata, Recovered, WalEntry, WalError,
    record::{FRAME_ALIGN, FRAME_HEADER_BYTES, FrameHeader, Record},
    segment::{NUMBER_MAX, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentName, list},
};

/// Read from the disk at a time.
const WINDOW_BYTES: usize = 256 * 1024;
/// Skipped at a time where nothing was written yet.
const ZERO_BLOCK: [u8; 4096] = [0; 4096];

/// A torn tail: bytes behind the last record that nobody was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub file: String,
    /// Where the log ends in it.
    pub offset: u64,
}

/// Reads a log without changing anything.
///
/// # Errors
/// As [`super::Wal::open`].
pub fn inspect(disk: &dyn Disk, dir: &Path) -> Result<Recovered, WalError> {
    scan(disk, dir).map(|scan| scan.recovered)
}

/// All that opening needs to know.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) recovered: Recovered,
    /// The segments of the log, in order; never empty.
    pub(crate) segments: Vec<SegmentName>,
    /// Segments left behind by an interrupted release.
    pub(crate) stale: Vec<SegmentName>,
    pub(crate) tail: Tail,
}

/// Where the last segment ends.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) header: SegmentHeader,
    /// Behind the last record.
    pub(crate) offset: u64,
    /// The last record's crc.
    pub(crate) chain: u32,
    /// Whether an end record was read: the next record belongs to a new segment.
    pub(crate) sealed: bool,
    /// The position in the log up to which its records say that it was durable.
    pub(crate) synced: u64,
}

pub(crate) fn scan(disk: &dyn Disk, dir: &Path) -> Result<Scan, WalError> {
    let mut segments = list(disk, dir)?;
    if segments.is_empty() {
        return Err(WalError::Missing(dir.display().to_string()));
    }
    let stale = split_stale(&mut segments);
    let mut replay = Replay { may_jump: segments[0].sequence > 0, ..Replay::default() };
    let mut tail: Option<Tail> = None;
    let mut cut = None;
    for (at, name) in segments.iter().enumerate() {
        let file = disk.open(&name.path(dir), OpenMode::Read);
        let file = file.map_err(WalError::io("open a segment"))?;
        let mut segment = Segment::open(file, *name)?;
        segment.follows(tail.as_ref())?;
        let last = at + 1 == segments.len();
        let end = segment.replay(&mut replay)?;
        if !last && !end.sealed {
            return Err(
                segment.damaged(end.offset, end.torn.unwrap_or("the end record is missing"))
            );
        }
        if !end.sealed && segment.has_torn_tail(end.offset, end.torn)? {
            if planted::on(Bug::TornTailRefused) {
                return Err(segment.damaged(end.offset, "unexpected end of the log"));
            }
            cut = Some(Cut { file: name.file_name(), offset: end.offset });
        }
        let SegmentEnd { offset, chain, sealed, synced, .. } = end;
        tail = Some(Tail { header: segment.header, offset, chain, sealed, synced });
    }
    let tail = tail.expect("there is at least one segment");
    let recovered = replay.finish(dir, &segments, tail.header.metadata, cut)?;
    Ok(Scan { recovered, segments, stale, tail })
}

/// Splits off what lies before the last gap in the sequence.
fn split_stale(segments: &mut Vec<SegmentName>) -> Vec<SegmentName> {
    let gap = segments.windows(2).rposition(|pair| pair[0].sequence + 1 != pair[1].sequence);
    let kept = segments.split_off(gap.map_or(0, |at| at + 1));
    std::mem::replace(segments, kept)
}

/// What the records said so far.
#[derive(Debug, Default)]
struct Replay {
    hard_state: HardState,
    mark: Mark,
    entries: Vec<WalEntry>,
    /// Segments were released, and no entry was read yet. What they held may lie between the mark
    /// and the first entry that is left; in the end the final mark must cover that.
    may_jump: bool,
}

impl Replay {
    /// Takes the next record.
    ///
    /// # Errors
    /// Why it cannot follow those before.
    fn record(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Entry(WalEntry { index, .. }) | Record::Mark(Mark { index, .. })
                if index > NUMBER_MAX =>
            {
                return Err(format!("an index of {index} cannot be"));
            }
            Record::Entry(entry) => return self.entry(entry),
            Record::HardState(state) => self.hard_state = state,
            Record::Mark(mark) => self.mark(mark),
            Record::End => {}
        }
        Ok(())
    }

    fn entry(&mut self, entry: WalEntry) -> Result<(), String> {
        let first = self.entries.first().map_or(entry.index, |first| first.index);
        let last = self.entries.last().map_or(self.mark.index, |last| last.index);
        let may_jump = std::mem::take(&mut self.may_jump);
        let follows = entry.index <= last + 1 || may_jump;
        if entry.index <= self.mark.index || !follows {
            let (index, mark) = (entry.index, self.mark.index);
            return Err(format!("entry {index} cannot follow entry {last} and mark {mark}"));
        }
        probe::hit_if(entry.index <= last, Probe::WalConflict);
        if entry.index < first {
            self.entries.clear();
        } else if !planted::on(Bug::ConflictKept) {
            self.entries.truncate((entry.index - first) as usize);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Entries the mark covers go. If the log had another entry there, the mark is of a snapshot
    /// that replaced the log, and all entries go.
    fn mark(&mut self, mark: Mark) {
        if mark.index < self.mark.index {
            return;
        }
        let at = self.entries.iter().position(|entry| entry.index == mark.index);
        match at {
            Some(at) if self.entries[at].term == mark.term => drop(self.entries.drain(..=at)),
            Some(_) => self.entries.clear(),
            None if self.entries.first().is_some_and(|first| first.index > mark.index) => {}
            None => self.entries.clear(),
        }
        self.mark = mark;
    }

    fn finish(
        self,
        dir: &Path,
        segments: &[SegmentName],
        metadata: Metadata,
        cut: Option<Cut>,
    ) -> Result<Recovered, WalError> {
        let oldest = segments[0];
        let first = self.entries.first().map_or(oldest.first_index, |first| first.index);
        let needed = self.mark.index + 1;
        let gap = first > needed || oldest.first_index > needed;
        if oldest.sequence > 0 && gap {
            return Err(WalError::Damaged {
                file: dir.display().to_string(),
                offset: 0,
                reason: format!(
                    "segment {:016x}-*.wal is missing: entries from {needed} on are needed",
                    oldest.sequence - 1
                ),
            });
        }
        let Self { hard_state, mark, entries, .. } = self;
        Ok(Recovered { metadata, hard_state, mark, entries, cut })
    }
}

/// A segment being read.
#[derive(Debug)]
struct Segment {
    name: SegmentName,
    header: SegmentHeader,
    window: Window,
}

/// Where the records of a segment end, and why.
#[derive(Debug)]
struct SegmentEnd {
    offset: u64,
    chain: u32,
    sealed: bool,
    /// The highest position that a record says was durable.
    synced: u64,
    /// What is wrong with the bytes there; `None` if they are zero or the segment is sealed.
    torn: Option<&'static str>,
}

impl Segment {
    fn open(file: Arc<dyn File>, name: SegmentName) -> Result<Self, WalError> {
        let damaged =
            |reason: String| WalError::Damaged { file: name.file_name(), offset: 0, reason };
        let mut window = Window::new(file)?;
        let Some(bytes) = window.bytes(0, SEGMENT_HEADER_BYTES)? else {
            return Err(damaged(format!("a segment of only {} bytes", window.len)));
        };
        let bytes = bytes.try_into().expect("as many bytes as asked for");
        let header = SegmentHeader::decode(bytes).map_err(damaged)?;
        if header.name() != name {
            return Err(damaged("the segment has another one's name".to_owned()));
        }
        if header.file_bytes != window.len {
            let (is, was) = (window.len, header.file_bytes);
            return Err(damaged(format!("the segment has {is} bytes, it was made with {was}")));
        }
        if !header.base.is_multiple_of(FRAME_ALIGN as u64) {
            return Err(damaged("the segment has an impossible position".to_owned()));
        }
        Ok(Self { name, header, window })
    }

    /// Checks that this segment goes on where the one before ended.
    fn follows(&self, before: Option<&Tail>) -> Result<(), WalError> {
        let Some(before) = before else { return Ok(()) };
        let fits = self.header.chain == before.chain
            && self.header.base == before.header.base + before.offset
            && self.header.metadata == before.header.metadata;
        if fits { Ok(()) } else { Err(self.damaged(0, "it does not follow the segment before")) }
    }

    fn replay(&mut self, replay: &mut Replay) -> Result<SegmentEnd, WalError> {
        let mut end = SegmentEnd {
            offset: SEGMENT_HEADER_BYTES as u64,
            chain: self.header.chain,
            sealed: false,
            synced: 0,
            torn: None,
        };
        while !end.sealed {
            let (header, frame_bytes, record) = match self.frame(end.offset, end.chain)? {
                Frame::Good { header, frame_bytes, record } => (header, frame_bytes, record),
                Frame::None => break,
                Frame::Bad(reason) => {
                    end.torn = Some(reason);
                    break;
                }
            };
            end.sealed = record == Record::End;
            replay.record(record).map_err(|reason| self.damaged(end.offset, &reason))?;
            end.offset += frame_bytes;
            end.chain = header.crc;
            end.synced = end.synced.max(header.synced);
        }
        Ok(end)
    }

    fn frame(&mut self, offset: u64, chain: u32) -> Result<Frame, WalError> {
        let position = self.header.base + offset;
        let Some(bytes) = self.window.bytes(offset, FRAME_HEADER_BYTES)? else {
            return Ok(Frame::None);
        };
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Frame::None);
        }
        let Some(header) = FrameHeader::decode(bytes.try_into().expect("as asked for")) else {
            return Ok(Frame::Bad("no record begins like this"));
        };
        let is_large = planted::on(Bug::LargeRecordTorn) && header.frame_bytes() > 2048;
        let frame = self.window.bytes(offset, header.frame_bytes())?;
        let Some(frame) = frame.filter(|_| !is_large) else {
            return Ok(Frame::Bad("the record is longer than the segment"));
        };
        if !header.fits(frame, position) && !planted::on(Bug::TornRecordAccepted) {
            return Ok(Frame::Bad("the record does not fit its checksum"));
        }
        if header.previous != chain {
            return Ok(Frame::Bad("the record does not follow the one before"));
        }
        let payload = &frame[FRAME_HEADER_BYTES..][..header.payload_bytes];
        let Some(record) = Record::decode(header.kind, payload) else {
            return Ok(Frame::Bad("the record's payload makes no sense"));
        };
        Ok(Frame::Good { frame_bytes: frame.len() as u64, header, record })
    }

    /// Whether there is anything behind the last record, at `offset`.
    ///
    /// # Errors
    /// `Damaged` if an intact record there says that the log was durable beyond `offset`.
    fn has_torn_tail(&mut self, offset: u64, torn: Option<&str>) -> Result<bool, WalError> {
        let end = self.header.base + offset;
        let mut garbage = torn.is_some();
        let mut at = offset;
        while let Some(bytes) = self.window.bytes(at, FRAME_HEADER_BYTES)? {
            let bytes: [u8; FRAME_HEADER_BYTES] = bytes.try_into().expect("as asked for");
            if bytes == [0; FRAME_HEADER_BYTES] {
                at += self.window.zeros(at)?;
                continue;
            }
            garbage = true;
            let position = self.header.base + at;
            if let Some(header) = FrameHeader::decode(&bytes)
                && (end + 1..=position).contains(&header.synced)
                && let Some(frame) = self.window.bytes(at, header.frame_bytes())?
                && header.fits(frame, position)
                && !planted::on(Bug::DamageTakenForTornTail)
            {
                let torn = torn.unwrap_or("the record is gone");
                let reason = format!("{torn}, yet a later record (at {at}) says it was durable");
                return Err(self.damaged(offset, &reason));
            }
            at += FRAME_ALIGN as u64;
        }
        Ok(garbage)
    }

    fn damaged(&self, offset: u64, reason: &str) -> WalError {
        WalError::Damaged { file: self.name.file_name(), offset, reason: reason.to_owned() }
    }
}

/// What stands at an offset.
#[derive(Debug)]
enum Frame {
    Good {
        header: FrameHeader,
        frame_bytes: u64,
        record: Record,
    },
    /// Zeros, or the end of the file.
    None,
    Bad(&'static str),
}

/// A file read in large pieces, each kept until another is needed.
#[derive(Debug)]
struct Window {
    file: Arc<dyn File>,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn new(file: Arc<dyn File>) -> Result<Self, WalError> {
        let len = file.len().map_err(WalError::io("ask a segment for its length"))?;
        Ok(Self { file, len, start: 0, bytes: Vec::new() })
    }

    /// `len` bytes at `offset`, or `None` if the file ends before.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>, WalError> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        let held =
            offset >= self.start && offset + len as u64 <= self.start + self.bytes.len() as u64;
        if !held {
            let rest = self.len - offset;
            let wanted = rest.min(len.max(WINDOW_BYTES) as u64) as usize;
            self.bytes.resize(wanted, 0);
            let read = self.file.read_at(&mut self.bytes, offset);
            read.map_err(WalError::io("read a segment"))?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(self.bytes.get(from..from + len))
    }

    /// How many bytes from `offset` on may be skipped because they are zero: a multiple of the
    /// alignment, at least one.
    fn zeros(&mut self, offset: u64) -> Result<u64, WalError> {
        let len = (self.len - offset).min(ZERO_BLOCK.len() as u64) as usize;
        let block = self.bytes(offset, len)?.unwrap_or_default();
        if block == &ZERO_BLOCK[..block.len()] {
            return Ok(len.next_multiple_of(FRAME_ALIGN) as u64);
        }
        let zeros = block.iter().position(|byte| *byte != 0).unwrap_or(block.len());
        Ok((zeros - zeros % FRAME_ALIGN).max(FRAME_ALIGN) as u64)
    }
}
