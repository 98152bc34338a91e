//! The hub, turn by turn, over a store that is a list of everything that happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::sample::Index as Pick;
use reseed_core::error::Error;
use reseed_core::mvcc::{HistoryLimits, RevisionEvents};
use reseed_core::watch::{Filters, KeyRange};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::mvccpb::event::EventType;
use reseed_proto::mvccpb::{Event, KeyValue};
use reseed_rt::chan::Receiver;
use reseed_rt::clock::Instant;

use super::feed::{Publisher, QUEUE_MAX};
use super::hub::{Ask, Command, Create, Hub, Options, Work, prepare};
use super::outbox::{ANSWERS_MAX, BYTES_MAX, Wishes};
use super::source::Source;
use super::stream::{Requests, Responses};
use crate::metrics::Metrics;

#[derive(Debug, Default)]
struct Store {
    history: Mutex<Vec<RevisionEvents>>,
    compacted: Mutex<i64>,
    /// Previous pairs cannot be looked up.
    unreadable: AtomicBool,
}

impl Source for Store {
    fn revision(&self) -> i64 {
        self.history.lock().last().map_or(1, |found| found.revision)
    }

    fn compact_revision(&self) -> i64 {
        *self.compacted.lock()
    }

    fn history(&self, from: i64, limits: HistoryLimits) -> Result<Vec<RevisionEvents>, Error> {
        if from < self.compact_revision() {
            return Err(Error::Compacted);
        }
        let history = self.history.lock();
        let found = history.iter().filter(|found| found.revision >= from);
        let mut bytes = 0;
        let within = found.take(limits.revisions_max).take_while(|found| {
            let begun = bytes < limits.bytes_max;
            bytes += found.events.iter().map(prost::Message::encoded_len).sum::<usize>();
            begun
        });
        Ok(within.cloned().collect())
    }

    fn pair_at(&self, key: &Bytes, revision: i64) -> Result<Option<KeyValue>, Error> {
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(Error::Broken("as planned".into()));
        }
        if revision < self.compact_revision() {
            return Ok(None);
        }
        let history = self.history.lock();
        let before = history.iter().filter(|found| found.revision <= revision);
        let of_key = before.flat_map(|found| &found.events);
        let last = of_key.filter(|e| e.kv.as_ref().is_some_and(|kv| kv.key == key)).last();
        let put = last.filter(|event| event.r#type() == EventType::Put);
        Ok(put.and_then(|event| event.kv.clone()))
    }

    fn header_at(&self, revision: i64) -> pb::ResponseHeader {
        pb::ResponseHeader { cluster_id: 1, member_id: 2, revision, raft_term: 3 }
    }
}

struct Member {
    store: Arc<Store>,
    publisher: Publisher,
    hub: Hub,
    work: Work,
    commands: Receiver<Command>,
}

const INTERVAL: Duration = Duration::from_secs(600);
const FRAGMENT_BYTES: usize = 1000;

impl Member {
    fn new() -> Self {
        let store = Arc::new(Store::default());
        let options = Options { progress_interval: INTERVAL, fragment_bytes: FRAGMENT_BYTES };
        let source: Arc<dyn Source> = store.clone();
        let (publisher, hub, work, commands) = prepare(source, Arc::new(Metrics::new()), options);
        Self { store, publisher, hub, work, commands }
    }

    fn turn(&mut self) -> bool {
        self.work.turn(None, &mut self.commands)
    }

    fn settle(&mut self) {
        while self.turn() {}
    }

