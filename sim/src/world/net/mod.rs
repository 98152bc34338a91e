//! A network of machines, as TCP behaves to programs.
//!
//! Connections, not packets: bytes of a connection arrive in order or not at all. What programs
//! can notice of a bad network is kept: latency per segment, retransmission while a link is cut or
//! loses packets, connection attempts that are retried for seconds, refusal by a machine without a
//! listener, half-closed streams, resets, a bounded buffer with backpressure, and the difference
//! between a process that dies (its machine resets its connections) and a machine that loses power
//! (nobody hears anything until it is back and answers with resets).
//!
//! What programs call is in `sockets.rs`, what happens by itself in `agenda.rs`, what goes wrong in
//! `trouble.rs`. Pure: `now` is an
//! argument, chance is the network's own stream. `world/net_conn.rs` puts the sockets of `rt::net`
//! on it and a task that runs what is due.
//!
//! ```text
//! write -> wire (each segment with its due time) -> inbox -> read
//!          \_ cut link: again after 0.2, 0.4 .. 5 s
//! ```
//! Not modelled: congestion, datagrams, duplication (TCP hides it).

mod agenda;
mod sockets;
mod trouble;
mod way;

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    ops::Range,
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;

use agenda::Event;
pub use trouble::{Trouble, TroubleId, Who};
use way::Way;

use super::tally::{Counts, Tally, Token};

/// The first retransmission of a segment and the longest pause between two.
const RETRANSMIT: Range<Duration> = Duration::from_millis(200)..Duration::from_secs(5);
/// The first repetition of a connection request and the longest pause between two.
const SYN_RETRY: Range<Duration> = Duration::from_secs(1)..Duration::from_secs(8);
/// Bytes of one direction that are sent and not yet read.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Connections a listener has not accepted yet; more are refused.
const BACKLOG_MAX: usize = 1024;
/// Within one machine.
const LOOPBACK: Range<Duration> = Duration::from_micros(10)..Duration::from_micros(50);

/// A machine on the network.
pub type HostId = u64;
/// A connection.
pub type ConnId = u64;

/// How one machine reaches another (the way back is a link of its own).
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// Each segment takes a time drawn from here.
    pub latency: Latency,
    /// Chance of a segment to be lost and sent again.
    pub loss: f64,
}

/// The times segments take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Latency {
    /// Usually, all equally likely.
    pub usual: Range<Duration>,
    /// Of a thousand segments, so many take a multiple of the longest of these.
    pub tail_per_mille: u32,
    /// Up to so many times; 1: no tail.
    pub tail_factor: u32,
}

impl Default for Link {
    fn default() -> Self {
        let usual = Duration::from_micros(200)..Duration::from_millis(3);
        let latency = Latency { usual, tail_per_mille: 0, tail_factor: 1 };
        Self { latency, loss: 0.0 }
    }
}

/// What the other side of a connection hears when a machine goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The process died; its machine resets its connections.
    Process,
    /// The machine lost power; silence.
    Power,
}

/// Counters of what happened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct NetStats {
    /// Segments delivered.
    pub segments: u64,
    /// Bytes delivered.
    pub bytes: u64,
    /// Segments and connection requests that had to be sent again.
    pub retransmitted: u64,
    /// Connections reset.
    pub resets: u64,
    /// Connections asked for.
    pub connections: u64,
}

/// One end of a connection: 0 connected, 1 accepted.
pub type Side = usize;

#[derive(Debug)]
enum Segment {
    Data(Bytes),
    Fin,
    Reset,
}

