//! What programs notice of the network, driven by hand.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    task::{Context, Poll},
};

use futures::task::noop_waker;
use rand_chacha::rand_core::SeedableRng;

use super::*;

const SERVER: HostId = 1;
const CLIENT: HostId = 2;
const AT_SERVER: &str = "server:80";

/// Two machines, a listener, and time that only moves when asked.
struct Lab {
    network: Network,
    now: Duration,
    listener: (SocketAddr, u64),
}

impl Lab {
    fn new() -> Self {
        let mut network = Network::new(ChaCha8Rng::seed_from_u64(1));
        for (host, name) in [(SERVER, "server"), (CLIENT, "client")] {
            let ip = Ipv4Addr::new(10, 0, 0, u8::try_from(host).expect("small"));
            network.add_host(host, name, ip.into());
            network.boot(host);
        }
        let address = network.resolve("0.0.0.0:80").expect("an address");
        let listener = network.listen(SERVER, address).expect("free");
        Self { network, now: Duration::ZERO, listener }
    }

    /// Lets what happens by itself happen for `millis`.
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.network.next_due().filter(|due| *due <= end) {
            self.now = due;
            self.network.run_due(due);
        }
        self.now = end;
    }

    fn connect(&mut self) -> ConnId {
        let to = self.network.resolve(AT_SERVER).expect("a name");
        self.network.connect(CLIENT, to, self.now).expect("on the network")
    }

    fn connected(&mut self, conn: ConnId) -> Poll<Result<(), ErrorKind>> {
        let waker = noop_waker();
        let outcome = self.network.poll_connected(conn, &mut Context::from_waker(&waker));
        outcome.map_err(|error| error.kind())
    }

    /// A connection both sides have.
    fn established(&mut self) -> ConnId {
        let conn = self.connect();
        self.pass(20);
        assert_eq!(self.connected(conn), Poll::Ready(Ok(())));
        let waker = noop_waker();
        let (address, id) = self.listener;
        let accepted = self.network.poll_accept(address, id, &mut Context::from_waker(&waker));
        assert!(matches!(accepted, Poll::Ready(Ok((found, _))) if found == conn));
        conn
    }

    fn write(&mut self, conn: ConnId, side: Side, data: &[u8]) -> Poll<Result<usize, ErrorKind>> {
        let waker = noop_waker();
        let clock = (&mut Context::from_waker(&waker), self.now);
        self.network.poll_write(conn, side, data, clock).map_err(|error| error.kind())
    }

    fn read(&mut self, conn: ConnId, side: Side) -> Poll<Result<Bytes, ErrorKind>> {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        self.network.poll_read(conn, side, 1 << 20, &mut cx).map_err(|error| error.kind())
    }
}

fn bytes(text: &'static str) -> Poll<Result<Bytes, ErrorKind>> {
    Poll::Ready(Ok(Bytes::from_static(text.as_bytes())))
}

/// Did a write end in a reset?
trait Broken {
    fn is_ready_and_broken(&self) -> bool;
}

impl Broken for Poll<Result<usize, ErrorKind>> {
    fn is_ready_and_broken(&self) -> bool {
        matches!(self, Self::Ready(Err(ErrorKind::ConnectionReset)))
    }
}

const RESET: Poll<Result<Bytes, ErrorKind>> = Poll::Ready(Err(ErrorKind::ConnectionReset));

#[test]
fn bytes_arrive_in_order_and_late() {
    let mut lab = Lab::new();
    let conn = lab.established();
    assert_eq!(lab.write(conn, 0, b"one "), Poll::Ready(Ok(4)));
    assert_eq!(lab.write(conn, 0, b"two"), Poll::Ready(Ok(3)));
    assert_eq!(lab.read(conn, 1), Poll::Pending, "nothing is instantaneous");
    lab.pass(10);
    assert_eq!(lab.read(conn, 1), bytes("one "));
    assert_eq!(lab.read(conn, 1), bytes("two"));
}

