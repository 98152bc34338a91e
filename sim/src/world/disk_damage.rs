//! Damage to what was durable: flipped bits, and writes that landed elsewhere.
//!
//! With one copy of the data, damage can only be noticed, and not everywhere: the last batch of a
//! log that rots looks exactly like a batch the power failed in the middle of. So damage spares
//! what the last sync wrote. A write that goes astray is noticed by no one while the page cache
//! holds it; it becomes damage when a later sync of the same file has been promised, and not at all
//! if the power fails before.
//!
//! What was damaged is remembered with the bits that differ, until something is written there, so
//! that it can be mended ([`Image::mend`]): a program that refuses damaged files and overwrites
//! nothing finds everything again.

use std::ops::Range;

use bytes::Bytes;
use rand::{Rng, RngExt};

use super::{
    disk_content::{Content, PAGE},
    disk_image::{Entry, FileData, Image, Inode},
};

/// Draws for a byte that is not zero; most of a preallocated file is.
const TRIES: usize = 16;

/// A write on its way to the wrong place of its file.
#[derive(Clone, Debug)]
pub(super) struct Astray {
    offset: u64,
    data: Bytes,
    lands_at: u64,
    /// What was at `offset` before; known once the write is synced.
    before: Option<Vec<u8>>,
    state: Landing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Landing {
    /// Written, not synced.
    Cached,
    /// Synced; the next sync makes it final.
    Synced,
    /// The damage is done.
    Landed,
}

impl Astray {
    /// The file is about to be synced.
    pub(super) fn before_sync(&mut self, stable: &Content) {
        if self.before.is_none() {
            let bytes = |at: u64| stable.byte(self.offset + at);
            self.before = Some((0..self.data.len() as u64).map(bytes).collect());
        }
    }
}

impl FileData {
    /// A sync that wrote something has been carried out.
    pub(super) fn land_astray(&mut self) {
        let Some(astray) = &mut self.astray else { return };
        match astray.state {
            Landing::Cached => astray.state = Landing::Synced,
            Landing::Landed => {}
            Landing::Synced => {
                astray.state = Landing::Landed;
                let before = astray.before.as_deref().unwrap_or_default();
                let spared = &self.last_sync;
                let is_spared = |at: u64| spared.iter().any(|range| range.contains(&at));
                for (step, (wrote, was)) in astray.data.iter().zip(before).enumerate() {
                    let (right, wrong) =
                        (astray.offset + step as u64, astray.lands_at + step as u64);
                    if !is_spared(right) && self.stable.byte(right) == *wrote {
                        self.stable.flip(right, wrote ^ was);
                    }
                    if !is_spared(wrong) {
                        let mask = self.stable.byte(wrong) ^ wrote;
                        self.stable.flip(wrong, mask);
                    }
                }
            }
        }
    }
}

impl Image {
    /// The write of `data` at `offset`, just made, lands at `lands_at` instead.
    pub fn go_astray(&mut self, inode: Inode, offset: u64, data: Bytes, lands_at: u64) {
        if let Some(file) = self.files.get_mut(&inode) {
            let state = Landing::Cached;
            file.astray = Some(Astray { offset, data, lands_at, before: None, state });
        }
    }

    /// Has the write that went astray in `inode` become damage? Asked once, then forgotten.
    pub fn take_landed(&mut self, inode: Inode) -> bool {
        let Some(file) = self.files.get_mut(&inode) else { return false };
        let landed = file.astray.as_ref().is_some_and(|astray| astray.state == Landing::Landed);
        if landed {
            file.astray = None;
        }
        landed
    }

    /// Flips `bits` bits of what is durable in the files whose path `is_meant`. Returns how many
    /// were flipped: none if there is nothing but the last sync's.
    pub fn rot(&mut self, is_meant: impl Fn(&str) -> bool, bits: u32, rng: &mut impl Rng) -> u32 {
        let meant = |(path, entry): (&String, &Entry)| match entry {
            Entry::File(inode) if is_meant(path) => Some(*inode),
            Entry::File(_) | Entry::Dir => None,
        };
        let inodes: Vec<Inode> = self.stable.iter().filter_map(meant).collect();
        let pages = |inode: &Inode| {
            let pages = self.files.get(inode).map(|file| file.stable.written_pages());
            let inode = *inode;
            pages.into_iter().flatten().map(move |page| (inode, page)).collect::<Vec<_>>()
        };
        let pages: Vec<(Inode, u64)> = inodes.iter().flat_map(pages).collect();
        if pages.is_empty() {
            return 0;
        }
        let mut flipped = 0;
        for _ in 0..bits {
            let Some((inode, at)) = self.draw_byte(&pages, rng) else { continue };
            let mask = 1 << rng.random_range(0..8);
            if let Some(file) = self.files.get_mut(&inode) {
                file.stable.flip(at, mask);
                file.live.flip(at, mask);
                flipped += 1;
            }
        }
        flipped
    }

    /// A byte in one of `pages` that may be damaged, most likely one that is not zero.
    fn draw_byte(&self, pages: &[(Inode, u64)], rng: &mut impl Rng) -> Option<(Inode, u64)> {
        let mut drawn = None;
        for _ in 0..TRIES {
            let (inode, page) = pages[rng.random_range(0..pages.len())];
            let at = page + rng.random_range(0..PAGE as u64);
            let Some(file) = self.files.get(&inode) else { continue };
            if at >= file.stable.len || file.last_sync.iter().any(|range| range.contains(&at)) {
                continue;
            }
            drawn = Some((inode, at));
            if file.stable.byte(at) != 0 {
                break;
            }
        }
        drawn
    }

    /// Would reading this touch damage?
    #[must_use]
    pub fn reads_damage(&self, inode: Inode, range: Range<u64>) -> bool {
        self.files.get(&inode).is_some_and(|file| file.live.is_damaged(range))
    }

    /// Is anything durable damaged?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.files.values().any(|file| file.stable.is_damaged(0..u64::MAX))
    }

    /// Makes everything that is still damaged what was written there.
    pub fn mend(&mut self) {
        for file in self.files.values_mut() {
            file.live.mend();
            file.stable.mend();
            file.astray = None;
        }
    }
}
