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
    /// What is being tried out; empty but for its room, which is used again.
    writes: Vec<Write<'a>>,
}

/// A write that may be taken back.
#[derive(Clone, Copy, Debug)]
struct Write<'a> {
    effect: Effect<'a>,
    before: Option<Live<'a>>,
}

impl<'a> Model<'a> {
    /// An empty store, at revision 1.
    pub(super) fn new() -> Self {
        let (live, attached) = (BTreeMap::new(), BTreeMap::new());
        Self { live, attached, revision: 1, writes: Vec::new() }
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
        // One key is found faster than the two ends of a range.
        let is_one = end.is_empty();
        let one = if is_one { self.live.get_key_value(key) } else { None };
        let bounds = if is_one { None } else { bounds(key, end) };
        let many = bounds.into_iter().flat_map(|range| self.live.range::<str, _>(range));
        one.into_iter().chain(many).map(|(k, v)| (*k, v))
    }

    /// The keys that hang on a lease, in order.
    pub(super) fn attached(&self, lease: i64) -> Option<&BTreeSet<&'a str>> {
        self.attached.get(&lease).filter(|keys| !keys.is_empty())
    }

    /// The keys of each lease that has some.
    pub(super) fn leases(&self) -> impl Iterator<Item = &BTreeSet<&'a str>> {
        self.attached.values().filter(|keys| !keys.is_empty())
    }

    /// Begins to try something out.
    pub(super) fn draft(&mut self) -> Draft<'a, '_> {
        self.writes.clear();
        Draft { model: self }
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
}

impl<'a> Draft<'a, '_> {
    /// As it is after the writes so far.
    pub(super) fn model(&self) -> &Model<'a> {
        self.model
    }

    /// Writes a key where `before` is.
    pub(super) fn put(
        &mut self,
        key: &'a str,
        before: Option<Live<'a>>,
        (value, lease): (&'a str, i64),
    ) {
        let mod_revision = self.model.revision + 1;
        let (create_revision, version) =
            before.map_or((mod_revision, 1), |live| (live.create_revision, live.version + 1));
        let now = Live { value, mod_revision, create_revision, version, lease };
        self.set(key, Some(now));
    }

    /// Deletes a key; what was there.
    pub(super) fn delete(&mut self, key: &'a str) -> Option<Live<'a>> {
        self.set(key, None)
    }

    /// Whether one of the writes so far deleted a key.
    pub(super) fn has_deleted(&self, key: &str) -> bool {
        let is_it = |effect: Effect<'_>| effect.key == key && effect.now.is_none();
        self.effects().any(is_it)
    }

    /// The writes so far.
    pub(super) fn effects(&self) -> impl Iterator<Item = Effect<'a>> {
        self.model.writes.iter().map(|write| write.effect)
    }

    fn set(&mut self, key: &'a str, now: Option<Live<'a>>) -> Option<Live<'a>> {
        let before = self.model.set(key, now);
        self.model.writes.push(Write { effect: Effect { key, now }, before });
        before
    }

    /// Takes everything back; what the effects were.
    pub(super) fn take_back(self) -> Vec<Effect<'a>> {
        let effects = self.effects().collect();
        while let Some(Write { effect, before }) = self.model.writes.pop() {
            self.model.set(effect.key, before);
        }
        effects
    }

    /// Makes the writes the next revision.
    pub(super) fn keep(self) {
        self.model.writes.clear();
        self.model.revision += 1;
    }
}
