//! The group against a naive model: a list of everything that ever happened.
//!
//! Each watcher has an outbox that holds a few deliveries. Whatever is accepted is checked at once:
//! it must be all events of the watcher's range between what it had and what the delivery claims.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index as Pick;
use reseed_proto::mvccpb::Event;

use super::super::group::{Delivery, Group, Sink, Spec, WatcherId};
use super::super::{Filters, KeyRange};
use super::{any_filters, any_key, any_range, delete, put};
use crate::mvcc::RevisionEvents;

#[derive(Clone, Debug)]
enum Change {
    Put(Vec<u8>),
    PutLarge(Vec<u8>),
    Delete(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Op {
    Write(Vec<Change>),
    Publish { count: usize },
    Lose { count: usize },
    Skip,
    Create { range: KeyRange, filters: Filters, start: Option<i64> },
    Cancel(Pick),
    Drain(Pick),
    CatchUp { read: i64 },
    Compact { behind: i64 },
    Progress(Pick),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => any_key().prop_map(Change::Put),
        1 => any_key().prop_map(Change::PutLarge),
        2 => any_key().prop_map(Change::Delete),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let start = prop_oneof![Just(None), (1_i64..60).prop_map(Some)];
    prop_oneof![
        12 => prop::collection::vec(any_change(), 1..4).prop_map(Op::Write),
        8 => (1_usize..8).prop_map(|count| Op::Publish { count }),
        1 => (1_usize..4).prop_map(|count| Op::Lose { count }),
        1 => Just(Op::Skip),
        4 => (any_range(), any_filters(), start)
            .prop_map(|(range, filters, start)| Op::Create { range, filters, start }),
        1 => any::<Pick>().prop_map(Op::Cancel),
        5 => any::<Pick>().prop_map(Op::Drain),
        5 => (1_i64..1500).prop_map(|read| Op::CatchUp { read }),
        1 => (0_i64..20).prop_map(|behind| Op::Compact { behind }),
        3 => any::<Pick>().prop_map(Op::Progress),
    ]
}

/// What the model knows of a watcher.
#[derive(Debug)]
struct Client {
    range: KeyRange,
    filters: Filters,
    /// Everything up to here has been accepted.
    through: i64,
    told: i64,
    outbox: usize,
    cancelled: bool,
}

const OUTBOX_MAX: usize = 2;

#[derive(Debug, Default)]
struct World {
    history: Vec<RevisionEvents>,
    compacted: i64,
    clients: BTreeMap<u32, Client>,
}

impl World {
    fn revision(&self) -> i64 {
        self.history.last().map_or(0, |published| published.revision)
    }

    fn expected(&self, client: &Client, through: i64) -> Vec<Event> {
        let lacking = self.history.iter().filter(|published| {
            client.through < published.revision && published.revision <= through
        });
        let events = lacking.flat_map(|published| published.events.iter());
        let wanted = events.filter(|event| {
            let kv = event.kv.as_ref().expect("every event has one");
            client.range.contains(&kv.key) && client.filters.pass(event)
        });
        wanted.cloned().collect()
    }
}

impl Sink<u32> for World {
    fn offer(&mut self, owner: &mut u32, delivery: Delivery) -> bool {
        let client = &self.clients[owner];
        assert!(!client.cancelled, "an event after the end");
        if client.outbox == OUTBOX_MAX {
            return false;
        }
        assert!(!delivery.events.is_empty());
        let events: Vec<_> = delivery.events.iter().map(|event| Event::clone(event)).collect();
        assert_eq!(events, self.expected(client, delivery.through));
        let client = self.clients.get_mut(owner).expect("seen above");
        client.outbox += 1;
        client.through = delivery.through;
        true
    }

    fn compacted(&mut self, owner: u32, compact_revision: i64) {
        let lost = self.expected(&self.clients[&owner], compact_revision - 1);
        let client = self.clients.get_mut(&owner).expect("every owner is a client");
        assert!(client.through + 1 < compact_revision, "nothing was compacted for it");
        assert!(!lost.is_empty() || client.outbox <= OUTBOX_MAX);
        client.cancelled = true;
    }
}

struct Run {
    world: World,
    group: Group<u32>,
    queue: VecDeque<RevisionEvents>,
    alive: Vec<(u32, WatcherId)>,
}

impl Run {
    fn new() -> Self {
        let (world, queue) = (World::default(), VecDeque::new());
        Self { world, group: Group::new(0), queue, alive: Vec::new() }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Write(changes) => self.write(changes),
            Op::Publish { count } => self.publish(count),
            Op::Lose { count } => drop(self.queue.drain(..count.min(self.queue.len()))),
            Op::Skip => {
                self.queue.clear();
                self.group.skip_to(self.world.revision());
            }
            Op::Create { range, filters, start } => self.create(range, filters, start),
            Op::Cancel(pick) => {
                if let Some((number, id)) = self.pick(pick) {
                    assert_eq!(self.group.remove(id), Some(number));
                    assert_eq!(self.group.remove(id), None);
                    self.world.clients.get_mut(&number).expect("alive").cancelled = true;
                }
            }
            Op::Drain(pick) => {
                if let Some((number, id)) = self.pick(pick) {
                    self.world.clients.get_mut(&number).expect("alive").outbox = 0;
                    self.group.room(id);
                }
            }
            Op::CatchUp { read } => _ = self.catch_up(read),
            Op::Compact { behind } => {
                let to = self.world.revision() - behind;
                self.world.compacted = self.world.compacted.max(to);
                self.group.compacted(self.world.compacted, &mut self.world);
            }
            Op::Progress(pick) => self.progress(pick),
        }
        self.alive.retain(|(number, _)| !self.world.clients[number].cancelled);
        assert_eq!(self.group.len(), self.alive.len());
        self.group.audit();
    }

    fn pick(&self, pick: Pick) -> Option<(u32, WatcherId)> {
        (!self.alive.is_empty()).then(|| self.alive[pick.index(self.alive.len())])
    }

    fn write(&mut self, changes: Vec<Change>) {
        let revision = self.world.revision() + 1;
        let events = changes.into_iter().map(|change| match change {
            Change::Put(key) => put(&key, revision, Bytes::new()),
            Change::PutLarge(key) => put(&key, revision, Bytes::from_static(&[0; 600_000])),
            Change::Delete(key) => delete(&key, revision),
        });
        let published = RevisionEvents { revision, events: events.collect() };
        self.world.history.push(published.clone());
        self.queue.push_back(published);
    }

    fn publish(&mut self, count: usize) {
        let batch: Vec<_> = self.queue.drain(..count.min(self.queue.len())).collect();
        self.group.publish(&batch, &mut self.world);
    }

    fn create(&mut self, range: KeyRange, filters: Filters, start: Option<i64>) {
        let now = self.world.revision();
        let start_at = start.unwrap_or(now + 1);
        let number = self.world.clients.len() as u32;
        let told = start.unwrap_or(now).max(now);
        let client = Client {
            range: range.clone(),
            filters,
            through: start_at - 1,
            told,
            outbox: 0,
            cancelled: false,
        };
        self.world.clients.insert(number, client);
        let spec = Spec { owner: number, range, filters, start: start_at, progress_from: told };
        self.alive.push((number, self.group.insert(spec)));
        self.group.compacted(self.world.compacted, &mut self.world);
    }

    fn catch_up(&mut self, read: i64) -> bool {
        let compacted = self.world.compacted;
        let Some(step) = self.group.plan(compacted, &mut self.world) else { return false };
        assert!(step.from >= self.world.compacted, "reads what compaction has removed");
        let through = step.to.min(step.from.saturating_add(read - 1));
        let all = self.world.history.iter();
        let wanted = all.filter(|found| step.from <= found.revision);
        let history: Vec<_> = wanted.cloned().collect();
        self.group.catch_up(&step, &history, through, &mut self.world);
        true
    }

    fn progress(&mut self, pick: Pick) {
        let Some((number, id)) = self.pick(pick) else { return };
        let Some(revision) = self.group.progress(id) else { return };
        let client = self.world.clients.get_mut(&number).expect("alive");
        assert!(revision >= client.told, "progress {revision} below {}", client.told);
        client.told = revision;
        let client = &self.world.clients[&number];
        assert_eq!(self.world.expected(client, revision), [], "a bookmark before its events");
    }

    /// Everything is published and every client reads: now each must have everything.
    fn settle(&mut self) {
        self.publish(usize::MAX);
        self.group.skip_to(self.world.revision());
        for _ in 0..10_000 {
            for (number, id) in self.alive.clone() {
                self.world.clients.get_mut(&number).expect("alive").outbox = 0;
                self.group.room(id);
            }
            if !self.catch_up(7) {
                break;
            }
        }
        self.alive.retain(|(number, _)| !self.world.clients[number].cancelled);
        assert_eq!(self.group.unsynced_count(), 0, "never level");
        for (number, id) in &self.alive {
            let client = &self.world.clients[number];
            assert_eq!(self.world.expected(client, i64::MAX), [], "watcher {number} lacks some");
            let want = (client.told <= self.world.revision()).then_some(self.world.revision());
            assert_eq!(self.group.progress(*id), want);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn every_watcher_gets_its_history_once_and_in_order(
        ops in prop::collection::vec(any_op(), 1..150),
    ) {
        let mut run = Run::new();
        for op in ops {
            run.step(op);
        }
        run.settle();
    }
}

fn write(key: &[u8]) -> Op {
    Op::Write(vec![Change::Put(key.to_vec())])
}

fn create(key: &'static [u8], start: Option<i64>) -> Op {
    let range = KeyRange::Key(Bytes::from_static(key));
    Op::Create { range, filters: Filters::default(), start }
}

/// Issue etcd#17529: a victim that became level again had lost what was written meanwhile.
#[test]
fn a_victim_lacks_nothing_that_was_written_while_it_was_slow() {
    let mut run = Run::new();
    run.step(create(b"a", None));
    for _ in 0..5 {
        run.step(write(b"a"));
        run.step(Op::Publish { count: 1 });
    }
    assert_eq!(run.group.unsynced_count(), 1);
    run.step(write(b"b"));
    run.step(Op::Publish { count: 1 });
    run.settle();
}

/// Issue etcd#20221: a watcher of the future was given older events, and older progress.
#[test]
fn a_future_start_hears_nothing_earlier_even_across_a_gap() {
    let mut run = Run::new();
    run.step(create(b"a", Some(5)));
    let id = run.alive[0].1;
    for revision in 1..=6 {
        run.step(write(b"a"));
        run.step(if revision == 3 { Op::Skip } else { Op::Publish { count: 1 } });
        assert_eq!(run.group.progress(id).is_some(), revision >= 5, "at {revision}");
    }
    assert_eq!(run.world.clients[&0].through, 6);
}

/// Issue etcd#15271: after a snapshot was installed, watchers were sent what they had already.
#[test]
fn a_skip_gives_level_watchers_only_what_they_lack() {
    let mut run = Run::new();
    run.step(create(b"a", None));
    run.step(write(b"a"));
    run.step(Op::Publish { count: 1 });
    run.step(write(b"a"));
    run.step(Op::Skip);
    assert_eq!(run.group.unsynced_count(), 1);
    run.settle();
}

/// A watcher far behind is fed by turns with one that lacks a little.
#[test]
fn steps_go_round_so_that_nobody_starves() {
    let mut run = Run::new();
    for _ in 0..5000 {
        run.write(vec![Change::Put(b"a".to_vec())]);
    }
    run.publish(usize::MAX);
    run.step(create(b"b", Some(1)));
    run.step(create(b"b", Some(4900)));
    assert!(run.catch_up(i64::MAX));
    assert!(run.catch_up(i64::MAX));
    assert_eq!(run.group.progress(run.alive[1].1), Some(5000));
    assert_eq!(run.group.progress(run.alive[0].1), None);
    for _ in 0..4 {
        assert!(run.catch_up(i64::MAX));
    }
    assert_eq!(run.group.progress(run.alive[0].1), Some(5000));
    assert!(!run.catch_up(1));
}

/// The event at the compact revision itself can still be had; one older cannot.
#[test]
fn compaction_cancels_only_who_lacks_something_older() {
    let mut run = Run::new();
    for _ in 0..10 {
        run.write(vec![Change::Put(b"a".to_vec())]);
    }
    run.publish(usize::MAX);
    run.step(Op::Compact { behind: 5 });
    run.step(create(b"a", Some(4)));
    run.step(create(b"a", Some(5)));
    assert!(run.world.clients[&0].cancelled);
    assert!(!run.world.clients[&1].cancelled);
    run.settle();
}