#[test]
fn a_port_nobody_listens_on_refuses() {
    let mut lab = Lab::new();
    let to = lab.network.resolve("server:81").expect("a name");
    let conn = lab.network.connect(CLIENT, to, lab.now).expect("on the network");
    lab.pass(20);
    assert_eq!(lab.connected(conn), Poll::Ready(Err(ErrorKind::ConnectionRefused)));
}

#[test]
fn a_machine_without_power_is_asked_again_until_it_is_back() {
    let mut lab = Lab::new();
    lab.network.crash(SERVER, Crash::Power, lab.now);
    let conn = lab.connect();
    lab.pass(10_000);
    assert_eq!(lab.connected(conn), Poll::Pending);
    lab.network.boot(SERVER);
    let address = lab.network.resolve("0.0.0.0:80").expect("an address");
    lab.network.listen(SERVER, address).expect("the port is free again");
    lab.pass(10_000);
    assert_eq!(lab.connected(conn), Poll::Ready(Ok(())));
}

#[test]
fn a_dead_process_resets_and_a_dead_machine_is_silent() {
    let mut lab = Lab::new();
    let conn = lab.established();
    lab.network.crash(SERVER, Crash::Process, lab.now);
    lab.pass(20);
    assert_eq!(lab.read(conn, 0), RESET);

    let mut lab = Lab::new();
    let conn = lab.established();
    lab.network.crash(SERVER, Crash::Power, lab.now);
    assert_eq!(lab.write(conn, 0, b"anyone?"), Poll::Ready(Ok(7)));
    lab.pass(60_000);
    assert_eq!(lab.read(conn, 0), Poll::Pending, "silence");
    lab.network.boot(SERVER);
    lab.pass(20_000);
    assert_eq!(lab.read(conn, 0), RESET, "the rebooted machine does not know the connection");
}

#[test]
fn a_cut_link_holds_bytes_back_and_loses_none() {
    let mut lab = Lab::new();
    let conn = lab.established();
    let server = Who::one(SERVER);
    let cut = Trouble::Cut { from: server.others(), to: server, both_ways: true };
    let cut = lab.network.begin(cut, "cut_both_ways");
    assert_eq!(lab.write(conn, 0, b"patience"), Poll::Ready(Ok(8)));
    lab.pass(30_000);
    assert_eq!(lab.read(conn, 1), Poll::Pending);
    assert_eq!(lab.network.counts()["cut_both_ways"], 1, "one cut, however many segments");
    lab.network.end(cut);
    lab.pass(6_000);
    assert_eq!(lab.read(conn, 1), bytes("patience"));
    assert!(lab.network.stats().retransmitted > 5);
}

#[test]
fn a_link_may_be_cut_one_way() {
    let mut lab = Lab::new();
    let conn = lab.established();
    let (from, to) = (Who::one(SERVER), Who::one(CLIENT));
    let cut = Trouble::Cut { from, to, both_ways: false };
    let _for_ever = lab.network.begin(cut, "cut_one_way");
    assert_eq!(lab.write(conn, 0, b"there"), Poll::Ready(Ok(5)));
    lab.pass(20);
    assert!(lab.network.counts().is_empty(), "nothing was held up yet");
    assert_eq!(lab.write(conn, 1, b"back"), Poll::Ready(Ok(4)));
    lab.pass(1_000);
    assert_eq!(lab.read(conn, 1), bytes("there"));
    assert_eq!(lab.read(conn, 0), Poll::Pending);
}

#[test]
fn a_stream_is_closed_one_way_at_a_time() {
    let mut lab = Lab::new();
    let conn = lab.established();
    lab.network.shutdown(conn, 0, lab.now);
    lab.pass(20);
    assert_eq!(lab.read(conn, 1), bytes(""), "the end");
    assert_eq!(lab.write(conn, 1, b"still here"), Poll::Ready(Ok(10)));
    lab.pass(20);
    assert_eq!(lab.read(conn, 0), bytes("still here"));
    assert_eq!(lab.write(conn, 0, b"x"), Poll::Ready(Err(ErrorKind::BrokenPipe)));
}

