//! The watchers of a group and their states, without the index that finds them.
//!
//! Watchers live in slots, so that telling a thousand of them about one event is a walk over a
//! vector. What has been found for a watcher gathers in its slot and is offered in one go: one
//! delivery for many revisions. Only this file changes a watcher's state.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use prost::Message;
use reseed_planted::{self as planted, Bug};
use reseed_proto::mvccpb::Event;

use super::group::{DELIVERY_BYTES, Delivery, Sink, Spec, WatcherId};
use super::{Filters, Index, KeyRange};
use crate::mvcc::RevisionEvents;

/// Where a watcher stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Level with the group; it takes what is published from `start` on.
    Synced { start: i64 },
    /// Unsynced: its turn to be fed from history will come; `next` is the first revision it lacks.
    Ready { next: i64 },
    /// A victim: unsynced, and its outbox had no room.
    Waiting { next: i64 },
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Synced watchers hear what has just happened.
    Publish,
    /// Ready watchers hear history.
    CatchUp,
}

#[derive(Debug)]
pub(super) struct Watcher<T> {
    pub(super) owner: T,
    pub(super) range: KeyRange,
    pub(super) state: State,
    pub(super) progress_from: i64,
    filters: Filters,
    pending: Pending,
}

/// What has been found for a watcher and not yet been offered.
#[derive(Debug, Default)]
struct Pending {
    events: Vec<Arc<Event>>,
    bytes: usize,
    first: i64,
    last: i64,
}

#[derive(Debug)]
struct Slot<T> {
    age: u32,
    watcher: Option<Watcher<T>>,
}

/// The watchers, found by id, and the unsynced ones in the order of what they lack.
#[derive(Debug)]
pub(super) struct Members<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// Unsynced watchers that can be fed, by (next, id).
    pub(super) ready: BTreeSet<(i64, WatcherId)>,
    /// Victims, by (next, id).
    pub(super) waiting: BTreeSet<(i64, WatcherId)>,
    /// Those with something pending; empty between calls.
    touched: Vec<WatcherId>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            touched: Vec::new(),
        }
    }
}

