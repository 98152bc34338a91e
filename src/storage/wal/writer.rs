//! The open log: append a batch, one sync, rotate.
//!
//! One owner, no locks: the raft driver. A batch is encoded into one buffer and written by one
//! call; entries' bytes are copied once. Not here: reading (`reader.rs`), dropping (`purge.rs`).

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

use reseed_planted::{self as planted, Bug};
use reseed_rt::buggify::{self, Point};
use reseed_rt::disk::{Disk, File, OpenMode};
use reseed_rt::probe::{self, Probe};

use super::{
    HardState, Mark, Metadata, Recovered, WalEntry, WalError, WalOptions,
    reader::{Tail, scan},
    record::{
        END_BYTES, Encoder, FRAME_HEADER_BYTES, HARD_STATE_FRAME_BYTES, entry_frame_bytes,
        mark_frame_bytes,
    },
    segment::{Prepared, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentName},
};

/// Written at a time to mend a tail.
const BLANK_BYTES: usize = 64 * 1024;
/// A write buffer larger than this is given back after use.
const BUFFER_BYTES_KEPT: usize = 4 << 20;
/// The smallest segment: room for its header, its opening records and its end.
const SEGMENT_BYTES_MIN: u64 = 1024;

/// The write-ahead log, open for appending.
#[derive(Debug)]
pub struct Wal {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    options: WalOptions,
    /// The segments of the log, in order; the last is being written.
    pub(super) segments: VecDeque<SegmentName>,
    header: SegmentHeader,
    file: Arc<dyn File>,
    /// Where the next record goes in the file.
    offset: u64,
    /// The last record's crc.
    chain: u32,
    /// The position up to which the log is durable.
    synced: u64,
    /// The current segment has its end record; the next record needs a new one.
    sealed: bool,
    next: Option<Prepared>,
    hard_state: HardState,
    mark: Mark,
    /// Index of the last mark that is durable.
    pub(super) mark_synced: u64,
    last_index: u64,
    /// First index of each run of entries with one term, from the mark on.
    terms: VecDeque<(u64, u64)>,
    buffer: Vec<u8>,
    poison: Option<String>,
}

