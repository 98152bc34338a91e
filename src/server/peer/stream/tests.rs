//! Both sides of a stream, over loopback.

use futures::future;
use raft::eraftpb::Entry;
use reseed_proto::log::member_change::Change;
use reseed_rt::chan;
use reseed_rt::net::{Listener, ServeOptions, UpgradeRequest, serve};
use reseed_rt::task::{self, Task};

use super::super::{Door, Pace, outbox, take_stream};
use super::*;
use crate::membership::tests::Applied;
use crate::metrics::Metrics;

/// Long enough that only a hang reaches it.
const HANG: Duration = Duration::from_secs(30);
/// An election timeout that nothing here waits for.
const ELECTION: Duration = Duration::from_secs(5);

fn message(from: u64, index: u64, bytes: usize) -> Message {
    let entries = vec![Entry { data: vec![0; bytes].into(), ..Entry::default() }];
    Message { from, index, entries, ..Message::default() }
}

fn indexes(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.index).collect()
}

#[test]
fn large_turns_are_cut_into_batches_without_losing_or_reordering() {
    let sizes = [(1, 10), (2, 3 << 20), (3, 3 << 20), (4, 9)];
    let turn = sizes.map(|(index, bytes)| message(0, index, bytes)).to_vec();
    let decoded = |batch: &RaftBatch| -> Vec<Message> {
        let decode = |bytes: &Bytes| Message::decode(bytes.clone()).expect("whole");
        batch.messages.iter().map(decode).collect()
    };
    let batches: Vec<_> = to_batches(turn).iter().map(decoded).collect();
    assert_eq!(batches.iter().map(|batch| indexes(batch)).collect::<Vec<_>>(), [[1, 2], [3, 4]]);
}

/// Member a, which takes streams, and what it hears.
struct Receiving {
    url: String,
    door: Door,
    heard: Receiver<PeerEvent>,
    stop: Stop,
    server: Task<()>,
}

impl Receiving {
    async fn start() -> Self {
        Self::at(Pace::of(ELECTION)).await
    }

    async fn at(pace: Pace) -> Self {
        let (driver, heard) = chan::bounded("driver", 64);
        let door = Door { cluster: 0xc1, member: 0xa, peers: outbox::tests::peers(), driver };
        let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = Stop::new();
        let at_door = door.clone();
        let service = tower::service_fn(move |request| {
            future::ok(take_stream(at_door.clone(), pace, request))
        });
        let served = serve(listener, service, ServeOptions::default(), stop.clone());
        Self { url, door, heard, server: task::spawn("server", served), stop }
    }

    async fn hears(&mut self) -> Vec<u64> {
        match clock::timeout(HANG, self.heard.recv()).await.expect("this does not hang") {
            Some(PeerEvent::Received(messages)) => indexes(&messages),
            other => panic!("{other:?}"),
        }
    }
}

/// Member b of `cluster`, which sends, and what it learns.
struct Sends {
    turns: Sender<Vec<Message>>,
    learns: Receiver<PeerEvent>,
    task: Task<()>,
}

fn route(url: &str, cluster: u64) -> Route {
    let (own_urls, urls) = (Vec::new(), vec![url.to_owned()]);
    Route { cluster, from: 0xb, to: 0xa, own_urls, urls, silence_max: ELECTION }
}

fn send_to(receiving: &Receiving, cluster: u64) -> Sends {
    let (turns, waiting) = chan::bounded("peer", 64);
    let (driver, learns) = chan::bounded("driver", 64);
    let (link, departure) = (Link::default(), Departure::default());
    let (route, idle_max) = (route(&receiving.url, cluster), ELECTION);
    let sent = Sent::new(&Metrics::new(), route.from, route.to);
    let sending = Sending { route, waiting, driver, link, sent, departure, idle_max };
    Sends { turns, learns, task: task::spawn("peer", sending.run(Stop::new())) }
}

#[tokio::test]
async fn turns_arrive_in_order_and_whole() {
    let mut receiving = Receiving::start().await;
    let sender = send_to(&receiving, 0xc1);
    for index in 0..20 {
        let turn = vec![message(0xb, 2 * index, 10), message(0xb, 2 * index + 1, 100_000)];
        assert!(sender.turns.try_send(turn).is_ok());
    }
    for index in 0..20 {
        assert_eq!(receiving.hears().await, [2 * index, 2 * index + 1]);
    }
    drop(sender.turns);
    clock::timeout(HANG, sender.task).await.expect("it ends").expect("by itself");
}