#[test]
fn closing_with_bytes_unread_resets() {
    let mut lab = Lab::new();
    let conn = lab.established();
    assert_eq!(lab.write(conn, 0, b"unread"), Poll::Ready(Ok(6)));
    lab.pass(20);
    lab.network.close(conn, 1, lab.now);
    lab.pass(20);
    assert_eq!(lab.read(conn, 0), RESET);
}

#[test]
fn a_reader_that_does_not_read_stops_its_writer() {
    let mut lab = Lab::new();
    let conn = lab.established();
    let chunk = vec![0; BUFFER_BYTES_MAX / 2 + 1];
    assert_eq!(lab.write(conn, 0, &chunk), Poll::Ready(Ok(chunk.len())));
    assert_eq!(lab.write(conn, 0, &chunk), Poll::Ready(Ok(chunk.len() - 2)), "what fits");
    assert_eq!(lab.write(conn, 0, &chunk), Poll::Pending);
    lab.pass(100);
    assert_eq!(lab.write(conn, 0, &chunk), Poll::Pending, "arrived, but not read");
    assert!(matches!(lab.read(conn, 1), Poll::Ready(Ok(read)) if read.len() == chunk.len()));
    assert_eq!(lab.write(conn, 0, &chunk), Poll::Ready(Ok(chunk.len())));
}

#[test]
fn closed_connections_are_forgotten() {
    let mut lab = Lab::new();
    let conn = lab.established();
    lab.network.close(conn, 0, lab.now);
    lab.network.close(conn, 1, lab.now);
    lab.pass(100);
    assert!(lab.network.conns.is_empty() && lab.network.agenda.is_empty());
}

#[test]
fn a_lossy_link_loses_no_byte_and_takes_longer() {
    let mut lab = Lab::new();
    let conn = lab.established();
    let lossy = lab.network.begin(Trouble::Lossy(Who::one(SERVER), 1.0), "lossy");
    assert_eq!(lab.write(conn, 1, b"late"), Poll::Ready(Ok(4)));
    lab.pass(100);
    assert_eq!(lab.read(conn, 0), Poll::Pending, "sent again after 200 ms");
    lab.pass(200);
    assert_eq!(lab.read(conn, 0), bytes("late"));
    lab.network.end(lossy);
    assert_eq!(lab.write(conn, 1, b"soon"), Poll::Ready(Ok(4)));
    lab.pass(20);
    assert_eq!(lab.read(conn, 0), bytes("soon"));
    assert_eq!(lab.network.counts()["lossy"], 1);
    assert_eq!(lab.network.counts()["lost_segment"], 1);
}

#[test]
fn a_slow_link_delays_both_ways_and_only_its_machines() {
    let mut lab = Lab::new();
    let conn = lab.established();
    let slow = Trouble::Slow(Who::one(SERVER), Duration::from_secs(60));
    let slow = lab.network.begin(slow, "slow_link");
    assert_eq!(lab.write(conn, 0, b"slow"), Poll::Ready(Ok(4)));
    lab.pass(20);
    assert_eq!(lab.read(conn, 1), Poll::Pending);
    lab.network.end(slow);
    lab.pass(60_000);
    assert_eq!(lab.read(conn, 1), bytes("slow"));
    assert_eq!(lab.network.counts()["slow_link"], 1);
    let elsewhere = Trouble::Slow(Who::one(99), Duration::from_secs(60));
    let _for_ever = lab.network.begin(elsewhere, "slow_link");
    assert_eq!(lab.write(conn, 0, b"quick"), Poll::Ready(Ok(5)));
    lab.pass(20);
    assert_eq!(lab.read(conn, 1), bytes("quick"));
}

#[test]
fn latency_has_a_tail() {
    let mut lab = Lab::new();
    let conn = lab.established();
    let usual = Duration::from_millis(1)..Duration::from_millis(2);
    let latency = Latency { usual, tail_per_mille: 100, tail_factor: 1_000 };
    lab.network.set_link(CLIENT, SERVER, Some(Link { latency, loss: 0.0 }));
    let mut late = 0;
    for _ in 0..300 {
        assert_eq!(lab.write(conn, 0, b"x"), Poll::Ready(Ok(1)));
        lab.pass(10);
        late += usize::from(lab.read(conn, 1) == Poll::Pending);
        lab.pass(3_000);
        while lab.read(conn, 1).is_ready() {}
    }
    assert!((10..60).contains(&late), "{late} of 300 late");
}