impl<T> Members<T> {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn get(&self, id: WatcherId) -> Option<&Watcher<T>> {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.age == id.age)?;
        slot.watcher.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: WatcherId) -> Option<&mut Watcher<T>> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.age == id.age)?;
        slot.watcher.as_mut()
    }

    pub(super) fn insert(&mut self, spec: Spec<T>, revision: i64) -> WatcherId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { age: 0, watcher: None });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 watchers fit in memory")
        });
        let Slot { age, watcher } = &mut self.slots[slot as usize];
        let id = WatcherId { slot, age: *age };
        let start = spec.start;
        let synced = start > revision;
        let from = if planted::on(Bug::FutureWatchGetsPast) { revision + 1 } else { start };
        let state =
            if synced { State::Synced { start: from } } else { State::Ready { next: start } };
        *watcher = Some(Watcher {
            owner: spec.owner,
            range: spec.range,
            state,
            progress_from: spec.progress_from,
            filters: spec.filters,
            pending: Pending::default(),
        });
        if !synced {
            self.ready.insert((start, id));
        }
        id
    }

    pub(super) fn remove(&mut self, id: WatcherId) -> Option<(T, KeyRange)> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.age == id.age)?;
        let watcher = slot.watcher.take()?;
        slot.age = slot.age.wrapping_add(1);
        self.free.push(id.slot);
        match watcher.state {
            State::Synced { .. } => {}
            State::Ready { next } => assert!(self.ready.remove(&(next, id)), "{id:?} not ready"),
            State::Waiting { next } => {
                assert!(self.waiting.remove(&(next, id)), "{id:?} not waiting");
            }
        }
        Some((watcher.owner, watcher.range))
    }

    /// Gathers what `history` holds for the watchers of `index` whose turn it is.
    pub(super) fn deliver(
        &mut self,
        index: &Index,
        history: &[RevisionEvents],
        mode: Mode,
        sink: &mut impl Sink<T>,
    ) {
        for RevisionEvents { revision, events } in history {
            let mut found: Option<Found> = None;
            for event in events.iter() {
                let Some(kv) = &event.kv else { continue };
                if !planted::on(Bug::EventsReused) {
                    found = None;
                }
                index.visit(&kv.key, |id| {
                    if self.wants(id, *revision, event, mode) {
                        let found = found.get_or_insert_with(|| Found::new(*revision, event));
                        self.gather(id, found, sink);
                    }
                });
            }
        }
    }

    fn wants(&self, id: WatcherId, revision: i64, event: &Event, mode: Mode) -> bool {
        let watcher = self.get(id).expect("the index holds living watchers only");
        let from = match (watcher.state, mode) {
            (State::Synced { start }, Mode::Publish) => start,
            (State::Ready { next }, Mode::CatchUp) => next,
            _ => return false, // Not its turn, or refused a moment ago.
        };
        from <= revision && watcher.filters.pass(event)
    }

    fn gather(&mut self, id: WatcherId, found: &Found, sink: &mut impl Sink<T>) {
        let watcher = self.get_mut(id).expect("asked a moment ago");
        let full = watcher.pending.bytes >= DELIVERY_BYTES;
        if full
            && watcher.pending.last < found.revision
            && !self.flush(id, found.revision - 1, sink)
        {
            return; // A victim now.
        }
        let watcher = self.get_mut(id).expect("asked a moment ago");
        let pending = &mut watcher.pending;
        let fresh = pending.events.is_empty();
        if fresh {
            pending.first = found.revision;
        }
        pending.last = found.revision;
        pending.bytes += found.bytes;
        pending.events.push(Arc::clone(&found.event));
        if fresh {
            self.touched.push(id);
        }
    }

    /// Offers everything gathered; who takes it has all up to `through`.
    pub(super) fn flush_all(&mut self, through: i64, sink: &mut impl Sink<T>) {
        let mut touched = core::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            self.flush(id, through, sink);
        }
        self.touched = touched; // Keeps its memory.
    }

    /// Offers what has gathered for one watcher; `false` if it has become a victim.
    fn flush(&mut self, id: WatcherId, through: i64, sink: &mut impl Sink<T>) -> bool {
        let watcher = self.get_mut(id).expect("who has something pending is alive");
        let Pending { events, bytes, first, last } = core::mem::take(&mut watcher.pending);
        if events.is_empty() {
            return true; // Already flushed, and listed twice.
        }
        assert!(last <= through, "a delivery with {last} cannot be through {through}");
        if sink.offer(&mut watcher.owner, Delivery { events, bytes, through }) {
            return true;
        }
        let next = if planted::on(Bug::VictimSkipsEvents) { last } else { first };
        let before = core::mem::replace(&mut watcher.state, State::Waiting { next });
        if let State::Ready { next } = before {
            assert!(next <= first, "{id:?} lacks {next} but was given {first}");
            self.ready.remove(&(next, id));
        }
        self.waiting.insert((next, id));
        false
    }

    /// A step has read history up to `through` for this watcher; `revision` is the group's.
    pub(super) fn caught_up(&mut self, id: WatcherId, through: i64, revision: i64) {
        let Some(watcher) = self.get_mut(id) else { return };
        let State::Ready { next } = watcher.state else { return };
        let reached = next.max(through + 1);
        let level = reached > revision;
        watcher.state =
            if level { State::Synced { start: reached } } else { State::Ready { next: reached } };
        self.ready.remove(&(next, id));
        if !level {
            self.ready.insert((reached, id));
        }
    }

    /// Revisions `from..=to` will not be published: synced watchers that want any become unsynced.
    pub(super) fn fall_behind(&mut self, from: i64, to: i64) {
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let Some(watcher) = &mut slot.watcher else { continue };
            let State::Synced { start } = watcher.state else { continue };
            let from = if planted::on(Bug::FallBehindResends) { start } else { from };
            let next = start.max(from);
            if next <= to {
                watcher.state = State::Ready { next };
                let slot_number = u32::try_from(number).expect("slots are counted in u32");
                self.ready.insert((next, WatcherId { slot: slot_number, age: slot.age }));
            }
        }
    }

    /// A victim may be fed again.
    pub(super) fn room(&mut self, id: WatcherId) {
        let Some(watcher) = self.get_mut(id) else { return };
        let State::Waiting { next } = watcher.state else { return };
        watcher.state = State::Ready { next };
        self.waiting.remove(&(next, id));
        self.ready.insert((next, id));
    }

    /// An unsynced watcher that lacks something older than `revision`.
    pub(super) fn first_below(&self, revision: i64) -> Option<WatcherId> {
        let firsts = [self.ready.first(), self.waiting.first()];
        firsts.into_iter().flatten().find(|(next, _)| *next < revision).map(|(_, id)| *id)
    }

    pub(super) fn audit(&self, revision: i64) {
        assert!(self.touched.is_empty(), "something is pending between calls");
        let mut unsynced = 0;
        for (number, slot) in self.slots.iter().enumerate() {
            let Some(watcher) = &slot.watcher else { continue };
            let id = WatcherId { slot: number as u32, age: slot.age };
            assert!(watcher.pending.events.is_empty(), "{id:?} has something pending");
            let next = match watcher.state {
                State::Synced { .. } => continue,
                State::Ready { next } => {
                    assert!(self.ready.contains(&(next, id)), "{id:?} is not in ready");
                    next
                }
                State::Waiting { next } => {
                    assert!(self.waiting.contains(&(next, id)), "{id:?} is not in waiting");
                    next
                }
            };
            assert!(next <= revision, "{id:?} is level at {next} but not synced");
            unsynced += 1;
        }
        assert_eq!(unsynced, self.ready.len() + self.waiting.len(), "stale unsynced entries");
    }
}

/// An event that somebody wants.
struct Found {
    revision: i64,
    event: Arc<Event>,
    bytes: usize,
}

impl Found {
    fn new(revision: i64, event: &Event) -> Self {
        Self { revision, event: Arc::new(event.clone()), bytes: event.encoded_len() }
    }
}