impl Wal {
    /// Makes a new log in `dir`, which is created if missing, that begins with `first`: index 0
    /// and the first configuration, or where a snapshot ends. Durable on return; a crash before
    /// that leaves no log at all ([`super::exists`]).
    ///
    /// # Errors
    /// `Full`, or `Io` if the disk fails.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        metadata: Metadata,
        first: &Mark,
        options: WalOptions,
    ) -> Result<Self, WalError> {
        assert!(!super::exists(disk.as_ref(), dir)?, "there is a log already in {}", dir.display());
        disk.create_dir_all(dir).map_err(WalError::io("create the directory"))?;
        if let Some(above) = dir.parent() {
            disk.sync_dir(above).map_err(WalError::io("sync the directory above"))?;
        }
        let mut opening = Vec::new();
        let mut encoder = Encoder::new(&mut opening, SEGMENT_HEADER_BYTES as u64, 0, 0);
        encoder.hard_state(&HardState::default());
        encoder.mark(first);
        let chain = encoder.chain();
        let file_bytes = segment_bytes(options, opening.len() as u64);
        let prepared = Prepared::new(disk.as_ref(), dir, file_bytes)?;
        let header = SegmentHeader {
            metadata,
            sequence: 0,
            first_index: first.index + 1,
            base: 0,
            file_bytes,
            chain: 0,
        };
        let file = prepared.install(disk.as_ref(), dir, &header, &opening)?;
        let offset = (SEGMENT_HEADER_BYTES + opening.len()) as u64;
        let tail = Tail { header, offset, chain, sealed: false, synced: header.base + offset };
        let mut wal = Self::at(disk, dir, options, tail, file);
        wal.mark_synced = first.index;
        wal.last_index = first.index;
        wal.mark = first.clone();
        Ok(wal)
    }

    /// Opens a log and tells what it holds. A torn tail is cut, an interrupted release finished.
    ///
    /// # Errors
    /// `Missing` if there is none, `Damaged` if it lost what it had confirmed (then nothing is
    /// changed), `Io` if the disk fails.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: WalOptions,
    ) -> Result<(Self, Recovered), WalError> {
        let scan = scan(disk.as_ref(), dir)?;
        let path = scan.tail.header.name().path(dir);
        let file = disk.open(&path, OpenMode::ReadWrite).map_err(WalError::io("open a segment"))?;
        let surely_durable = scan.tail.synced;
        let mut wal = Self::at(disk, dir, options, scan.tail, file);
        wal.rewrite(surely_durable)?;
        if !wal.sealed {
            wal.blank_tail()?;
        }
        wal.file.sync().map_err(WalError::io("sync after opening"))?;
        wal.disk.sync_dir(dir).map_err(WalError::io("sync the directory"))?;
        wal.segments = scan.segments.into();
        wal.remove(scan.stale)?;
        wal.synced = wal.position();
        wal.hard_state = scan.recovered.hard_state;
        wal.mark = scan.recovered.mark.clone();
        wal.mark_synced = wal.mark.index;
        wal.last_index = wal.mark.index;
        for entry in &scan.recovered.entries {
            wal.note_entry(entry);
        }
        probe::hit_if(scan.recovered.cut.is_some(), Probe::WalTornTail);
        Ok((wal, scan.recovered))
    }

    fn at(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: WalOptions,
        tail: Tail,
        file: Arc<dyn File>,
    ) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            options,
            segments: VecDeque::from([tail.header.name()]),
            file,
            offset: tail.offset,
            chain: tail.chain,
            synced: tail.header.base + tail.offset,
            sealed: tail.sealed,
            header: tail.header,
            next: None,
            hard_state: HardState::default(),
            mark: Mark::default(),
            mark_synced: 0,
            last_index: 0,
            terms: VecDeque::new(),
            buffer: Vec::new(),
            poison: None,
        }
    }

    /// Whose log it is.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.header.metadata
    }

    /// The index of the last entry; the mark's, if there is none behind it.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.last_index
    }

    /// How many segments the log has.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Writes entries, then a hard state: not durable before [`Self::sync`]. An entry with an
    /// index the log has already replaces it and all after it.
    ///
    /// # Errors
    /// `Full` if there is no room: nothing was written, the log is as before and usable. `Io` and
    /// `Poisoned` are final.
    ///
    /// # Panics
    /// If the entries are not consecutive, leave a gap behind the log, or are covered by the mark.
    pub fn append(
        &mut self,
        entries: &[WalEntry],
        hard_state: Option<HardState>,
    ) -> Result<(), WalError> {
        self.check_poison()?;
        self.check_order(entries);
        let bytes = entries.iter().map(entry_frame_bytes).sum::<usize>()
            + hard_state.map_or(0, |_| HARD_STATE_FRAME_BYTES);
        if bytes == 0 {
            return Ok(());
        }
        self.write(bytes, |encoder| {
            entries.iter().for_each(|entry| encoder.entry(entry));
            if let Some(state) = &hard_state {
                encoder.hard_state(state);
            }
        })?;
        entries.iter().for_each(|entry| self.note_entry(entry));
        self.hard_state = hard_state.unwrap_or(self.hard_state);
        Ok(())
    }

    /// Writes that a snapshot exists: entries up to it are not needed for recovery. If the log has
    /// another entry (or none) at its index, the snapshot replaces the log and all entries go. Not
    /// durable before [`Self::sync`].
    ///
    /// # Errors
    /// As [`Self::append`].
    ///
    /// # Panics
    /// If an earlier mark has a higher index.
    pub fn mark(&mut self, mark: Mark) -> Result<(), WalError> {
        self.check_poison()?;
        let before = self.mark.index;
        assert!(mark.index >= before, "mark {} goes back behind {before}", mark.index);
        self.write(mark_frame_bytes(&mark), |encoder| encoder.mark(&mark))?;
        self.note_mark(mark);
        Ok(())
    }

    /// Makes everything appended so far durable: one fdatasync, or none if nothing is new.
    ///
    /// # Errors
    /// `Io`, and from then on `Poisoned`: an error here is final, nothing may be promised.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.check_poison()?;
        if self.synced != self.position() {
            let mut synced = self.file.sync();
            if synced.is_err() && planted::on(Bug::FailedSyncRetried) {
                synced = self.file.sync();
            }
            self.poisoning(synced.map_err(WalError::io("sync")))?;
            self.synced = self.position();
        }
        self.mark_synced = self.mark.index;
        Ok(())
    }

    /// Whether something was appended that [`Self::sync`] has not made durable yet.
    #[must_use]
    pub fn needs_sync(&self) -> bool {
        self.synced != self.position()
    }

    /// Makes sure that a batch with `bytes` of entry data can be appended, whatever its entries.
    ///
    /// # Errors
    /// `Full` if there is no room; `Io` and `Poisoned` are final.
    pub fn reserve(&mut self, bytes: u64) -> Result<(), WalError> {
        self.check_poison()?;
        if !self.sealed && self.room() >= bytes {
            return Ok(());
        }
        let prepared = self.prepare(bytes);
        self.poisoning(prepared)
    }

    /// Bytes left for records in the current segment.
    fn room(&self) -> u64 {
        (self.header.file_bytes - self.offset).saturating_sub(END_BYTES as u64)
    }

    fn position(&self) -> u64 {
        self.header.base + self.offset
    }

    pub(super) fn check_poison(&self) -> Result<(), WalError> {
        match &self.poison {
            Some(cause) => Err(WalError::Poisoned(cause.clone())),
            None => Ok(()),
        }
    }

    /// Remembers a failure after which nothing may be promised.
    pub(super) fn poisoning<T>(&mut self, result: Result<T, WalError>) -> Result<T, WalError> {
        if let Err(error) = &result
            && !matches!(error, WalError::Full)
        {
            self.poison = Some(error.to_string());
        }
        result
    }

    fn check_order(&self, entries: &[WalEntry]) {
        let Some(first) = entries.first() else { return };
        let (mark, last) = (self.mark.index, self.last_index);
        assert!(first.index > mark, "entry {} is covered by mark {mark}", first.index);
        assert!(first.index <= last + 1, "entry {} leaves a gap behind {last}", first.index);
        for pair in entries.windows(2) {
            let (one, other) = (pair[0].index, pair[1].index);
            assert_eq!(one + 1, other, "entries of a batch are consecutive");
        }
    }

    fn note_entry(&mut self, entry: &WalEntry) {
        while self.terms.back().is_some_and(|(first, _)| *first >= entry.index) {
            self.terms.pop_back();
        }
        if self.terms.back().is_none_or(|(_, term)| *term != entry.term) {
            self.terms.push_back((entry.index, entry.term));
        }
        self.last_index = entry.index;
    }

    fn note_mark(&mut self, mark: Mark) {
        let known = self.terms.iter().rev().find(|(first, _)| *first <= mark.index);
        let kept = mark.index <= self.last_index
            && (mark.index == self.mark.index || known.is_some_and(|(_, t)| *t == mark.term));
        if kept {
            while self.terms.get(1).is_some_and(|(first, _)| *first <= mark.index) {
                self.terms.pop_front();
            }
        } else {
            self.terms.clear();
            self.last_index = mark.index;
        }
        self.mark = mark;
    }

    /// Writes one batch of records of `bytes`, in one piece and into one segment.
    fn write(&mut self, bytes: usize, fill: impl Fn(&mut Encoder<'_>)) -> Result<(), WalError> {
        // Only into a segment that is there: what raft has taken must not meet a full disk here.
        let early = self.is_prepared(bytes as u64) && buggify::point(Point::WalRotateEarly);
        if self.sealed || self.room() < bytes as u64 || early {
            self.rotate(bytes as u64)?;
        } else if self.next.is_none() && self.offset > self.header.file_bytes / 2 {
            // Ahead of need, so running out of space is no surprise here: rotation will tell.
            match self.prepare(0) {
                Ok(()) | Err(WalError::Full) => {}
                Err(error) => return self.poisoning(Err(error)),
            }
        }
        let chain = self.write_frames(bytes, fill)?;
        self.chain = chain;
        self.offset += bytes as u64;
        Ok(())
    }

    fn write_frames(
        &mut self,
        bytes: usize,
        fill: impl Fn(&mut Encoder<'_>),
    ) -> Result<u32, WalError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let position = self.position();
        let mut encoder = Encoder::new(&mut buffer, position, self.synced, self.chain);
        fill(&mut encoder);
        let chain = encoder.chain();
        assert_eq!(buffer.len(), bytes, "the batch has the length it was reserved for");
        let written = self.file.write_at(&buffer, self.offset).map_err(WalError::full_or("append"));
        if buffer.capacity() <= BUFFER_BYTES_KEPT {
            self.buffer = buffer;
        }
        if let Err(WalError::Full) = written {
            // Reserved space may still run out where files are copied on write. A part of the
            // batch may be there: it must not come back.
            let blank = self.file.write_at(&[0; FRAME_HEADER_BYTES], self.offset);
            self.poisoning(blank.map_err(WalError::io("undo an append")))?;
        }
        self.poisoning(written)?;
        Ok(chain)
    }

    /// Reserves a next segment that a batch of `bytes` fits in.
    fn prepare(&mut self, bytes: u64) -> Result<(), WalError> {
        if self.is_prepared(bytes) {
            return Ok(());
        }
        let file_bytes = self.next_bytes(bytes);
        self.next = None;
        self.next = Some(Prepared::new(self.disk.as_ref(), &self.dir, file_bytes)?);
        Ok(())
    }

    /// Whether a next segment is reserved that a batch of `bytes` fits in.
    fn is_prepared(&self, bytes: u64) -> bool {
        self.next.as_ref().is_some_and(|next| next.file_bytes >= self.next_bytes(bytes))
    }

    /// Bytes of a next segment for a batch of `bytes`.
    fn next_bytes(&self, bytes: u64) -> u64 {
        let opening = (HARD_STATE_FRAME_BYTES + mark_frame_bytes(&self.mark)) as u64;
        segment_bytes(self.options, opening + bytes)
    }

    /// Ends the current segment and begins the next. Space comes first: without it nothing changes.
    fn rotate(&mut self, bytes: u64) -> Result<(), WalError> {
        let prepared = self.prepare(bytes);
        self.poisoning(prepared)?;
        if !self.sealed {
            self.seal()?;
        }
        let next = self.next.take().expect("prepared above");
        let header = SegmentHeader {
            metadata: self.header.metadata,
            sequence: self.header.sequence + 1,
            first_index: self.last_index + 1,
            base: self.position(),
            file_bytes: next.file_bytes,
            chain: self.chain,
        };
        let position = header.base + SEGMENT_HEADER_BYTES as u64;
        let mut opening = Vec::new();
        let mut encoder = Encoder::new(&mut opening, position, self.synced, self.chain);
        encoder.hard_state(&self.hard_state);
        encoder.mark(&self.mark);
        let chain = encoder.chain();
        let installed = next.install(self.disk.as_ref(), &self.dir, &header, &opening);
        if matches!(installed, Err(WalError::Full)) {
            self.next = Some(next);
        }
        self.file = self.poisoning(installed)?;
        self.segments.push_back(header.name());
        self.offset = (SEGMENT_HEADER_BYTES + opening.len()) as u64;
        self.chain = chain;
        self.header = header;
        self.sealed = false;
        self.synced = self.position();
        self.mark_synced = self.mark.index;
        probe::hit(Probe::WalRotated);
        Ok(())
    }

    /// Writes the end record and makes the whole segment durable.
    fn seal(&mut self) -> Result<(), WalError> {
        self.chain = self.write_frames(END_BYTES, |encoder| encoder.end())?;
        self.offset += END_BYTES as u64;
        self.sealed = true;
        if planted::on(Bug::SegmentSealUnsynced) {
            return Ok(());
        }
        self.sync()
    }

    /// Writes again what was read from position `from` to the tail, so that a sync makes it
    /// durable.
    ///
    /// It need not be: if a sync of it failed, the bytes may be in the page cache only, clean, and
    /// no sync would ever write them. The program that saw the failure stopped; this one goes on
    /// from what it reads. Bytes that are durable become the same again, however the power fails.
    fn rewrite(&self, from: u64) -> Result<(), WalError> {
        let mut at = from.saturating_sub(self.header.base).min(self.offset);
        let mut bytes = vec![0; BLANK_BYTES];
        while at < self.offset {
            let len = (self.offset - at).min(BLANK_BYTES as u64) as usize;
            let read = self.file.read_at(&mut bytes[..len], at);
            read.map_err(WalError::io("read the tail"))?;
            let written = self.file.write_at(&bytes[..len], at);
            written.map_err(WalError::io("write the tail again"))?;
            at += len as u64;
        }
        Ok(())
    }

    /// Makes everything behind the tail zero, so that no garbage is ever found there again.
    fn blank_tail(&self) -> Result<(), WalError> {
        let zeros = vec![0; BLANK_BYTES];
        let mut bytes = vec![0; BLANK_BYTES];
        let mut at = self.offset;
        while at < self.header.file_bytes {
            let len = (self.header.file_bytes - at).min(BLANK_BYTES as u64) as usize;
            let read = self.file.read_at(&mut bytes[..len], at);
            read.map_err(WalError::io("read the tail"))?;
            if bytes[..len] != zeros[..len] {
                let blanked = self.file.write_at(&zeros[..len], at);
                blanked.map_err(WalError::io("cut the tail"))?;
            }
            at += len as u64;
        }
        Ok(())
    }
}

/// How large a segment must be to hold opening records and a batch of `bytes`.
fn segment_bytes(options: WalOptions, bytes: u64) -> u64 {
    let needed = SEGMENT_HEADER_BYTES as u64 + bytes + END_BYTES as u64;
    needed.max(options.segment_bytes).max(SEGMENT_BYTES_MIN).next_multiple_of(8)
}
