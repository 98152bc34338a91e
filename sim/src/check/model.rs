//! The store as it is at one revision: a map of strings.
//!
//! It goes forward only, one revision at a time. What a request would do is tried out in a
//! [`Draft`], which is committed or dropped; so an operation whose outcome is unknown can be asked
//! what it would have done. Semantics are etcd's, written from its documentation: every write of a
//! transaction sees those before it, all share one revision.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use crate::history::{Change, request::Version};

/// A key as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Live<'a> {
    pub(super) value: &'a str,
    pub(super) mod_revision: i64,
    pub(super) create_revision: i64,
    pub(super) version: i64,
    pub(super) lease: i64,
}

impl<'a> Live<'a> {
    pub(super) fn of(version: &'a Version) -> Self {
        let Version { value, mod_revision, create_revision, version, lease } = version;
        let (mod_revision, create_revision) = (*mod_revision, *create_revision);
        Self { value, mod_revision, create_revision, version: *version, lease: *lease }
    }

    /// Whether an answer or event says the same.
    pub(super) fn is(&self, said: &Version) -> bool {
        *self == Live::of(said)
    }
}

impl std::fmt::Debug for Live<'_> {
    /// As a [`Version`] is told.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { value, mod_revision, create_revision, version, lease } = *self;
        let value = value.to_owned();
        Version { value, mod_revision, create_revision, version, lease }.fmt(f)
    }
}

/// A change of one key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Effect<'a> {
    pub(super) key: &'a str,
    /// `None`: deleted.
    pub(super) now: Option<Live<'a>>,
}

impl<'a> Effect<'a> {
    pub(super) fn of(change: &'a Change) -> Self {
        Self { key: &change.key, now: change.now.as_ref().map(Live::of) }
    }
}

impl std::fmt::Debug for Effect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.now {
            Some(now) => write!(f, "{} = {now:?}", self.key),
            None => write!(f, "{} deleted", self.key),
        }
    }
}

/// The keys a key and a range end mean; `None`: none at all.
pub(super) fn bounds<'k>(key: &'k str, end: &'k str) -> Option<(Bound<&'k str>, Bound<&'k str>)> {
    match end {
        "" => Some((Bound::Included(key), Bound::Included(key))),
        "\0" => Some((Bound::Included(key), Bound::Unbounded)),
        end if end <= key => None,
        end => Some((Bound::Included(key), Bound::Excluded(end))),
    }
}

/// Whether a key is among those a key and a range end mean.
pub(super) fn covers(key: &str, end: &str, other: &str) -> bool {
    match end {
        "" => key == other,
        "\0" => key <= other,
        end => key <= other && other < end,
    }
}

/// The store.
#[derive(Clone, Debug)]
pub(super) struct Model<'a> {
    live: BTreeMap<&'a str, Live<'a>>,
    /// Which keys hang on a lease.
    attached: BTreeMap<i64, BTreeSet<&'a str>>,
    revision: i64,
}

impl<'a> Model<'a> {
    /// An empty store, at revision 1.
    pub(super) const fn new() -> Self {
        Self { live: BTreeMap::new(), attached: BTreeMap::new(), revision: 1 }
    }

    pub(super) const fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn get(&self, key: &str) -> Option<&Live<'a>> {
        self.live.get(key)
    }

    /// All there is in a range, in order.
    pub(super) fn range<'m>(
        &'m self,
        key: &'m str,
        end: &'m str,
    ) -> impl Iterator<Item = (&'a str, &'m Live<'a>)> + 'm {
        let bounds = bounds(key, end);
        bounds.into_iter().flat_map(|range| self.live.range::<str, _>(range)).map(|(k, v)| (*k, v))
    }

    /// The keys that hang on a lease, in order.
    pub(super) fn attached(&self, lease: i64) -> Option<&BTreeSet<&'a str>> {
        self.attached.get(&lease).filter(|keys| !keys.is_empty())
    }

    /// Begins to try something out.
    pub(super) fn draft(&mut self) -> Draft<'a, '_> {
        Draft { model: self, undo: Vec::new(), effects: Vec::new() }
    }

    /// Takes what is said to have changed, at the next revision.
    pub(super) fn accept(&mut self, effects: &[Effect<'a>]) {
        for effect in effects {
            self.set(effect.key, effect.now);
        }
        self.revision += 1;
    }

    fn set(&mut self, key: &'a str, now: Option<Live<'a>>) -> Option<Live<'a>> {
        let before = match now {
            Some(now) => self.live.insert(key, now),
            None => self.live.remove(key),
        };
        let (old, new) = (before.map_or(0, |live| live.lease), now.map_or(0, |live| live.lease));
        if old != new {
            if old != 0
                && let Some(keys) = self.attached.get_mut(&old)
            {
                keys.remove(key);
            }
            if new != 0 {
                self.attached.entry(new).or_default().insert(key);
            }
        }
        before
    }
}

/// Writes that may be taken back, all at the revision after the model's.
#[derive(Debug)]
pub(super) struct Draft<'a, 'm> {
    model: &'m mut Model<'a>,
    undo: Vec<(&'a str, Option<Live<'a>>)>,
    effects: Vec<Effect<'a>>,
}

impl<'a> Draft<'a, '_> {
    /// As it is after the writes so far.
    pub(super) fn model(&self) -> &Model<'a> {
        self.model
    }

    /// Writes a key; what was there.
    pub(super) fn put(&mut self, key: &'a str, value: &'a str, lease: i64) -> Option<Live<'a>> {
        let mod_revision = self.model.revision + 1;
        let (create_revision, version) = match self.model.get(key) {
            Some(before) => (before.create_revision, before.version + 1),
            None => (mod_revision, 1),
        };
        let now = Live { value, mod_revision, create_revision, version, lease };
        self.set(key, Some(now))
    }

    /// Deletes a key; what was there.
    pub(super) fn delete(&mut self, key: &'a str) -> Option<Live<'a>> {
        self.set(key, None)
    }

    /// Whether one of the writes so far deleted a key.
    pub(super) fn has_deleted(&self, key: &str) -> bool {
        self.effects.iter().any(|effect| effect.key == key && effect.now.is_none())
    }

    fn set(&mut self, key: &'a str, now: Option<Live<'a>>) -> Option<Live<'a>> {
        let before = self.model.set(key, now);
        self.undo.push((key, before));
        self.effects.push(Effect { key, now });
        before
    }

    /// Takes everything back; what the effects were.
    pub(super) fn take_back(self) -> Vec<Effect<'a>> {
        for (key, before) in self.undo.into_iter().rev() {
            self.model.set(key, before);
        }
        self.effects
    }
}
