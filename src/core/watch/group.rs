//! Synced, unsynced, victims: every watcher of a member and how it moves between the three.
//!
//! The picture and the invariants are in the module's essay. Here is the one door: the caller
//! publishes revisions in order, tells of room and of compaction, and lets the group catch up when
//! there is time; the group answers through a [`Sink`]. Nothing here blocks, and one call costs at
//! most what it was given: the revisions published, or one bounded step.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound::{Excluded, Unbounded};

use reseed_planted::{self as planted, Bug};
use reseed_proto::mvccpb::Event;

use super::members::{Members, Mode, State};
use super::{Filters, Index, KeyRange};
use crate::mvcc::RevisionEvents;

/// Most watchers fed in one step; etcd: `maxWatchersPerSync`.
pub const STEP_WATCHERS_MAX: usize = 512;
/// Most revisions read from history in one step; etcd: `watchBatchMaxRevs`.
pub const STEP_REVISIONS_MAX: i64 = 1000;
/// A delivery of several revisions is closed when it has reached this many bytes of events, so
/// that one answer stays below the 4 MiB that gRPC clients accept unless told otherwise.
pub const DELIVERY_BYTES: usize = 1024 * 1024;

/// A watcher of this group; meaningless to any other group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatcherId {
    pub(super) slot: u32,
    /// Counts the watchers that had the slot before: a stale id finds nobody.
    pub(super) age: u32,
}

/// What a new watcher wants.
#[derive(Clone, Debug)]
pub struct Spec<T> {
    /// Whatever the caller needs to reach the client.
    pub owner: T,
    /// Which keys.
    pub range: KeyRange,
    /// Which events of them.
    pub filters: Filters,
    /// The first revision wanted, at least 1.
    pub start: i64,
    /// Progress below this revision would be news of the past: the later of what the client asked
    /// for and what it was told when the watcher was created.
    pub progress_from: i64,
}

/// Events for one watcher; never empty.
#[derive(Debug, PartialEq)]
pub struct Delivery {
    /// In the order of their revisions; all events of each revision. Each is shared by all the
    /// watchers that get it: a thousand watchers of one key cost a thousand pointers.
    pub events: Vec<Arc<Event>>,
    /// About how many bytes `events` encodes to.
    pub bytes: usize,
    /// With this delivery the watcher has everything up to and including this revision.
    pub through: i64,
}

/// Where deliveries go.
pub trait Sink<T> {
    /// Puts a delivery into the watcher's outbox; `false` if there is no room, and then nothing
    /// has been put.
    fn offer(&mut self, owner: &mut T, delivery: Delivery) -> bool;

    /// The watcher is gone: what it wants next has been compacted.
    fn compacted(&mut self, owner: T, compact_revision: i64);
}

/// A piece of catching up: who, and what must be read for them.
#[derive(Debug)]
pub struct Step {
    /// The first revision to read.
    pub from: i64,
    /// The last one, at most [`STEP_REVISIONS_MAX`] revisions in all.
    pub to: i64,
    watchers: Vec<WatcherId>,
}

/// All watchers of a member.
#[derive(Debug)]
pub struct Group<T> {
    index: Index,
    members: Members<T>,
    /// Everything up to here has been published or skipped.
    revision: i64,
    /// Where the last step ended; the next begins with the watcher after it.
    cursor: (i64, WatcherId),
}

impl<T> Group<T> {
    /// A group without watchers; `revision` is the last one that happened before.
    ///
    /// # Panics
    /// If `revision` is negative.
    pub fn new(revision: i64) -> Self {
        assert!(revision >= 0, "revision {revision} is negative");
        let cursor = (0, WatcherId { slot: 0, age: 0 });
        Self { index: Index::default(), members: Members::default(), revision, cursor }
    }

    /// The revision synced watchers are level with.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// How many watchers there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no watchers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many watchers are not synced.
    pub fn unsynced_count(&self) -> usize {
        self.members.ready.len() + self.members.waiting.len()
    }

    /// Adds a watcher. It is synced if it wants nothing that has been published already.
    ///
    /// # Panics
    /// If `spec.start` is less than 1.
    pub fn insert(&mut self, spec: Spec<T>) -> WatcherId {
        assert!(spec.start >= 1, "start revision {} is not a revision", spec.start);
        let range = spec.range.clone();
        let id = self.members.insert(spec, self.revision);
        self.index.insert(&range, id);
        id
    }

    /// Removes a watcher; its owner comes back, or nothing if it is gone already.
    pub fn remove(&mut self, id: WatcherId) -> Option<T> {
        let (owner, range) = self.members.remove(id)?;
        self.index.remove(&range, id);
        Some(owner)
    }

    /// The owner of a watcher, to change.
    pub fn owner_mut(&mut self, id: WatcherId) -> Option<&mut T> {
        self.members.get_mut(id).map(|watcher| &mut watcher.owner)
    }

