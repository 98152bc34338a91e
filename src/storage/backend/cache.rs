//! Values of revisions that were read from the engine and may be read again.
//!
//! A look-up in the engine costs microseconds where its page is not cached, and pages of scattered
//! revisions share little. This keeps single values instead, in a bounded table: a revision has
//! four places it may be in, and a new one takes the first of them not used since it was last
//! passed over. Large values are left to the engine.
//!
//! A revision's value never changes, it only disappears. Still nothing is taken on trust:
//! - whoever removes or replaces a revision drops it here ([`ValueCache::forget`]);
//! - who read it from the engine before that, but comes to insert it after, finds the cache's
//!   generation changed and does not ([`ValueCache::insert`]).

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{RevisionKey, decode_revision_key};

/// Locks, so that readers seldom meet.
const SHARDS: usize = 16;
/// Places a revision may be in.
const WAYS: usize = 4;
/// A place is counted as this many bytes: a value of usual size, its key, and the place itself.
const PLACE_BYTES: usize = 512;
/// Larger values are not kept.
const VALUE_BYTES_MAX: usize = 2048;

#[derive(Debug)]
struct Place {
    main: i64,
    sub: i64,
    value: Bytes,
    /// Read since it was last passed over.
    used: bool,
}

#[derive(Debug, Default)]
struct Shard {
    /// Made with the first insertion; sets of `WAYS` in a row.
    places: Vec<Option<Place>>,
    /// Of values.
    bytes: usize,
    /// Where values were dropped last to stay within the bound.
    hand: usize,
}

/// The cache.
#[derive(Debug)]
pub(super) struct ValueCache {
    shards: [Mutex<Shard>; SHARDS],
    /// Bytes of values per shard.
    shard_bytes_max: usize,
    generation: AtomicU64,
    /// The highest main revision that was ever inserted.
    highest: AtomicU64,
}

/// Proof of when a read began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl ValueCache {
    /// A cache of about `bytes`; 0 = none.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            shards: Default::default(),
            shard_bytes_max: bytes / SHARDS,
            generation: AtomicU64::new(0),
            highest: AtomicU64::new(0),
        }
    }

    /// To be taken while the state that is about to be read cannot change.
    pub(super) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::SeqCst))
    }

    /// The value of a revision, if it is kept.
    pub(super) fn get(&self, key: &[u8]) -> Option<Bytes> {
        let revision = decode_revision_key(key)?;
        let mut shard = self.shard(revision).lock();
        let set = shard.set(revision)?;
        let place = set.iter_mut().flatten().find(|place| place.is(revision))?;
        place.used = true;
        Some(place.value.clone())
    }

    /// Keeps a value that was read from the engine, unless anything was forgotten since `began`.
    pub(super) fn insert(&self, key: &[u8], value: &Bytes, began: Generation) {
        let Some(revision) = decode_revision_key(key) else { return };
        if value.len() > VALUE_BYTES_MAX || self.shard_bytes_max < WAYS * PLACE_BYTES {
            return;
        }
        self.highest.fetch_max(revision.main.unsigned_abs(), Ordering::SeqCst);
        let mut shard = self.shard(revision).lock();
        if self.generation() == began {
            shard.insert(revision, value, self.shard_bytes_max);
        }
    }

    /// Drops a revision, if it is kept: it is being removed or replaced.
    pub(super) fn forget(&self, key: &[u8]) {
        let Some(revision) = decode_revision_key(key) else { return };
        // A reader that inserts has raised `highest` before it looks at the generation, so either
        // it is seen here or it sees the generation of whoever came here.
        self.generation.fetch_add(1, Ordering::SeqCst);
        if self.is_new(revision) {
            return;
        }
        let mut shard = self.shard(revision).lock();
        if let Some(set) = shard.set(revision)
            && let Some(place) =
                set.iter_mut().find(|place| place.as_ref().is_some_and(|place| place.is(revision)))
        {
            let bytes = place.take().map_or(0, |place| place.value.len());
            shard.bytes -= bytes;
        }
    }

    /// Drops everything: the engine is another one.
    pub(super) fn clear(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
    }

    /// Whether a key lies behind everything that was ever read, so that it cannot be kept.
    pub(super) fn is_beyond(&self, key: &[u8]) -> bool {
        decode_revision_key(key).is_none_or(|revision| self.is_new(revision))
    }

    fn is_new(&self, revision: RevisionKey) -> bool {
        revision.main.unsigned_abs() > self.highest.load(Ordering::SeqCst)
    }

    fn shard(&self, revision: RevisionKey) -> &Mutex<Shard> {
        &self.shards[(hash(revision) >> 60) as usize % SHARDS]
    }
}

