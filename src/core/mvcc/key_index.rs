//! One key's history: at which revisions it was put or deleted since the last compaction.
//!
//! etcd keeps a list of *generations*, each the life of a key from its creation to the tombstone
//! that ends it. The same is a flat list of changes in order, some of them tombstones: a
//! generation is what lies between two tombstones, and every question is a binary search.
//!
//! Worked example. `put k` at 2, `put k` at 4, `delete k` at 6, `put k` at 9:
//!
//! ```text
//! changes            2  4  6†  9          created 9, version 1 (of the generation alive now)
//! at(1) = none       at(3) = 2            at(6) = none (deleted)       at(9) = 9
//! compact(4)         4  6†  9             4 was alive at 4 and stays readable
//! compact(6)         6† 9                 a tombstone at the compact revision is kept: a watch
//!                                         that starts at 6 must see the delete
//! compact(7)         9                    nothing was alive at 7; the tombstone goes
//! ```
//!
//! Memory is counted: most keys have one change, which is stored inline in 24 bytes (main, created,
//! sub, version; the revision's being positive makes room for the enum's tag). Only a second
//! change costs an allocation, and compaction gives it back. Changes are in a ring, because they
//! leave at the front: compaction drops a few at a time without moving the rest, however many.
//!
//! Invariants: changes are in ascending order and never empty; `version` counts the puts of the
//! last generation since its creation, compacted ones included, and is 0 exactly if the last
//! change is a tombstone; a key is removed from the index when its last change is.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::num::NonZeroI64;

use reseed_planted::{self as planted, Bug};

use super::revision::Change;
use crate::id::Revision;

/// The changes of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyIndex {
    /// One put, nothing else.
    One(One),
    /// Anything else.
    Many(Box<Many>),
}

/// A single put, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct One {
    main: NonZeroI64,
    created: i64,
    sub: u32,
    version: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Many {
    changes: VecDeque<Packed>,
    created: i64,
    version: i64,
}

/// A change in 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed {
    main: i64,
    sub: u32,
    is_tombstone: bool,
}

/// A key that exists: its last put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) at: Revision,
    pub(crate) created: i64,
    pub(crate) version: i64,
}

/// What is left of a key after a step of compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: the key goes from the index.
    Nothing,
    /// What stays.
    Kept,
    /// More to drop.
    More,
}

/// Changes up to which compaction gives unused memory back: that copies what stays, in one go. A
/// longer history has grown often and will again.
const SHRINK_CHANGES_MAX: usize = 1 << 16;

// The figure the essay of `index` counts with.
const _: () = assert!(size_of::<KeyIndex>() == 24);

impl KeyIndex {
    /// A key that is created at `at`.
    pub(crate) fn new(at: Revision) -> Self {
        Self::from_put(Live { at, created: at.main, version: 1 })
    }

    /// A key of which `live` is all that is known.
    pub(crate) fn from_put(live: Live) -> Self {
        let main = NonZeroI64::new(live.at.main).expect("revisions start at 1");
        match u32::try_from(live.version) {
            Ok(version) => {
                Self::One(One { main, created: live.created, sub: live.at.sub, version })
            }
            // A key put four thousand million times takes the long form.
            Err(_) => Self::Many(Box::new(Many {
                changes: VecDeque::from([Packed::put(live.at)]),
                created: live.created,
                version: live.version,
            })),
        }
    }

    /// A key of which a restart found these changes, oldest first; `last` is the last of them if
    /// that is a put. `None` if there are none.
    pub(crate) fn restore(changes: &[Change], last: Option<Live>) -> Option<Self> {
        if let ([_], Some(live)) = (changes, last) {
            return Some(Self::from_put(live));
        }
        if changes.is_empty() {
            return None;
        }
        let (created, mut version) = last.map_or((0, 0), |live| (live.created, live.version));
        if planted::on(Bug::RestoredVersionCounted) && version > 0 {
            version = i64::try_from(changes.len()).unwrap_or(i64::MAX);
        }
        let changes = changes.iter().copied().map(Packed::from).collect();
        Some(Self::Many(Box::new(Many { changes, created, version })))
    }

    /// The key's last put, if it exists now.
    pub(crate) fn live(&self) -> Option<Live> {
        match self {
            Self::One(one) => Some(one.live()),
            Self::Many(many) => many.live(),
        }
    }

    /// The put visible at revision `main`.
    pub(crate) fn at(&self, main: i64) -> Option<Revision> {
        match self {
            Self::One(one) => (one.main.get() <= main).then(|| one.live().at),
            Self::Many(many) => {
                let before = many.changes.partition_point(|change| change.main <= main);
                let last = many.changes.get(before.checked_sub(1)?)?;
                (!last.is_tombstone).then(|| last.at())
            }
        }
    }

