//! A file's bytes on a simulated disk, and the changes that make them.
//!
//! Knows nothing of what is durable: `disk_image.rs` holds two of these per file. It does know
//! which bytes are damaged, that is, not what was written: the world mends them in the end, to see
//! that a program that refused damaged files left them as they were.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use rand::{Rng, RngExt};

/// The unit a disk writes atomically, bytes.
pub(crate) const SECTOR: usize = 512;
/// The unit in which images share memory, bytes.
pub(super) const PAGE: usize = 4096;

/// A file's bytes, sparse, sharing pages with its other image.
#[derive(Clone, Default, Debug)]
pub(super) struct Content {
    pub(super) len: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    /// Where bytes are not what was written, and the bits that differ. Writing there mends it.
    damage: BTreeMap<u64, u8>,
}

impl Content {
    pub(super) fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        // Nothing can be read anywhere, also behind the end.
        if into.is_empty() {
            return Ok(());
        }
        if offset.checked_add(into.len() as u64).is_none_or(|end| end > self.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        for_each_page(offset, into.len(), |page, within, range| match self.pages.get(&page) {
            Some(bytes) => into[range.clone()].copy_from_slice(&bytes[within..][..range.len()]),
            None => into[range].fill(0),
        });
        Ok(())
    }

    pub(super) fn write_at(&mut self, from: &[u8], offset: u64) {
        if from.is_empty() {
            // Writing nothing behind the end does not grow a file.
            return;
        }
        self.forget_damage(offset..offset + from.len() as u64);
        for_each_page(offset, from.len(), |page, within, range| {
            let bytes = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(bytes)[within..][..range.len()].copy_from_slice(&from[range]);
        });
        self.len = self.len.max(offset + from.len() as u64);
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.forget_damage(len..self.len);
            let keep = len.div_ceil(PAGE as u64);
            self.pages.split_off(&keep);
            let within = usize::try_from(len % PAGE as u64).expect("less than a page");
            if within > 0
                && let Some(bytes) = self.pages.get_mut(&(len / PAGE as u64))
            {
                Arc::make_mut(bytes)[within..].fill(0);
            }
        }
        self.len = len;
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { offset, data } => self.write_at(data, *offset),
            Change::SetLen(len) => self.set_len(*len),
            Change::Grow(len) => self.set_len(self.len.max(*len)),
        }
    }

    // ---- damage ----

    /// The byte at `offset`; zero behind the end.
    pub(super) fn byte(&self, offset: u64) -> u8 {
        let within = usize::try_from(offset % PAGE as u64).expect("less than a page");
        self.pages.get(&(offset / PAGE as u64)).map_or(0, |bytes| bytes[within])
    }

    /// Flips the bits of `mask` in the byte at `offset`, which counts as damage from then on.
    pub(super) fn flip(&mut self, offset: u64, mask: u8) {
        if offset >= self.len || mask == 0 {
            return;
        }
        self.flip_silently(offset, mask);
        let damage = self.damage.entry(offset).or_default();
        *damage ^= mask;
        if *damage == 0 {
            self.damage.remove(&offset);
        }
    }

    fn flip_silently(&mut self, offset: u64, mask: u8) {
        let within = usize::try_from(offset % PAGE as u64).expect("less than a page");
        let page = self.pages.entry(offset / PAGE as u64).or_insert_with(|| Arc::new([0; PAGE]));
        Arc::make_mut(page)[within] ^= mask;
    }

    /// Makes every damaged byte what was written there.
    pub(super) fn mend(&mut self) {
        for (offset, mask) in std::mem::take(&mut self.damage) {
            self.flip_silently(offset, mask);
        }
    }

    /// Is anything in `range` damaged?
    pub(super) fn is_damaged(&self, range: Range<u64>) -> bool {
        !self.damage.is_empty() && self.damage.range(range).next().is_some()
    }

    /// Offsets of the pages that were ever written.
    pub(super) fn written_pages(&self) -> impl Iterator<Item = u64> {
        self.pages.keys().map(|page| page * PAGE as u64).filter(|offset| *offset < self.len)
    }

    fn forget_damage(&mut self, range: Range<u64>) {
        if self.is_damaged(range.clone()) {
            self.damage.retain(|offset, _| !range.contains(offset));
        }
    }
}

/// Splits a range of a file at page borders: calls with page, offset within it, range of the slice.
fn for_each_page(
    offset: u64,
    len: usize,
    mut each: impl FnMut(u64, usize, std::ops::Range<usize>),
) {
    let mut done = 0;
    while done < len {
        let at = offset + done as u64;
        let within = usize::try_from(at % PAGE as u64).expect("less than a page");
        let step = (PAGE - within).min(len - done);
        each(at / PAGE as u64, within, done..done + step);
        done += step;
    }
}

/// A change of a file that is not durable yet.
#[derive(Clone, Debug)]
pub enum Change {
    /// Bytes at an offset.
    Write {
        /// Where.
        offset: u64,
        /// What.
        data: Bytes,
    },
    /// A new length, shorter or longer.
    SetLen(u64),
    /// At least this length.
    Grow(u64),
}

/// Writes some of the sectors of `data`.
pub(super) fn write_torn(into: &mut Content, data: &Bytes, offset: u64, rng: &mut impl Rng) {
    let mut at = 0;
    while at < data.len() {
        // Sector borders are those of the file, not of the write.
        let place = offset + at as u64;
        let within = usize::try_from(place % SECTOR as u64).expect("less than a sector");
        let end = (at + SECTOR - within).min(data.len());
        if rng.random_bool(0.5) {
            into.write_at(&data[at..end], place);
        }
        at = end;
    }
}