/// Fibonacci hashing: neighbours in revision are far apart.
fn hash(revision: RevisionKey) -> u64 {
    let mixed = revision.main.unsigned_abs().wrapping_add(revision.sub.unsigned_abs() << 32);
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Place {
    fn is(&self, revision: RevisionKey) -> bool {
        self.main == revision.main && self.sub == revision.sub
    }
}

impl Shard {
    /// The places a revision may be in; `None` before the first insertion.
    fn set(&mut self, revision: RevisionKey) -> Option<&mut [Option<Place>]> {
        let sets = self.places.len() / WAYS;
        let at = ((hash(revision) << 4 >> 32) as usize).checked_rem(sets)?;
        self.places.chunks_exact_mut(WAYS).nth(at)
    }

    fn insert(&mut self, revision: RevisionKey, value: &Bytes, bytes_max: usize) {
        if self.places.is_empty() {
            let places = bytes_max / PLACE_BYTES / WAYS * WAYS;
            self.places = std::iter::repeat_with(|| None).take(places).collect();
        }
        let RevisionKey { main, sub, .. } = revision;
        let place = Place { main, sub, value: value.clone(), used: false };
        let set = self.set(revision).expect("there are places");
        let at = victim(set, revision);
        let old = set[at].replace(place).map_or(0, |old| old.value.len());
        self.bytes = self.bytes - old + value.len();
        // Values larger than a place counts for: others go, in turn.
        while self.bytes > bytes_max {
            self.hand = (self.hand + 1) % self.places.len();
            let passed = &mut self.places[self.hand];
            if passed.as_ref().is_some_and(|place| !place.is(revision)) {
                self.bytes -= passed.take().map_or(0, |place| place.value.len());
            }
        }
    }
}

/// Which place a revision takes: its own, an empty one, or one not used lately.
fn victim(set: &mut [Option<Place>], revision: RevisionKey) -> usize {
    let own = |place: &Option<Place>| place.as_ref().is_some_and(|place| place.is(revision));
    if let Some(at) = set.iter().position(own) {
        return at;
    }
    let free = |place: &Option<Place>| place.as_ref().is_none_or(|place| !place.used);
    let at = set.iter().position(free).unwrap_or(0);
    for place in set.iter_mut().take(at.max(1)).flatten() {
        place.used = false;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(main: u64) -> Vec<u8> {
        [&main.to_be_bytes()[..], b"_", &[0; 8]].concat()
    }

    #[test]
    fn what_was_inserted_is_found_until_it_is_forgotten() {
        let cache = ValueCache::new(1 << 20);
        let value = Bytes::from_static(b"value");
        cache.insert(&key(1), &value, cache.generation());
        assert_eq!(cache.get(&key(1)), Some(value.clone()));
        assert_eq!(cache.get(&key(2)), None);
        let began = cache.generation();
        cache.forget(&key(1));
        assert_eq!(cache.get(&key(1)), None);
        cache.insert(&key(1), &value, began);
        assert_eq!(cache.get(&key(1)), None, "a reader that was too slow inserts nothing");
    }

    #[test]
    fn it_stays_within_its_bound() {
        for len in [1, 100, VALUE_BYTES_MAX] {
            let bytes = 256 << 10;
            let cache = ValueCache::new(bytes);
            let value = Bytes::from(vec![7; len]);
            for main in 0..5000 {
                cache.insert(&key(main), &value, cache.generation());
                assert_eq!(cache.get(&key(main)), Some(value.clone()), "the newest is kept");
            }
            let held: usize = cache.shards.iter().map(|shard| shard.lock().bytes).sum();
            let found = (0..5000).filter(|main| cache.get(&key(*main)).is_some()).count();
            assert_eq!(held, found * len);
            assert!(held <= bytes && found > 16, "{held} bytes in {found} values");
        }
    }

    #[test]
    fn values_in_use_outlive_a_pass() {
        let cache = ValueCache::new(1 << 20);
        let value = Bytes::from_static(b"value");
        for main in 0..100 {
            cache.insert(&key(main), &value, cache.generation());
        }
        for main in 1000..20_000 {
            (0..100).for_each(|main| drop(cache.get(&key(main))));
            cache.insert(&key(main), &value, cache.generation());
        }
        let kept = (0..100).filter(|main| cache.get(&key(*main)).is_some()).count();
        assert!(kept > 90, "only {kept} of 100 are left");
    }

    #[test]
    fn large_values_and_other_keys_are_left_alone() {
        let cache = ValueCache::new(1 << 20);
        let large = Bytes::from(vec![0; VALUE_BYTES_MAX + 1]);
        cache.insert(&key(1), &large, cache.generation());
        cache.insert(b"lease", &Bytes::new(), cache.generation());
        assert_eq!((cache.get(&key(1)), cache.get(b"lease")), (None, None));
        assert!(cache.is_beyond(&key(2)));
    }
}
