//! A watch group driven by bytes, against the plainest idea of watching there is.
//!
//! Watchers come and go, outboxes fill and empty, revisions are published, skipped, compacted and
//! caught up with, in any order. At every moment each outbox must hold exactly the events of its
//! range from its start on, in order, once, whole revisions only; and once all outboxes have room,
//! catching up must reach every watcher in a bounded number of steps.

use bytes::Bytes;
use reseed_core::mvcc::RevisionEvents;
use reseed_core::testing::generate::{Source, end, key};
use reseed_core::watch::{Delivery, Filters, Group, KeyRange, Sink, Spec, WatcherId};
use reseed_proto::mvccpb::{Event, KeyValue};

/// What one watcher wants and has been given.
struct Watcher {
    id: WatcherId,
    range: KeyRange,
    filters: Filters,
    start: i64,
    got: Vec<Event>,
    through: i64,
    room: usize,
    cancelled: bool,
}

#[derive(Default)]
struct Outboxes {
    watchers: Vec<Watcher>,
}

/// The group's owner of a watcher is its place in the list.
impl Sink<usize> for Outboxes {
    fn offer(&mut self, owner: &mut usize, delivery: Delivery) -> bool {
        let watcher = &mut self.watchers[*owner];
        assert!(!watcher.cancelled, "a delivery after the end");
        assert!(!delivery.events.is_empty(), "an empty delivery");
        if watcher.room == 0 {
            return false;
        }
        watcher.room -= 1;
        assert!(delivery.through > watcher.through, "through {} twice", delivery.through);
        watcher.through = delivery.through;
        watcher.got.extend(delivery.events.iter().map(|event| event.as_ref().clone()));
        true
    }

    fn compacted(&mut self, owner: usize, _: i64) {
        self.watchers[owner].cancelled = true;
    }
}

struct World {
    group: Group<usize>,
    outboxes: Outboxes,
    /// `history[i]` is revision `i + 2`; every one has at least one event.
    history: Vec<RevisionEvents>,
    compacted: i64,
}

/// Drives a group with the steps that `data` describes.
pub fn watch_group(data: &[u8]) {
    let mut source = Source::new(&data[..data.len().min(1024)]);
    let mut world = World {
        group: Group::new(1),
        outboxes: Outboxes::default(),
        history: Vec::new(),
        compacted: 0,
    };
    while !source.is_empty() {
        world.step(&mut source);
        world.group.audit();
        world.check();
    }
    world.settle();
}

impl World {
    fn now(&self) -> i64 {
        self.history.len() as i64 + 1
    }

    fn step(&mut self, source: &mut Source<'_>) {
        match source.below(16) {
            0..=4 => self.write(source, true),
            5 => self.write(source, false),
            6..=8 => self.watch(source),
            9 => self.cancel(source),
            10..=11 => self.give_room(source),
            12 => {
                self.compacted = self.compacted.max(self.now() - source.below(8) as i64);
                self.group.compacted(self.compacted, &mut self.outboxes);
            }
            _ => _ = self.catch_up(source.below(4)),
        }
    }

    fn write(&mut self, source: &mut Source<'_>, publish: bool) {
        let revision = self.now() + 1;
        let events = (0..=source.below(3)).map(|_| Event {
            r#type: i32::from(source.once_in(3)),
            kv: Some(KeyValue { key: key(source), mod_revision: revision, ..Default::default() }),
            prev_kv: None,
        });
        let events = events.collect();
        self.history.push(RevisionEvents { revision, events });
        if publish {
            let last = self.history.len() - 1;
            self.group.publish(&self.history[last..], &mut self.outboxes);
        } else {
            self.group.skip_to(revision);
        }
    }