/// One direction of a connection.
#[derive(Default, Debug)]
struct Pipe {
    wire: VecDeque<(Duration, Segment)>,
    scheduled: bool,
    inbox: VecDeque<Bytes>,
    unread_bytes: usize,
    written_shut: bool,
    finished: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
struct Peer {
    host: HostId,
    epoch: u64,
    /// Its machine knows the connection.
    open: bool,
    /// Its socket only gives errors any more.
    broken: bool,
    address: SocketAddr,
}

#[derive(Debug)]
struct Conn {
    peers: [Peer; 2],
    /// `pipes[side]` carries what `side` writes.
    pipes: [Pipe; 2],
    /// Of a connection request: its outcome, and who waits for it.
    outcome: Option<Result<(), ErrorKind>>,
    waiting: Option<Waker>,
    /// What this side writes next breaks the connection.
    doom: Option<(Side, Token)>,
}

impl Conn {
    /// The socket of `side` has heard of a reset.
    fn break_side(&mut self, side: Side) {
        self.peers[side].broken = true;
        self.pipes[1 - side].inbox.clear();
        let wakers = [self.pipes[1 - side].reader.take(), self.pipes[side].writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

#[derive(Debug)]
struct Host {
    ip: IpAddr,
    epoch: u64,
    up: bool,
    next_port: u16,
}

#[derive(Debug)]
struct Listening {
    id: u64,
    ready: VecDeque<ConnId>,
    waiting: Option<Waker>,
}

/// Something that reached its machine, for the trace.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// On which connection.
    pub conn: ConnId,
    /// Who sent it.
    pub from: Side,
    /// The bytes; `None` for the end of the stream or a reset.
    pub data: Option<Bytes>,
}

/// All machines, links and connections.
#[derive(Debug)]
pub struct Network {
    hosts: BTreeMap<HostId, Host>,
    names: BTreeMap<String, IpAddr>,
    listeners: BTreeMap<SocketAddr, Listening>,
    conns: BTreeMap<ConnId, Conn>,
    agenda: BTreeMap<(Duration, u64), Event>,
    link: Link,
    links: BTreeMap<(HostId, HostId), Link>,
    /// How much worse than its setting a way from one machine to another may be, as a factor.
    unevenness: u32,
    /// Ways that were used, each with a stream of its own.
    ways: BTreeMap<(HostId, HostId), Way>,
    troubles: BTreeMap<TroubleId, (Trouble, Token)>,
    tally: Tally,
    next_id: u64,
    rng: ChaCha8Rng,
    stats: NetStats,
    delivered: Vec<Delivery>,
}

impl Network {
    /// An empty network whose chance is `rng`.
    #[must_use]
    pub fn new(rng: ChaCha8Rng) -> Self {
        Self {
            hosts: BTreeMap::new(),
            names: BTreeMap::new(),
            listeners: BTreeMap::new(),
            conns: BTreeMap::new(),
            agenda: BTreeMap::new(),
            link: Link::default(),
            links: BTreeMap::new(),
            unevenness: 1,
            ways: BTreeMap::new(),
            troubles: BTreeMap::new(),
            tally: Tally::default(),
            next_id: 0,
            rng,
            stats: NetStats::default(),
            delivered: Vec::new(),
        }
    }

    // ---- machines and links ----

    /// Plugs a machine in under a name; it is down until [`Network::boot`].
    pub fn add_host(&mut self, host: HostId, name: &str, ip: IpAddr) {
        self.names.insert(name.to_owned(), ip);
        self.hosts.insert(host, Host { ip, epoch: 0, up: false, next_port: 32_768 });
    }

    /// The machine is up; connections of earlier boots are unknown to it.
    pub fn boot(&mut self, host: HostId) {
        if let Some(host) = self.hosts.get_mut(&host) {
            host.up = true;
        }
    }

    /// The machine's process or power goes, and all its sockets with it.
    pub fn crash(&mut self, host: HostId, how: Crash, now: Duration) {
        let Some(machine) = self.hosts.get_mut(&host) else { return };
        machine.epoch += 1;
        machine.up = how == Crash::Process;
        let ip = machine.ip;
        self.listeners.retain(|address, _| address.ip() != ip);
        let touched = |conn: &Conn| conn.peers.iter().any(|peer| peer.host == host && peer.open);
        let ids: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| touched(conn)).map(|(id, _)| *id).collect();
        for id in ids {
            for side in 0..2 {
                let Some(conn) = self.conns.get_mut(&id) else { continue };
                if conn.peers[side].host != host || !conn.peers[side].open {
                    continue;
                }
                conn.peers[side].open = false;
                if how == Crash::Process {
                    conn.pipes[side].wire.clear();
                    self.send(id, side, Segment::Reset, now);
                }
            }
            self.forget_if_over(id);
        }
    }

    /// How all links behave that have no setting of their own.
    pub fn set_default_link(&mut self, link: Link) {
        self.link = link;
        self.ways.clear();
    }

    /// From now on each way from one machine to another takes up to so many times as long, and
    /// loses up to so many times as much, as its setting says; both by chance, for good.
    pub fn set_unevenness(&mut self, unevenness: u32) {
        self.unevenness = unevenness.max(1);
        self.ways.clear();
    }

    /// How `from` reaches `to`; `None` for the default.
    pub fn set_link(&mut self, from: HostId, to: HostId, link: Option<Link>) {
        self.ways.remove(&(from, to));
        match link {
            Some(link) => self.links.insert((from, to), link),
            None => self.links.remove(&(from, to)),
        };
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.stats
    }

    /// How often each fault bit, and what came of them.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.tally.counts().clone()
    }

    /// What arrived since the last call.
    pub fn take_delivered(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.delivered)
    }

    /// Resolves `host:port`.
    ///
    /// # Errors
    /// `InvalidInput` for nonsense, `NotFound` for a name nobody has.
    pub fn resolve(&self, host_port: &str) -> io::Result<SocketAddr> {
        if let Ok(address) = host_port.parse() {
            return Ok(address);
        }
        let (name, port) = host_port.rsplit_once(':').ok_or(ErrorKind::InvalidInput)?;
        let port: u16 = port.parse().map_err(|_| ErrorKind::InvalidInput)?;
        let ip = self.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(SocketAddr::new(*ip, port))
    }
}

impl Host {
    /// The next port nobody chose.
    fn take_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(32_768);
        port
    }
}

#[cfg(test)]
mod tests;