    fn put(&mut self, key: &str, value_bytes: usize) -> i64 {
        let revision = self.store.revision() + 1;
        let key = Bytes::copy_from_slice(key.as_bytes());
        let before = self.store.pair_at(&key, revision - 1).expect("it is readable");
        let kv = KeyValue {
            key,
            value: Bytes::from(vec![b'v'; value_bytes]),
            create_revision: before.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: before.map_or(0, |kv| kv.version) + 1,
            lease: 0,
        };
        self.happen(revision, Event { r#type: EventType::Put.into(), kv: Some(kv), prev_kv: None });
        revision
    }

    fn delete(&mut self, key: &str) {
        let mod_revision = self.store.revision() + 1;
        let key = Bytes::copy_from_slice(key.as_bytes());
        let kv = KeyValue { key, mod_revision, ..Default::default() };
        let kind = EventType::Delete.into();
        self.happen(mod_revision, Event { r#type: kind, kv: Some(kv), prev_kv: None });
    }

    /// As apply does: first it can be read, then it is published.
    fn happen(&mut self, revision: i64, event: Event) {
        let events = vec![event];
        self.store.history.lock().push(RevisionEvents { revision, events: events.clone() });
        self.publisher.publish(revision, events);
    }

    fn open(&mut self) -> Client {
        let opened = self.hub.open().now_or_never().expect("the queue has room");
        let (requests, responses) = opened.expect("the hub lives");
        Client { requests, responses }
    }
}

struct Client {
    requests: Requests,
    responses: Responses,
}

impl Client {
    fn ask(&self, ask: Ask) {
        self.try_ask(ask).expect("there is room");
    }

    fn try_ask(&self, ask: Ask) -> Option<()> {
        self.requests.send(ask).now_or_never().map(|sent| sent.expect("the hub lives"))
    }

    fn read(&mut self) -> Option<pb::WatchResponse> {
        self.responses.next().now_or_never().map(|next| next.expect("the stream goes on"))
    }

    fn read_all(&mut self) -> Vec<pb::WatchResponse> {
        std::iter::from_fn(|| self.read()).collect()
    }
}

fn key_range(key: &str, end: &str) -> KeyRange {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    KeyRange::new(bytes(key), bytes(end)).expect("not empty")
}

fn watch(key: &str) -> Create {
    Create {
        range: key_range(key, ""),
        filters: Filters::default(),
        watch_id: 0,
        start_revision: 0,
        wishes: Wishes::default(),
        progress_notify: false,
    }
}

/// What matters of a response, on one line.
fn brief(response: &pb::WatchResponse) -> String {
    let mut text = format!("#{}", response.watch_id);
    text += &format!(" @{}", response.header.as_ref().map_or(-1, |header| header.revision));
    for (is, word) in [
        (response.created, " created"),
        (response.canceled, " canceled"),
        (response.fragment, " fragment"),
    ] {
        text += if is { word } else { "" };
    }
    if response.compact_revision != 0 {
        text += &format!(" compacted={}", response.compact_revision);
    }
    if !response.cancel_reason.is_empty() {
        text += &format!(" ({})", response.cancel_reason);
    }
    for event in &response.events {
        let kv = event.kv.as_ref().expect("every event has one");
        let sign = if event.r#type() == EventType::Put { '+' } else { '-' };
        text += &format!(" {sign}{}:{}", String::from_utf8_lossy(&kv.key), kv.mod_revision);
        if let Some(before) = &event.prev_kv {
            text += &format!("<{}", before.mod_revision);
        }
    }
    text
}

fn check(client: &mut Client, expected: &[&str]) {
    let got: Vec<_> = client.read_all().iter().map(brief).collect();
    assert_eq!(got, expected);
}

#[test]
fn answers_are_etcds() {
    let mut member = Member::new();
    member.put("a", 1);
    let mut client = member.open();
    client.ask(Ask::Create(watch("a")));
    client.ask(Ask::Create(Create { watch_id: 1, ..watch("a") }));
    client.ask(Ask::Create(Create { watch_id: 1, ..watch("a") }));
    client.ask(Ask::Refuse("mvcc: watcher range is empty".into()));
    client.ask(Ask::Create(watch("b")));
    client.ask(Ask::Cancel(1));
    client.ask(Ask::Cancel(77));
    client.ask(Ask::Progress);
    member.settle();
    member.put("a", 1);
    member.delete("b");
    member.settle();
    let duplicate =
        "#-1 @2 created canceled (mvcc: duplicate watch ID provided on the WatchStream)";
    check(
        &mut client,
        &[
            "#0 @2 created",
            "#1 @2 created",
            duplicate,
            "#-1 @2 created canceled (mvcc: watcher range is empty)",
            "#2 @2 created",
            "#1 @2 canceled",
            "#-1 @2",
            "#0 @4 +a:3",
            "#2 @4 -b:4",
        ],
    );
}

#[test]
fn a_start_in_the_past_reads_history_and_one_in_the_future_waits() {
    let mut member = Member::new();
    for _ in 0..3 {
        member.put("a", 1);
    }
    let mut client = member.open();
    client.ask(Ask::Create(Create { start_revision: 3, ..watch("a") }));
    client.ask(Ask::Create(Create { start_revision: 6, ..watch("a") }));
    client.ask(Ask::Progress);
    member.settle();
    check(&mut client, &["#0 @4 created", "#1 @4 created", "#0 @4 +a:3 +a:4"]);
    member.put("a", 1);
    member.put("a", 1);
    member.settle();
    client.ask(Ask::Progress);
    member.settle();
    check(&mut client, &["#0 @6 +a:5 +a:6", "#1 @6 +a:6", "#-1 @6"]);
}

#[test]
fn a_compacted_start_is_created_then_canceled_without_a_reason() {
    let mut member = Member::new();
    for _ in 0..5 {
        member.put("a", 1);
    }
    *member.store.compacted.lock() = 5;
    let mut client = member.open();
    client.ask(Ask::Create(Create { start_revision: 4, ..watch("a") }));
    client.ask(Ask::Create(Create { start_revision: 5, ..watch("a") }));
    member.settle();
    let expected =
        ["#0 @6 created", "#0 @0 canceled compacted=5", "#1 @6 created", "#1 @6 +a:5 +a:6"];
    check(&mut client, &expected);
}

#[test]
fn previous_pairs_are_added_unless_compacted() {
    let mut member = Member::new();
    member.put("a", 1);
    member.put("a", 1);
    member.put("a", 1);
    member.delete("a");
    *member.store.compacted.lock() = 3;
    let mut client = member.open();
    let wishes = Wishes { prev_kv: true, fragment: false };
    client.ask(Ask::Create(Create { start_revision: 3, wishes, ..watch("a") }));
    member.settle();
    check(&mut client, &["#0 @5 created", "#0 @5 +a:3 +a:4<3 -a:5<4"]);
}

#[test]
fn a_stream_ends_rather_than_say_that_there_was_no_previous_pair() {
    let mut member = Member::new();
    member.put("a", 1);
    member.put("a", 1);
    let mut client = member.open();
    let wishes = Wishes { prev_kv: true, fragment: false };
    client.ask(Ask::Create(Create { start_revision: 3, wishes, ..watch("a") }));
    member.settle();
    assert!(client.read().expect("an answer").created);
    member.store.unreadable.store(true, Ordering::Relaxed);
    let next = client.responses.next().now_or_never().expect("an end");
    assert_eq!(next.expect_err("an end").message(), Error::Stopped.to_string());
}

#[test]
fn large_responses_come_in_fragments_where_wanted() {
    let mut member = Member::new();
    for _ in 0..3 {
        member.put("a", 600);
    }
    let mut client = member.open();
    let wishes = Wishes { prev_kv: false, fragment: true };
    client.ask(Ask::Create(Create { start_revision: 2, wishes, ..watch("a") }));
    client.ask(Ask::Create(Create { start_revision: 2, ..watch("a") }));
    member.settle();
    check(
        &mut client,
        &[
            "#0 @4 created",
            "#1 @4 created",
            "#0 @4 fragment +a:2",
            "#0 @4 fragment +a:3",
            "#0 @4 +a:4",
            "#1 @4 +a:2 +a:3 +a:4",
        ],
    );
}

#[test]
fn a_slow_stream_holds_little_and_delays_nobody() {
    let mut member = Member::new();
    let (mut slow, mut fast) = (member.open(), member.open());
    slow.ask(Ask::Create(watch("a")));
    fast.ask(Ask::Create(watch("a")));
    member.settle();
    let mut seen = fast.read_all().len();
    let mut last = 0;
    for _ in 0..400 {
        last = member.put("a", 100_000);
        member.settle();
        seen += fast.read_all().iter().map(|response| response.events.len()).sum::<usize>();
    }
    assert_eq!(seen, 401);
    assert!(slow.responses.waiting_bytes() <= BYTES_MAX + 200_000);
    slow.ask(Ask::Progress);
    let mut got = Vec::new();
    for _ in 0..1000 {
        member.settle();
        let Some(response) = slow.read() else { break };
        assert_ne!(response.watch_id, -1, "progress before what it promises");
        got.extend(response.events.into_iter().filter_map(|event| event.kv));
    }
    assert_eq!(
        got.iter().map(|kv| kv.mod_revision).collect::<Vec<_>>(),
        (2..=last).collect::<Vec<_>>()
    );
}

#[test]
fn what_the_queue_does_not_take_is_read_from_history() {
    let mut member = Member::new();
    let mut client = member.open();
    client.ask(Ask::Create(watch("a")));
    member.settle();
    let count = QUEUE_MAX + 100;
    for _ in 0..count {
        member.put("a", 1);
    }
    let mut events = 0;
    for _ in 0..100 {
        member.settle();
        events += client.read_all().iter().map(|response| response.events.len()).sum::<usize>();
    }
    assert_eq!(events, count);
}

#[test]
fn a_client_that_does_not_read_is_not_asked_for_more() {
    let mut member = Member::new();
    let mut client = member.open();
    for _ in 0..ANSWERS_MAX {
        client.ask(Ask::Create(watch("a")));
        member.turn();
    }
    assert!(client.try_ask(Ask::Cancel(0)).is_none());
    assert!(client.read().is_some());
    client.ask(Ask::Cancel(0));
}

#[test]
fn idle_watchers_that_asked_are_told_how_far_they_are() {
    let mut member = Member::new();
    let mut client = member.open();
    client.ask(Ask::Create(Create { progress_notify: true, ..watch("a") }));
    client.ask(Ask::Create(watch("a")));
    client.ask(Ask::Create(Create { progress_notify: true, start_revision: 9, ..watch("a") }));
    member.settle();
    assert_eq!(client.read_all().len(), 3);
    let rounds: [&[&str]; 3] = [&["#0 @2"], &[], &["#0 @3"]];
    for (round, expected) in (1..).zip(rounds) {
        if round <= 2 {
            member.put(if round == 1 { "b" } else { "a" }, 1);
        }
        member.settle();
        client.read_all();
        let later = Instant::now() + INTERVAL * 2 * round;
        member.work.notify_idle(later);
        check(&mut client, expected);
    }
}

#[test]
fn a_stream_that_ends_takes_its_watchers_along() {
    let mut member = Member::new();
    let (client, early) = (member.open(), member.open());
    client.ask(Ask::Create(watch("a")));
    early.ask(Ask::Create(watch("a")));
    drop(early);
    member.settle();
    drop(client);
    member.settle();
    let late = member.open();
    drop(late);
    member.settle();
    assert_eq!(member.work.watcher_count(), 0);
}

#[derive(Clone, Debug)]
enum Op {
    Put(bool),
    Turn,
    Create { client: Pick, start: i64, key: bool },
    Read(Pick),
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any::<bool>().prop_map(Op::Put),
        4 => Just(Op::Turn),
        2 => (any::<Pick>(), 0_i64..20, any::<bool>())
            .prop_map(|(client, start, key)| Op::Create { client, start, key }),
        2 => any::<Pick>().prop_map(Op::Read),
    ]
}

/// Follows the responses of one client.
struct Reader {
    client: Client,
    /// What each creation asked for, in order.
    asked: Vec<(i64, &'static str)>,
    /// Events by watch id, and the revision it was created at.
    got: BTreeMap<i64, (i64, Vec<i64>)>,
}

impl Reader {
    fn read(&mut self) {
        for response in self.client.read_all() {
            let revision = response.header.expect("filled").revision;
            if response.created {
                self.got.insert(response.watch_id, (revision, Vec::new()));
                continue;
            }
            let (_, got) = self.got.get_mut(&response.watch_id).expect("created before");
            got.extend(response.events.iter().filter_map(|e| Some(e.kv.as_ref()?.mod_revision)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Registration at R: every event after R, or from the start revision on, exactly once.
    #[test]
    fn registration_and_publication_do_not_miss_each_other(
        ops in prop::collection::vec(any_op(), 1..80),
    ) {
        let mut member = Member::new();
        let mut readers: Vec<_> = (0..2).map(|_| Reader {
            client: member.open(),
            asked: Vec::new(),
            got: BTreeMap::new(),
        }).collect();
        for op in ops {
            match op {
                Op::Put(key) => _ = member.put(if key { "a" } else { "b" }, 1),
                Op::Turn => _ = member.turn(),
                Op::Create { client, start, key } => {
                    let reader = &mut readers[client.index(2)];
                    let key = if key { "a" } else { "b" };
                    reader.asked.push((start, key));
                    let create = Create { start_revision: start, ..watch(key) };
                    reader.client.ask(Ask::Create(create));
                }
                Op::Read(client) => readers[client.index(2)].read(),
            }
        }
        member.settle();
        for reader in &mut readers {
            reader.read();
            for (watch_id, (start, key)) in (0..).zip(&reader.asked) {
                let (created_at, got) = &reader.got[&watch_id];
                let from = if *start == 0 { created_at + 1 } else { *start };
                let history = member.store.history.lock();
                let want: Vec<_> = history.iter().filter(|found| {
                    let kv = found.events[0].kv.as_ref().expect("has one");
                    found.revision >= from && kv.key == key.as_bytes()
                }).map(|found| found.revision).collect();
                prop_assert_eq!(got, &want);
            }
        }
    }
}

#[test]
fn a_deleted_and_remade_key_has_no_previous_pair() {
    let mut member = Member::new();
    let mut client = member.open();
    let wishes = Wishes { prev_kv: true, fragment: false };
    client.ask(Ask::Create(Create { wishes, ..watch("a") }));
    member.settle();
    member.put("a", 1);
    member.delete("a");
    member.put("a", 1);
    member.settle();
    check(&mut client, &["#0 @1 created", "#0 @4 +a:2 -a:3<2 +a:4"]);
}
