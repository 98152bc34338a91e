//! From a key to the watchers of it: exact keys in a map, ranges in a tree.
//!
//! Most watchers name one key or one prefix; a map finds the first in O(log n), the [`Tree`] of
//! intervals the second in O(log n + hits). Watchers of the same range share one node, so ten
//! thousand watchers of one prefix cost one visit each and nothing more. The index knows nothing
//! of synced or unsynced: the group skips who is not meant.

use alloc::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::tree::{End, Tree};
use super::{KeyRange, WatcherId};

/// All watchers by what they watch.
#[derive(Debug, Default)]
pub struct Index {
    exact: BTreeMap<Bytes, BTreeSet<WatcherId>>,
    ranges: Tree,
}

impl Index {
    /// Adds a watcher.
    ///
    /// # Panics
    /// If the watcher is there already.
    pub fn insert(&mut self, range: &KeyRange, id: WatcherId) {
        let added = match range {
            KeyRange::Key(key) => self.exact.entry(key.clone()).or_default().insert(id),
            KeyRange::Span { from, to } => {
                self.ranges.entry(from, &End::Before(to.clone())).insert(id)
            }
            KeyRange::From(from) => self.ranges.entry(from, &End::Open).insert(id),
        };
        assert!(added, "watcher {id:?} is in the index already");
    }

    /// Removes a watcher; `range` is the one it was added with.
    ///
    /// # Panics
    /// If the watcher is not there.
    pub fn remove(&mut self, range: &KeyRange, id: WatcherId) {
        let removed = match range {
            KeyRange::Key(key) => self.remove_exact(key, id),
            KeyRange::Span { from, to } => self.ranges.remove(from, &End::Before(to.clone()), id),
            KeyRange::From(from) => self.ranges.remove(from, &End::Open, id),
        };
        assert!(removed, "watcher {id:?} is not in the index");
    }

    fn remove_exact(&mut self, key: &Bytes, id: WatcherId) -> bool {
        let Some(ids) = self.exact.get_mut(key) else { return false };
        let removed = ids.remove(&id);
        if ids.is_empty() {
            self.exact.remove(key);
        }
        removed
    }

    /// Calls `visit` once for each watcher whose range holds `key`, in an order that depends on
    /// the watchers alone.
    pub fn visit(&self, key: &[u8], mut visit: impl FnMut(WatcherId)) {
        for id in self.exact.get(key).into_iter().flatten() {
            visit(*id);
        }
        self.ranges.visit(key, &mut visit);
    }

    /// How many different keys and ranges are watched.
    pub fn range_count(&self) -> usize {
        self.exact.len() + self.ranges.len()
    }
}
