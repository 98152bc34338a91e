//! Changes in memory: what a commit inserts into, what a flush writes out.
//!
//! New revisions arrive in ascending order, and they are nearly all there is: they go to the end
//! of a sorted vector with their keys inline, tens of nanoseconds each. Everything else (deletions
//! by compaction, leases, marks) goes into a tree per table, which wins where both have a key.

use std::{collections::BTreeMap, iter::Peekable, ops::Bound};

use bytes::Bytes;
use reseed_core::port::{Op, Table};

use super::pair_bytes;

/// Counted per change on top of its bytes: what the collections themselves need.
const CHANGE_BYTES: usize = 64;
/// Keys up to this length fit in line; revision keys have 17 or 18.
const INLINE_BYTES: usize = 23;

/// A short key, kept in line.
#[derive(Clone, Copy, Debug)]
struct InlineKey {
    len: u8,
    bytes: [u8; INLINE_BYTES],
}

impl InlineKey {
    fn new(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; INLINE_BYTES];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self { len: key.len() as u8, bytes })
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// A change as a layer knows it: the value, or `None` for a deletion.
pub(crate) type Change<'a> = (&'a [u8], Option<&'a Bytes>);

/// Changes of the state, sorted; a later change of a key replaces an earlier one.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Puts into `Table::Key`, ascending.
    appended: Vec<(InlineKey, Bytes)>,
    /// Everything else, by `Table as usize - 1`.
    rest: [BTreeMap<Bytes, Option<Bytes>>; Table::ALL.len()],
    bytes: usize,
    growth: u64,
}

fn slot(table: Table) -> usize {
    table as usize - 1
}

impl Layer {
    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.appended.is_empty() && self.rest.iter().all(BTreeMap::is_empty)
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What its puts add to the engine's bytes in use, at most: what they replace and what its
    /// deletions free is known to the engine only.
    pub(crate) fn growth(&self) -> u64 {
        self.growth
    }

    /// Takes one more change.
    pub(crate) fn record(&mut self, op: Op) {
        let Op { table, key, value } = op;
        let change_bytes = key.len() + value.as_ref().map_or(0, Bytes::len) + CHANGE_BYTES;
        self.growth += value.as_ref().map_or(0, |value| pair_bytes(&key, value));
        if let (Table::Key, Some(value)) = (table, &value)
            && let Some(inline) = self.appendable(&key)
        {
            self.appended.push((inline, value.clone()));
            self.bytes += change_bytes;
            return;
        }
        if let Some(Some(replaced)) = self.get(table, &key) {
            self.growth -= pair_bytes(&key, replaced);
        }
        let key_bytes = key.len();
        self.bytes += change_bytes;
        if let Some(old) = self.rest[slot(table)].insert(key, value) {
            self.bytes -= key_bytes + old.map_or(0, |old| old.len()) + CHANGE_BYTES;
        }
    }

    /// The key in line, if it belongs behind every key of `Table::Key` so far.
    fn appendable(&self, key: &[u8]) -> Option<InlineKey> {
        let behind = self.appended.last().is_none_or(|(last, _)| last.as_slice() < key);
        let alone = || {
            let last = self.rest[slot(Table::Key)].last_key_value();
            last.is_none_or(|(last, _)| last.as_ref() < key)
        };
        if behind && alone() { InlineKey::new(key) } else { None }
    }

    /// Takes the changes of a later layer.
    pub(crate) fn extend(&mut self, later: &Self) {
        for table in Table::ALL {
            for (key, value) in later.range(table, &[], None) {
                let key = Bytes::copy_from_slice(key);
                self.record(Op { table, key, value: value.cloned() });
            }
        }
    }

    /// What it says about a key: `None` = nothing, `Some(None)` = deleted.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&Bytes>> {
        let rest = &self.rest[slot(table)];
        if !rest.is_empty()
            && let Some(value) = rest.get(key)
        {
            return Some(value.as_ref());
        }
        if table != Table::Key {
            return None;
        }
        let at = self.appended.binary_search_by(|(known, _)| known.as_slice().cmp(key)).ok()?;
        Some(Some(&self.appended[at].1))
    }

    /// Its changes with `from <= key < to`, ascending.
    pub(crate) fn range<'a>(
        &'a self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl Iterator<Item = Change<'a>> + use<'a> {
        let appended = if table == Table::Key { self.appended_range(from, to) } else { &[] };
        let empty = to.is_some_and(|to| to <= from);
        let upper = match to {
            _ if empty => Bound::Excluded(from),
            Some(to) => Bound::Excluded(to),
            None => Bound::Unbounded,
        };
        let rest = self.rest[slot(table)].range::<[u8], _>((Bound::Included(from), upper));
        let rest = rest.map(|(key, value)| (key.as_ref(), value.as_ref()));
        let appended = appended.iter().map(|(key, value)| (key.as_slice(), Some(value)));
        newest_wins(rest, appended)
    }

    fn appended_range(&self, from: &[u8], to: Option<&[u8]>) -> &[(InlineKey, Bytes)] {
        let start = self.appended.partition_point(|(key, _)| key.as_slice() < from);
        let behind = &self.appended[start..];
        let Some(to) = to else { return behind };
        &behind[..behind.partition_point(|(key, _)| key.as_slice() < to)]
    }
}

/// Merges two ascending sequences; where both have a key, the newer one's change counts.
pub(crate) fn newest_wins<'a>(
    newer: impl Iterator<Item = Change<'a>>,
    older: impl Iterator<Item = Change<'a>>,
) -> impl Iterator<Item = Change<'a>> {
    NewestWins { newer: newer.peekable(), older: older.peekable() }
}

struct NewestWins<N: Iterator, O: Iterator> {
    newer: Peekable<N>,
    older: Peekable<O>,
}

impl<'a, N, O> Iterator for NewestWins<N, O>
where
    N: Iterator<Item = Change<'a>>,
    O: Iterator<Item = Change<'a>>,
{
    type Item = Change<'a>;

    fn next(&mut self) -> Option<Change<'a>> {
        let Some((newer, _)) = self.newer.peek() else { return self.older.next() };
        let Some((older, _)) = self.older.peek() else { return self.newer.next() };
        if older < newer {
            return self.older.next();
        }
        if older == newer {
            self.older.next();
        }
        self.newer.next()
    }
}
