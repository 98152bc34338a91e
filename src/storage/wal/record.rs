//! One record as bytes: frame, crc chain, payloads.
//!
//! Pure functions over slices; which file and what follows from a bad frame is the reader's
//! business. The frame is in docs/formats.md. The crc covers, in this order, the frame's position
//! (not stored), the rest of the header and the payload with its padding, so every bit of a frame
//! is covered. Numbers are little endian.

use bytes::Bytes;

use super::{HardState, Mark, WalEntry};

/// Frames begin and end at multiples of this.
pub const FRAME_ALIGN: usize = 8;
/// Bytes in front of a payload.
pub const FRAME_HEADER_BYTES: usize = 24;
/// Bytes in front of an entry's context and data.
pub const ENTRY_HEADER_BYTES: usize = 24;
/// A length beyond this is damage, not a record.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

const HARD_STATE_BYTES: usize = 24;
const MARK_HEADER_BYTES: usize = 16;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// A [`WalEntry`].
    Entry = 1,
    /// A [`HardState`].
    HardState = 2,
    /// A [`Mark`].
    Mark = 3,
    /// Nothing; the next segment goes on.
    End = 4,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Entry, Self::HardState, Self::Mark, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The whole length of a frame with this many payload bytes.
pub(crate) const fn frame_bytes(payload: usize) -> usize {
    (FRAME_HEADER_BYTES + payload).next_multiple_of(FRAME_ALIGN)
}

/// The frame that ends a segment.
pub(crate) const END_BYTES: usize = frame_bytes(0);

/// The frame of a hard state.
pub(crate) const HARD_STATE_FRAME_BYTES: usize = frame_bytes(HARD_STATE_BYTES);

pub(crate) fn entry_frame_bytes(entry: &WalEntry) -> usize {
    frame_bytes(ENTRY_HEADER_BYTES + entry.context.len() + entry.data.len())
}

pub(crate) fn mark_frame_bytes(mark: &Mark) -> usize {
    frame_bytes(MARK_HEADER_BYTES + mark.conf_state.len())
}

/// Appends frames to a buffer, chaining each to the one before.
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    buffer: &'a mut Vec<u8>,
    /// Position of the buffer's first byte.
    base: u64,
    synced: u64,
    chain: u32,
}

impl<'a> Encoder<'a> {
    /// Frames that stand at `base` after a record with crc `chain`, in a log durable up to
    /// position `synced`.
    pub(crate) fn new(buffer: &'a mut Vec<u8>, base: u64, synced: u64, chain: u32) -> Self {
        buffer.clear();
        Self { buffer, base, synced, chain }
    }

    /// The crc of the last frame.
    pub(crate) fn chain(&self) -> u32 {
        self.chain
    }

    pub(crate) fn entry(&mut self, entry: &WalEntry) {
        let context_bytes = u32::try_from(entry.context.len()).expect("a context is small");
        self.frame(RecordKind::Entry, |out| {
            out.extend_from_slice(&entry.index.to_le_bytes());
            out.extend_from_slice(&entry.term.to_le_bytes());
            out.extend_from_slice(&context_bytes.to_le_bytes());
            out.extend_from_slice(&[entry.kind, 0, 0, 0]);
            out.extend_from_slice(&entry.context);
            out.extend_from_slice(&entry.data);
        });
    }

    pub(crate) fn hard_state(&mut self, state: &HardState) {
        self.frame(RecordKind::HardState, |out| {
            for number in [state.term, state.vote, state.commit] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        });
    }

    pub(crate) fn mark(&mut self, mark: &Mark) {
        self.frame(RecordKind::Mark, |out| {
            out.extend_from_slice(&mark.index.to_le_bytes());
            out.extend_from_slice(&mark.term.to_le_bytes());
            out.extend_from_slice(&mark.conf_state);
        });
    }

    pub(crate) fn end(&mut self) {
        self.frame(RecordKind::End, |_| {});
    }