    /// Tells synced watchers what happened.
    ///
    /// `history` is in ascending order. What the group knows already is passed over; where
    /// revisions are missing, it is as if [`Group::skip_to`] had been called.
    pub fn publish(&mut self, history: &[RevisionEvents], sink: &mut impl Sink<T>) {
        let mut rest = history;
        while let Some(first) = rest.first() {
            if first.revision <= self.revision {
                rest = &rest[1..];
                continue;
            }
            self.skip_to(first.revision - 1);
            let run = rest.iter().zip(first.revision..).take_while(|(p, want)| p.revision == *want);
            let (now, later) = rest.split_at(run.count());
            let last = now.last().map_or(self.revision, |published| published.revision);
            self.members.deliver(&self.index, now, Mode::Publish, sink);
            self.members.flush_all(last, sink);
            self.revision = last;
            rest = later;
        }
    }

    /// Revisions up to this one have happened but will not be published: watchers that want them
    /// get them from history.
    pub fn skip_to(&mut self, revision: i64) {
        if revision <= self.revision {
            return;
        }
        self.members.fall_behind(self.revision + 1, revision);
        self.revision = revision;
    }

    /// There is room again in the outbox of this watcher.
    pub fn room(&mut self, id: WatcherId) {
        self.members.room(id);
    }

    /// Cancels watchers whose next revision is older than `compact_revision`: the event at that
    /// revision itself is still there.
    pub fn compacted(&mut self, compact_revision: i64, sink: &mut impl Sink<T>) {
        while let Some(id) = self.members.first_below(compact_revision) {
            if let Some(owner) = self.remove(id) {
                sink.compacted(owner, compact_revision);
            }
        }
    }

    /// The next piece of catching up, if there is any to do for a watcher that compaction has left
    /// its history.
    pub fn plan(&mut self, compact_revision: i64, sink: &mut impl Sink<T>) -> Option<Step> {
        // Also for watchers that were synced, ahead of it, when the compaction was heard of.
        self.compacted(compact_revision, sink);
        let ready = &self.members.ready;
        let after = ready.range((Excluded(self.cursor), Unbounded)).next();
        let wraps = !planted::on(Bug::CatchUpNeverWraps);
        let first = *after.or_else(|| ready.first().filter(|_| wraps))?;
        let from = first.0;
        let to = self.revision.min(from + (STEP_REVISIONS_MAX - 1));
        assert!(from <= to, "unsynced at {from} with the group at {}", self.revision);
        let last_id = WatcherId { slot: u32::MAX, age: u32::MAX };
        let chosen = ready.range(first..=(to, last_id)).take(STEP_WATCHERS_MAX);
        let watchers: Vec<_> = chosen.clone().map(|(_, id)| *id).collect();
        let filled = watchers.len() == STEP_WATCHERS_MAX;
        // Those fed now will lack `to + 1`: past them too, or this step would chase itself.
        self.cursor = chosen.last().filter(|_| filled).copied().unwrap_or((to + 1, last_id));
        Some(Step { from, to, watchers })
    }

    /// Carries out a step with what history holds of it.
    ///
    /// `through` is the last revision that was read, which may be less than the step's `to`;
    /// `history` is in ascending order, may lack revisions that compaction has emptied, and may go
    /// on beyond `through`.
    ///
    /// # Panics
    /// If `through` is outside the step: then nothing was read and the step must not be repeated
    /// for ever.
    pub fn catch_up(
        &mut self,
        step: &Step,
        history: &[RevisionEvents],
        through: i64,
        sink: &mut impl Sink<T>,
    ) {
        assert!(step.from <= through, "read through {through}, from {}", step.from);
        assert!(through <= step.to, "read through {through}, asked up to {}", step.to);
        let mut index = Index::default();
        let mut watchers = BTreeSet::new();
        for id in &step.watchers {
            if let Some(watcher) = self.members.get(*id)
                && matches!(watcher.state, State::Ready { .. })
            {
                index.insert(&watcher.range, *id);
                watchers.insert(*id);
            }
        }
        let read = history.partition_point(|found| found.revision <= through);
        self.members.deliver(&index, &history[..read], Mode::CatchUp, sink);
        self.members.flush_all(through, sink);
        for id in watchers {
            self.members.caught_up(id, through, self.revision);
        }
    }

    /// Up to where this watcher has everything, if that may be said: it is synced, and the answer
    /// is not below what it was told or asked for.
    pub fn progress(&self, id: WatcherId) -> Option<i64> {
        let watcher = self.members.get(id)?;
        let synced = matches!(watcher.state, State::Synced { .. })
            || planted::on(Bug::ProgressWhileUnsynced);
        let is_news = watcher.progress_from <= self.revision || planted::on(Bug::ProgressFromPast);
        (synced && is_news).then_some(self.revision)
    }

    /// Proves the invariants that one look can prove; costs O(watchers).
    ///
    /// # Panics
    /// If one of them does not hold.
    pub fn audit(&self) {
        self.members.audit(self.revision);
    }
}