#[test]
fn a_doomed_connection_breaks_in_the_middle_of_an_answer() {
    let (mut answers, mut requests) = (0, 0);
    for seed in 0..40 {
        let mut lab = Lab::new();
        lab.network.rng = ChaCha8Rng::seed_from_u64(seed);
        let conn = lab.established();
        lab.network.doom(&Who::one(SERVER), 5, "resets");
        assert!(lab.network.counts().is_empty(), "nothing was written yet");
        if lab.write(conn, 0, b"request").is_ready_and_broken() {
            requests += 1;
            continue;
        }
        lab.pass(20);
        assert_eq!(lab.read(conn, 1), bytes("request"));
        assert!(lab.write(conn, 1, b"answer").is_ready_and_broken());
        assert_eq!(lab.read(conn, 1), RESET, "the server's socket is broken");
        lab.pass(20);
        assert_eq!(lab.read(conn, 0), RESET);
        assert_eq!(lab.network.counts()["resets"], 1);
        let arrived = lab.network.take_delivered().pop().expect("the reset");
        assert_eq!(arrived.data, None);
        answers += 1;
    }
    assert!(answers > requests && requests > 0, "{answers} answers, {requests} requests");
}

#[test]
fn a_half_open_connection_is_silent_until_somebody_writes() {
    let mut lab = Lab::new();
    let conn = lab.established();
    assert_eq!(lab.network.forget(&Who::one(SERVER)), 1);
    assert_eq!(lab.read(conn, 1), RESET, "its own program hears of it");
    lab.network.close(conn, 1, lab.now);
    lab.pass(60_000);
    assert_eq!(lab.read(conn, 0), Poll::Pending, "the other side still believes");
    assert_eq!(lab.write(conn, 0, b"anyone?"), Poll::Ready(Ok(7)));
    lab.pass(20);
    assert_eq!(lab.read(conn, 0), RESET);
    lab.network.close(conn, 0, lab.now);
    assert!(lab.network.conns.is_empty());
}

#[test]
fn a_machine_that_does_not_read_stops_who_writes_to_it() {
    let mut lab = Lab::new();
    let conn = lab.established();
    let deaf = lab.network.begin(Trouble::Deaf(Who::one(SERVER)), "slow_reader");
    assert_eq!(lab.read(conn, 1), Poll::Pending);
    assert!(lab.network.counts().is_empty(), "there was nothing to read");
    let chunk = vec![7; BUFFER_BYTES_MAX];
    assert_eq!(lab.write(conn, 0, &chunk), Poll::Ready(Ok(chunk.len())));
    lab.pass(1_000);
    assert_eq!(lab.read(conn, 1), Poll::Pending, "it is there and not read");
    assert_eq!(lab.write(conn, 0, b"more"), Poll::Pending, "backpressure");
    assert_eq!(lab.network.counts()["slow_reader"], 1);
    lab.network.end(deaf);
    assert!(matches!(lab.read(conn, 1), Poll::Ready(Ok(read)) if read.len() == chunk.len()));
    assert_eq!(lab.write(conn, 0, b"more"), Poll::Ready(Ok(4)));
}

#[test]
fn calm_ends_everything() {
    let mut lab = Lab::new();
    let conn = lab.established();
    let all = Who::AllBut(BTreeSet::new());
    let cut = Trouble::Cut { from: all.clone(), to: all.clone(), both_ways: true };
    for trouble in [cut, Trouble::Lossy(all.clone(), 1.0), Trouble::Deaf(all.clone())] {
        let _ended_by_calm = lab.network.begin(trouble, "trouble");
    }
    lab.network.doom(&all, 1, "resets");
    lab.network.calm();
    assert_eq!(lab.write(conn, 0, b"through"), Poll::Ready(Ok(7)));
    lab.pass(20);
    assert_eq!(lab.read(conn, 1), bytes("through"));
}