#[tokio::test]
async fn a_receiver_that_stops_ends_its_streams_and_the_sender_learns_that_nobody_listens() {
    let mut receiving = Receiving::start().await;
    let mut sender = send_to(&receiving, 0xc1);
    assert!(sender.turns.try_send(vec![message(0xb, 1, 1)]).is_ok());
    assert_eq!(receiving.hears().await, [1]);
    receiving.stop.cancel();
    clock::timeout(HANG, receiving.server).await.expect("it ends").expect("by itself");
    let learnt = clock::timeout(HANG, sender.learns.recv()).await.expect("this does not hang");
    assert!(matches!(learnt, Some(PeerEvent::Unreachable(0xa))), "{learnt:?}");
    loop {
        let learnt = clock::timeout(HANG, sender.learns.recv()).await.expect("no hang");
        match learnt {
            Some(PeerEvent::Unreachable(0xa)) => {}
            Some(PeerEvent::Gone(0xa)) => break,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn who_is_removed_while_it_sends_is_told_so_and_leaves() {
    let mut receiving = Receiving::start().await;
    let mut log = Applied::default();
    log.add(&[0xa, 0xb]);
    receiving.door.peers.follow(log.members());
    let introduction = route(&receiving.url, 0xc1).introduction();
    let mut by_hand = wire::open(&receiving.url, introduction).await.expect("let in");
    let sender = send_to(&receiving, 0xc1);
    assert!(sender.turns.try_send(vec![message(0xb, 1, 1)]).is_ok());
    assert_eq!(receiving.hears().await, [1]);
    log.change(Change::Remove(0xb)).expect("is allowed");
    receiving.door.peers.follow(log.members());
    assert!(sender.turns.try_send(vec![message(0xb, 2, 1)]).is_ok());
    // Whatever else happens to a stream, it is opened again as long as there are turns to send.
    clock::timeout(HANG, sender.task).await.expect("it ends").expect("by itself");
    by_hand.send(wire::frame(&RaftBatch::default())).await.expect("it reads");
    let refused = answer(&mut by_hand).await.refused.expect("a reason");
    assert_eq!(Code::from(refused.code), Code::PermissionDenied);
    assert!(refused.reason.contains("permanently removed"), "{refused:?}");
}

async fn answer(wire: &mut Wire) -> RaftTaken {
    clock::timeout(HANG, wire::next(wire)).await.expect("no hang").expect("an answer")
}

async fn opened(pace: Pace) -> Wire {
    let receiving = Receiving::at(pace).await;
    let introduction = route(&receiving.url, 0xc1).introduction();
    wire::open(&receiving.url, introduction).await.expect("let in")
}

#[tokio::test]
async fn batches_are_answered() {
    let answer_interval = Duration::from_millis(20);
    let mut by_hand = opened(Pace { answer_interval, gone_after: HANG }).await;
    by_hand.send(wire::frame(&RaftBatch::default())).await.expect("it reads");
    assert_eq!(answer(&mut by_hand).await, RaftTaken { batches: 1, ..RaftTaken::default() });
}

#[tokio::test]
async fn a_probe_is_answered_at_once() {
    let mut by_hand = opened(Pace { answer_interval: HANG, gone_after: HANG }).await;
    let probe = RaftBatch { probe: 7, ..RaftBatch::default() };
    by_hand.send(wire::frame(&probe)).await.expect("it reads");
    assert_eq!(answer(&mut by_hand).await.probe, 7);
}

#[tokio::test]
async fn a_sender_that_is_silent_loses_its_stream() {
    let gone_after = Duration::from_millis(20);
    let mut by_hand = opened(Pace { answer_interval: HANG, gone_after }).await;
    let refused = answer(&mut by_hand).await.refused.expect("a reason");
    assert_eq!(refused.reason, "the peer is silent");
}

/// What a sender learns of a receiver that takes one batch, answers it or does not, and stops.
async fn of_one_that_stops(answers: bool, turns: Vec<Vec<Message>>) -> PeerEvent {
    let listener = Listener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let service = tower::service_fn(move |mut request| {
        let asked = UpgradeRequest::of(&mut request, wire::PROTOCOL).expect("a stream");
        let taking = move |connection| async move {
            let mut wire = wire::over(connection);
            // It may have given up already.
            let first = wire::next::<RaftBatch>(&mut wire).await;
            if answers && first.is_ok() {
                let taken = RaftTaken { batches: 1, ..RaftTaken::default() };
                let _told = wire.send(wire::frame(&taken)).await;
            }
            future::pending().await
        };
        future::ok(asked.agree::<tonic::body::Body, _>(wire::PROTOCOL, taking))
    });
    let served = serve(listener, service, ServeOptions::default(), Stop::new());
    let _server = task::spawn("server", served);
    let (queue, waiting) = chan::bounded("peer", 64);
    for turn in turns {
        assert!(queue.try_send(turn).is_ok());
    }
    let (driver, mut learns) = chan::bounded("driver", 64);
    let route = Route { silence_max: Duration::from_millis(200), ..route(&url, 0xc1) };
    let (link, departure) = (Link::default(), Departure::default());
    let idle_max = Duration::from_millis(20);
    let sent = Sent::new(&Metrics::new(), route.from, route.to);
    let sending = Sending { route, waiting, driver, link, sent, departure, idle_max };
    let _sending = task::spawn("peer", sending.run(Stop::new()));
    let learnt = clock::timeout(HANG, learns.recv()).await;
    learnt.expect("this does not hang").expect("the sender runs")
}

#[tokio::test]
async fn a_receiver_that_falls_silent_is_given_up_whatever_it_had_answered() {
    // More than a connection holds: the sender waits for room when the answer comes.
    let large = || (0..4).map(|index| vec![message(0xb, index, 8 << 20)]).collect();
    for (answers, turns) in [(false, large()), (true, large()), (true, Vec::new())] {
        let learnt = of_one_that_stops(answers, turns).await;
        assert!(matches!(learnt, PeerEvent::Unreachable(0xa)), "{answers}: {learnt:?}");
    }
}

#[tokio::test]
async fn a_stranger_is_refused_in_words() {
    let receiving = Receiving::start().await;
    let mut sender = send_to(&receiving, 0xdd);
    let learnt = clock::timeout(HANG, sender.learns.recv()).await.expect("this does not hang");
    assert!(matches!(learnt, Some(PeerEvent::Unreachable(0xa))), "{learnt:?}");
    let introduction = route(&receiving.url, 0xdd).introduction();
    let refused = wire::open(&receiving.url, introduction).await.expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("of cluster c1, not dd"), "{refused}");
    let refused = wire::open("http://127.0.0.1:1", HeaderMap::new()).await.expect_err("nobody");
    assert!(nobody_listens(&refused), "{refused}");
}