    /// Adds a put; returns what the key is now.
    ///
    /// # Panics
    /// If `at` is not later than everything before.
    pub(crate) fn put(&mut self, at: Revision) -> Live {
        let many = self.make_many();
        many.check_later(at);
        if many.version == 0 {
            many.created = at.main;
        }
        many.version += 1;
        many.changes.push_back(Packed::put(at));
        Live { at, created: many.created, version: many.version }
    }

    /// Adds a tombstone.
    ///
    /// # Panics
    /// If `at` is not later than everything before, or the key does not exist.
    pub(crate) fn delete(&mut self, at: Revision) {
        let many = self.make_many();
        many.check_later(at);
        assert!(many.version > 0, "a key deleted twice at {at}");
        if !planted::on(Bug::RecreatedKeepsCreation) {
            many.version = 0;
            many.created = 0;
        }
        many.changes.push_back(Packed { main: at.main, sub: at.sub, is_tombstone: true });
    }

    /// Drops what nobody can ask for once revisions below `main` are gone, oldest first and at most
    /// `changes_max`, telling `removed` of each change. Every step in between reads the same from
    /// `main` on.
    ///
    /// Kept are the put visible at `main`, and everything at or after `main`, tombstones too, so
    /// that a watch from `main` on misses nothing (etcd issues 18089, 19179).
    pub(crate) fn compact(
        &mut self,
        main: i64,
        changes_max: usize,
        removed: impl FnMut(Change),
    ) -> Left {
        let Self::Many(many) = self else { return Left::Kept };
        let mut due = many.compactable(main);
        if planted::on(Bug::TombstoneCompacted) {
            let ends = |change: &Packed| change.main == main && change.is_tombstone;
            due += usize::from(many.changes.get(due).is_some_and(ends));
        }
        let cut = due.min(changes_max);
        many.changes.drain(..cut).map(Change::from).for_each(removed);
        if cut < due {
            return Left::More;
        }
        let live = many.live();
        match many.changes.len() {
            0 => return Left::Nothing,
            1 if let Some(live) = live => *self = Self::from_put(live),
            1..=SHRINK_CHANGES_MAX => many.changes.shrink_to_fit(),
            _ => {}
        }
        Left::Kept
    }

    fn make_many(&mut self) -> &mut Many {
        if let Self::One(one) = *self {
            *self = Self::Many(Box::new(Many {
                changes: VecDeque::from([Packed::put(one.live().at)]),
                created: one.created,
                version: one.version.into(),
            }));
        }
        match self {
            Self::Many(many) => many,
            Self::One(_) => unreachable!("just made many"),
        }
    }
}

impl One {
    fn live(&self) -> Live {
        let at = Revision { main: self.main.get(), sub: self.sub };
        Live { at, created: self.created, version: self.version.into() }
    }
}

impl Many {
    fn live(&self) -> Option<Live> {
        let last = self.changes.back()?;
        let live = Live { at: last.at(), created: self.created, version: self.version };
        (!last.is_tombstone).then_some(live)
    }

    /// How many changes, the oldest, may go once revisions below `main` are gone.
    fn compactable(&self, main: i64) -> usize {
        let first_kept = self.changes.partition_point(|change| change.main < main);
        let is_visible = |i: usize| {
            let last = main + i64::from(planted::on(Bug::CompactionDropsVisible));
            let superseded = self.changes.get(i + 1).is_some_and(|next| next.main <= last);
            !self.changes[i].is_tombstone && !superseded
        };
        match first_kept.checked_sub(1) {
            Some(last_before) if is_visible(last_before) => last_before,
            _ => first_kept,
        }
    }

    fn check_later(&self, at: Revision) {
        let last = self.changes.back().map(Packed::at);
        assert!(last < Some(at), "change at {at} comes after {last:?}");
    }
}

impl Packed {
    const fn put(at: Revision) -> Self {
        Self { main: at.main, sub: at.sub, is_tombstone: false }
    }

    const fn at(&self) -> Revision {
        Revision { main: self.main, sub: self.sub }
    }
}

impl From<Packed> for Change {
    fn from(packed: Packed) -> Self {
        Self { at: packed.at(), is_tombstone: packed.is_tombstone }
    }
}

impl From<Change> for Packed {
    fn from(change: Change) -> Self {
        Self { main: change.at.main, sub: change.at.sub, is_tombstone: change.is_tombstone }
    }
}