    fn frame(&mut self, kind: RecordKind, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        let position = self.base + start as u64;
        assert_eq!(position % FRAME_ALIGN as u64, 0, "frames are aligned, not at {position}");
        self.buffer.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        fill(self.buffer);
        let payload = self.buffer.len() - start - FRAME_HEADER_BYTES;
        assert!(payload <= PAYLOAD_BYTES_MAX, "a record of {payload} bytes is too large");
        self.buffer.resize(start + frame_bytes(payload), 0);
        let frame = &mut self.buffer[start..];
        frame[4..8].copy_from_slice(&(payload as u32).to_le_bytes());
        frame[8..12].copy_from_slice(&self.chain.to_le_bytes());
        frame[12] = kind as u8;
        frame[16..24].copy_from_slice(&self.synced.to_le_bytes());
        self.chain = frame_crc(frame, position);
        frame[..4].copy_from_slice(&self.chain.to_le_bytes());
    }
}

fn frame_crc(frame: &[u8], position: u64) -> u32 {
    let seed = crc32c::crc32c(&position.to_le_bytes());
    crc32c::crc32c_append(seed, &frame[4..])
}

/// The fields of a frame's header, believable but not yet believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameHeader {
    pub(crate) crc: u32,
    pub(crate) kind: RecordKind,
    pub(crate) payload_bytes: usize,
    /// The crc of the record before.
    pub(crate) previous: u32,
    /// The log was durable up to this position when the record was written.
    pub(crate) synced: u64,
}

impl FrameHeader {
    /// Reads a header; `None` if no frame begins like this.
    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<Self> {
        let kind = RecordKind::from_byte(bytes[12])?;
        let payload_bytes = read_u32(bytes, 4)? as usize;
        if payload_bytes > PAYLOAD_BYTES_MAX || bytes[13..16] != [0; 3] {
            return None;
        }
        Some(Self {
            crc: read_u32(bytes, 0)?,
            kind,
            payload_bytes,
            previous: read_u32(bytes, 8)?,
            synced: read_u64(bytes, 16)?,
        })
    }

    /// The whole length of the frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes(self.payload_bytes)
    }

    /// Whether the crc fits the bytes at this position.
    pub(crate) fn fits(&self, frame: &[u8], position: u64) -> bool {
        frame.len() == self.frame_bytes() && frame_crc(frame, position) == self.crc
    }
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Entry(WalEntry),
    HardState(HardState),
    Mark(Mark),
    End,
}

impl Record {
    /// Reads the payload of a frame whose crc fits; `None` if its length cannot be.
    pub(crate) fn decode(kind: RecordKind, payload: &[u8]) -> Option<Self> {
        match kind {
            RecordKind::Entry => decode_entry(payload).map(Self::Entry),
            RecordKind::HardState if payload.len() != HARD_STATE_BYTES => None,
            RecordKind::HardState => Some(Self::HardState(HardState {
                term: read_u64(payload, 0)?,
                vote: read_u64(payload, 8)?,
                commit: read_u64(payload, 16)?,
            })),
            RecordKind::Mark => Some(Self::Mark(Mark {
                index: read_u64(payload, 0)?,
                term: read_u64(payload, 8)?,
                conf_state: Bytes::copy_from_slice(payload.get(MARK_HEADER_BYTES..)?),
            })),
            RecordKind::End => payload.is_empty().then_some(Self::End),
        }
    }
}

fn decode_entry(payload: &[u8]) -> Option<WalEntry> {
    let context_bytes = read_u32(payload, 16)? as usize;
    let kind = *payload.get(20)?;
    if payload.get(21..ENTRY_HEADER_BYTES)? != [0; 3] {
        return None;
    }
    let rest = payload.get(ENTRY_HEADER_BYTES..)?;
    Some(WalEntry {
        index: read_u64(payload, 0)?,
        term: read_u64(payload, 8)?,
        kind,
        context: Bytes::copy_from_slice(rest.get(..context_bytes)?),
        data: Bytes::copy_from_slice(rest.get(context_bytes..)?),
    })
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
