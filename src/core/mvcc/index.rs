//! All keys in order, each with its history; values are not here.
//!
//! A `BTreeMap` from the key's own copy to 24 bytes of [`KeyIndex`]. A key of 32 bytes that was put
//! once costs its 32 bytes, 40 bytes of slot (pointer, length, history) in a node that is a half
//! to wholly full, and the allocator's rounding: a million such keys grow the process by 110 MiB
//! (mimalloc, measured after a restart). Keys are copied in, never slices of a request frame, which
//! would keep the whole frame.
//!
//! A range with a limit still counts all its keys, as `count` demands: 7 ns each for keys that were
//! inserted in order, up to 70 where nodes lie scattered.
//!
//! Nothing here knows the current revision or reads the backend.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use bytes::Bytes;

use reseed_planted::{self as planted, Bug};

use super::key_index::{KeyIndex, Left, Live};
use super::key_range::KeyRange;
use super::revision::Change;
use crate::id::Revision;

/// A key and its history.
pub(crate) type Entry = (Box<[u8]>, KeyIndex);

/// Every key there is or was since the last compaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    keys: BTreeMap<Box<[u8]>, KeyIndex>,
}

impl Index {
    /// Builds the index of keys that come in order, each once.
    pub(crate) fn from_sorted(keys: Vec<Entry>) -> Self {
        debug_assert!(keys.is_sorted_by(|a, b| a.0 < b.0), "keys come in order");
        // Sorting what is sorted is one pass; the tree is then built with full nodes.
        Self { keys: keys.into_iter().collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Every key, in order, deleted ones included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &KeyIndex)> {
        self.keys.iter().map(|(key, index)| (key.as_ref(), index))
    }

    /// The history of one key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&KeyIndex> {
        self.keys.get(key)
    }

    /// The keys of a range, in order, deleted ones included.
    pub(crate) fn range<'a>(
        &'a self,
        range: KeyRange<'a>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a KeyIndex)> {
        // One key is a look-up, not a walk.
        let (one, span) = match range {
            KeyRange::One(key) => (self.keys.get_key_value(key), None),
            KeyRange::Span(..) | KeyRange::From(_) => (None, range.bounds()),
        };
        let span = span.map(|bounds| self.keys.range::<[u8], _>(bounds));
        one.into_iter().chain(span.into_iter().flatten()).map(|(key, index)| (key.as_ref(), index))
    }

    /// Adds a put of `key`; returns what the key is now.
    pub(crate) fn put(&mut self, key: &[u8], at: Revision) -> Live {
        if let Some(index) = self.keys.get_mut(key) {
            return index.put(at);
        }
        self.keys.insert(key.into(), KeyIndex::new(at));
        Live { at, created: at.main, version: 1 }
    }

    /// Adds a tombstone to each existing key of a range, at `main` and the subs from `sub` on;
    /// returns the keys in order, each with the put that was its last.
    pub(crate) fn delete(
        &mut self,
        range: KeyRange<'_>,
        Revision { main, mut sub }: Revision,
    ) -> Vec<(Bytes, Live)> {
        let mut deleted = Vec::new();
        let Some(bounds) = range.bounds() else { return deleted };
        for (key, index) in self.keys.range_mut::<[u8], _>(bounds) {
            let Some(live) = index.live() else { continue };
            index.delete(Revision { main, sub });
            sub = sub.checked_add(1).expect("fewer changes than memory has bytes");
            deleted.push((Bytes::copy_from_slice(key), live));
        }
        deleted
    }

    /// Compacts to `main` the keys from `next` on: visits at most `budget` keys and drops at most
    /// `budget` changes, telling `removed` of each. Returns the key to go on with, which may be
    /// one half done, or `None` at the end.
    pub(crate) fn compact(
        &mut self,
        Step { next, budget, main }: Step<'_>,
        mut removed: impl FnMut(Change),
    ) -> Option<Box<[u8]>> {
        let from = next.map_or(Bound::Unbounded, Bound::Included);
        let mut gone = Vec::new();
        let mut go_on_with = None;
        let (mut visited, mut dropped) = (0, 0);
        for (key, index) in self.keys.range_mut::<[u8], _>((from, Bound::Unbounded)) {
            if visited == budget || dropped == budget {
                go_on_with = Some(key.clone());
                break;
            }
            visited += 1;
            let changes_max = budget - dropped;
            let count = |change| {
                dropped += 1;
                removed(change);
            };
            match index.compact(main, changes_max, count) {
                Left::Nothing => gone.push(key.clone()),
                Left::Kept if planted::on(Bug::DeadKeysForgotten) && index.live().is_none() => {
                    gone.push(key.clone());
                }
                Left::Kept => {}
                Left::More => {
                    go_on_with = Some(key.clone());
                    break;
                }
            }
        }
        for key in gone {
            self.keys.remove(&key);
        }
        go_on_with
    }
}

/// Where a step of compaction begins and how far it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    /// The first key to visit; `None` at the beginning.
    pub(crate) next: Option<&'a [u8]>,
    /// Keys visited, and changes dropped, at most; not 0.
    pub(crate) budget: usize,
    pub(crate) main: i64,
}