    fn watch(&mut self, source: &mut Source<'_>) {
        let Ok(range) = KeyRange::new(key(source), end(source)) else { return };
        let filters = Filters::from_request(&[[0, 1, 7, 7, 7, 7][source.below(6)]]);
        let start = (self.now() + 2 - source.below(12) as i64).max(self.compacted).max(1);
        let owner = self.outboxes.watchers.len();
        let spec = Spec { owner, range: range.clone(), filters, start, progress_from: start };
        let id = self.group.insert(spec);
        self.outboxes.watchers.push(Watcher {
            id,
            range,
            filters,
            start,
            got: Vec::new(),
            through: 0,
            room: source.below(4),
            cancelled: false,
        });
    }

    fn cancel(&mut self, source: &mut Source<'_>) {
        let count = self.outboxes.watchers.len();
        if count == 0 {
            return;
        }
        let owner = source.below(count.min(256));
        let watcher = &mut self.outboxes.watchers[owner];
        let back = self.group.remove(watcher.id);
        assert_eq!(back.is_some(), !watcher.cancelled, "a watcher is removed once");
        watcher.cancelled = true;
    }

    fn give_room(&mut self, source: &mut Source<'_>) {
        let some = source.byte();
        for (i, watcher) in self.outboxes.watchers.iter_mut().enumerate() {
            if some & (1 << (i % 8)) != 0 && !watcher.cancelled {
                watcher.room += 1;
                self.group.room(watcher.id);
            }
        }
    }

    /// One step of catching up that reads at most `short` revisions less than it was asked to.
    fn catch_up(&mut self, short: usize) -> bool {
        let Some(step) = self.group.plan(self.compacted, &mut self.outboxes) else { return false };
        assert!(step.from >= self.compacted.max(1), "asked for compacted revision {}", step.from);
        let through = step.from.max(step.to - short as i64);
        let from = usize::try_from(step.from - 2).unwrap_or(0);
        let read = self.history.get(from..).unwrap_or_default();
        self.group.catch_up(&step, read, through, &mut self.outboxes);
        true
    }

    /// Each outbox holds a beginning of what its watcher is owed, cut between revisions.
    fn check(&self) {
        for watcher in &self.outboxes.watchers {
            let owed = self.owed(watcher);
            let got = watcher.got.len();
            assert!(got <= owed.len() && watcher.got[..] == owed[..got], "not what is owed");
            let cut = owed.get(got).and_then(|e| e.kv.as_ref()).map(|kv| kv.mod_revision);
            let last = watcher.got.last().and_then(|e| e.kv.as_ref()).map(|kv| kv.mod_revision);
            assert!(cut.is_none() || cut != last, "revision {cut:?} was split");
            let progress = self.group.progress(watcher.id);
            if let Some(progress) = progress {
                let missing = cut.is_some_and(|revision| revision <= progress);
                assert!(!missing, "progress {progress} before {cut:?} was delivered");
            }
        }
    }

    fn owed(&self, watcher: &Watcher) -> Vec<Event> {
        let all = self.history.iter().filter(|h| h.revision >= watcher.start);
        let events = all.flat_map(|h| &h.events);
        let wanted = events.filter(|event| {
            let key = event.kv.as_ref().map(|kv| kv.key.clone()).unwrap_or_else(Bytes::new);
            watcher.range.contains(&key) && watcher.filters.pass(event)
        });
        wanted.cloned().collect()
    }

    /// With room for everyone, everyone gets everything.
    fn settle(&mut self) {
        for watcher in &mut self.outboxes.watchers {
            watcher.room = usize::MAX / 2;
            if !watcher.cancelled {
                self.group.room(watcher.id);
            }
        }
        let bound = 10 + self.outboxes.watchers.len() * (self.history.len() + 1);
        let steps = (0..bound).take_while(|_| self.catch_up(0)).count();
        assert!(steps < bound, "catching up does not end");
        self.check();
        for watcher in self.outboxes.watchers.iter().filter(|w| !w.cancelled) {
            assert_eq!(watcher.got, self.owed(watcher), "not everything arrived");
        }
    }
}
