//! A network of machines, as TCP behaves to programs.
//!
//! Connections, not packets: bytes of a connection arrive in order or not at all. What programs
//! can notice of a bad network is kept: latency per segment, retransmission while a link is cut or
//! loses packets, connection attempts that are retried for seconds, refusal by a machine without a
//! listener, half-closed streams, resets, a bounded buffer with backpressure, and the difference
//! between a process that dies (its machine resets its connections) and a machine that loses power
//! (nobody hears anything until it is back and answers with resets).
//!
//! Pure: `now` is an argument, chance is the network's own stream. `world/net_conn.rs` puts the
//! sockets of `rt::net` on it and a task that runs what is due.
//!
//! ```text
//! write -> wire (each segment with its due time) -> inbox -> read
//!          \_ cut link: again after 0.2, 0.4 .. 5 s
//! ```
//! Not modelled: congestion, datagrams, duplication (TCP hides it).

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    ops::Range,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

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
    pub latency: Range<Duration>,
    /// Chance of a segment to be lost and sent again.
    pub loss: f64,
    /// Nothing gets through.
    pub cut: bool,
}

impl Default for Link {
    fn default() -> Self {
        let latency = Duration::from_micros(200)..Duration::from_millis(3);
        Self { latency, loss: 0.0, cut: false }
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
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn set_reset(&mut self) {
        self.reset = true;
        self.wire.clear();
        self.inbox.clear();
        self.unread_bytes = 0;
        self.wake();
    }
}

#[derive(Debug)]
struct Peer {
    host: HostId,
    epoch: u64,
    open: bool,
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

#[derive(Debug)]
enum Event {
    Syn { conn: ConnId, pause: Duration },
    SynAck { conn: ConnId, accepted: bool, pause: Duration },
    Deliver { conn: ConnId, from: Side, pause: Duration },
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
    }

    /// How `from` reaches `to`; `None` for the default.
    pub fn set_link(&mut self, from: HostId, to: HostId, link: Option<Link>) {
        match link {
            Some(link) => self.links.insert((from, to), link),
            None => self.links.remove(&(from, to)),
        };
    }

    /// Cuts or heals both directions between two machines, leaving their latency as it is.
    pub fn set_cut(&mut self, one: HostId, other: HostId, cut: bool) {
        for way in [(one, other), (other, one)] {
            let default = self.link.clone();
            self.links.entry(way).or_insert(default).cut = cut;
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> NetStats {
        self.stats
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

    // ---- sockets ----

    /// Listens; an unspecified address means the machine's own, port 0 any free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn listen(&mut self, host: HostId, address: SocketAddr) -> io::Result<(SocketAddr, u64)> {
        let machine = self.hosts.get_mut(&host).ok_or(ErrorKind::AddrNotAvailable)?;
        let ip = if address.ip().is_unspecified() { machine.ip } else { address.ip() };
        if ip != machine.ip && !ip.is_loopback() {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        let port = if address.port() == 0 { machine.take_port() } else { address.port() };
        let address = SocketAddr::new(machine.ip, port);
        if self.listeners.contains_key(&address) {
            return Err(ErrorKind::AddrInUse.into());
        }
        self.next_id += 1;
        let listening = Listening { id: self.next_id, ready: VecDeque::new(), waiting: None };
        self.listeners.insert(address, listening);
        Ok((address, self.next_id))
    }

    /// Stops listening, if the listener is still that one; who was not accepted is reset.
    pub fn unlisten(&mut self, address: SocketAddr, id: u64, now: Duration) {
        if self.listeners.get(&address).is_none_or(|listening| listening.id != id) {
            return;
        }
        let waiting = self.listeners.remove(&address).map(|listening| listening.ready);
        for conn in waiting.into_iter().flatten() {
            self.close(conn, 1, now);
        }
    }

    /// The next connection of a listener, and its peer.
    pub fn poll_accept(
        &mut self,
        address: SocketAddr,
        id: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(ConnId, SocketAddr)>> {
        let Some(listening) = self.listeners.get_mut(&address).filter(|one| one.id == id) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        while let Some(conn) = listening.ready.pop_front() {
            if let Some(found) = self.conns.get(&conn) {
                return Poll::Ready(Ok((conn, found.peers[0].address)));
            }
        }
        listening.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Asks for a connection; [`Network::poll_connected`] tells its outcome.
    ///
    /// # Errors
    /// `AddrNotAvailable` from a machine that is not on the network.
    pub fn connect(&mut self, host: HostId, to: SocketAddr, now: Duration) -> io::Result<ConnId> {
        let machine = self.hosts.get_mut(&host).ok_or(ErrorKind::AddrNotAvailable)?;
        let to = if to.ip().is_loopback() { SocketAddr::new(machine.ip, to.port()) } else { to };
        let from = SocketAddr::new(machine.ip, machine.take_port());
        let mine = Peer { host, epoch: machine.epoch, open: true, address: from };
        let theirs = Peer { host, epoch: 0, open: false, address: to };
        self.next_id += 1;
        let id = self.next_id;
        let conn =
            Conn { peers: [mine, theirs], pipes: Default::default(), outcome: None, waiting: None };
        self.conns.insert(id, conn);
        self.stats.connections += 1;
        let target = self.host_of(to.ip()).unwrap_or(host);
        let (delay, _) = self.sample(host, target);
        self.schedule(now + delay, Event::Syn { conn: id, pause: SYN_RETRY.start });
        Ok(id)
    }

    /// Has the connection come about?
    pub fn poll_connected(&mut self, id: ConnId, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        };
        match conn.outcome {
            Some(outcome) => Poll::Ready(outcome.map_err(io::Error::from)),
            None => {
                conn.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Reads up to `limit` bytes of what the other side wrote; empty at the end of the stream.
    pub fn poll_read(
        &mut self,
        id: ConnId,
        side: Side,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        };
        let pipe = &mut conn.pipes[1 - side];
        if pipe.reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let Some(first) = pipe.inbox.front_mut() else {
            if pipe.finished {
                return Poll::Ready(Ok(Bytes::new()));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let data = first.split_to(limit.min(first.len()));
        if !first.has_remaining() {
            pipe.inbox.pop_front();
        }
        pipe.unread_bytes -= data.len();
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(data))
    }

    /// Writes as much of `data` as the buffer takes.
    pub fn poll_write(
        &mut self,
        id: ConnId,
        side: Side,
        data: &[u8],
        (cx, now): (&mut Context<'_>, Duration),
    ) -> Poll<io::Result<usize>> {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        };
        if conn.pipes[1 - side].reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let pipe = &mut conn.pipes[side];
        if pipe.written_shut || !conn.peers[side].open {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = BUFFER_BYTES_MAX - pipe.unread_bytes;
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = data.len().min(room);
        pipe.unread_bytes += taken;
        self.send(id, side, Segment::Data(Bytes::copy_from_slice(&data[..taken])), now);
        Poll::Ready(Ok(taken))
    }

    /// Ends what `side` writes; it can still read.
    pub fn shutdown(&mut self, id: ConnId, side: Side, now: Duration) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let pipe = &mut conn.pipes[side];
        if !pipe.written_shut && conn.peers[side].open {
            pipe.written_shut = true;
            self.send(id, side, Segment::Fin, now);
        }
    }

    /// The socket of `side` is dropped: an end of stream, or a reset if it left bytes unread.
    pub fn close(&mut self, id: ConnId, side: Side, now: Duration) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.peers[side].open {
            // Its machine crashed; what the peer hears was decided then.
            return;
        }
        conn.peers[side].open = false;
        if conn.outcome.is_none() {
            self.conns.remove(&id);
            return;
        }
        if !conn.pipes[1 - side].inbox.is_empty() {
            self.send(id, side, Segment::Reset, now);
        } else if !conn.pipes[side].written_shut {
            conn.pipes[side].written_shut = true;
            self.send(id, side, Segment::Fin, now);
        }
        self.forget_if_over(id);
    }

    // ---- what happens by itself ----

    /// When something is next due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.agenda.keys().next().map(|(due, _)| *due)
    }

    /// Does everything due by `now`.
    pub fn run_due(&mut self, now: Duration) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Event::Syn { conn, pause } => self.on_syn(conn, pause, now),
                Event::SynAck { conn, accepted, pause } => {
                    self.on_syn_ack(conn, accepted, pause, now);
                }
                Event::Deliver { conn, from, pause } => self.on_deliver(conn, from, pause, now),
            }
        }
    }

    fn on_syn(&mut self, id: ConnId, pause: Duration, now: Duration) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (source, to, from) = (conn.peers[0].host, conn.peers[1].address, conn.peers[0].address);
        let Some(target) = self.host_of(to.ip()) else {
            return self.settle_connect(id, Err(ErrorKind::HostUnreachable));
        };
        let (delay, lost) = self.sample(source, target);
        let machine = &self.hosts[&target];
        if lost || !machine.up || self.is_cut(source, target) {
            self.stats.retransmitted += 1;
            let next = (pause * 2).min(SYN_RETRY.end);
            return self.schedule(now + pause, Event::Syn { conn: id, pause: next });
        }
        let theirs = Peer { host: target, epoch: machine.epoch, open: true, address: to };
        let mut accepted = false;
        if let Some(listening) = self.listeners.get_mut(&to)
            && listening.ready.len() < BACKLOG_MAX
        {
            accepted = true;
            listening.ready.push_back(id);
            if let Some(waiting) = listening.waiting.take() {
                waiting.wake();
            }
        }
        let conn = self.conns.get_mut(&id).expect("looked up above");
        if accepted {
            conn.peers[1] = theirs;
        }
        debug_assert_eq!(conn.peers[0].address, from);
        self.schedule(now + delay, Event::SynAck { conn: id, accepted, pause: SYN_RETRY.start });
    }

    fn on_syn_ack(&mut self, id: ConnId, accepted: bool, pause: Duration, now: Duration) {
        let Some(conn) = self.conns.get(&id) else { return };
        if !accepted {
            return self.settle_connect(id, Err(ErrorKind::ConnectionRefused));
        }
        if self.is_cut(conn.peers[1].host, conn.peers[0].host) {
            self.stats.retransmitted += 1;
            let next = (pause * 2).min(SYN_RETRY.end);
            return self.schedule(now + pause, Event::SynAck { conn: id, accepted, pause: next });
        }
        self.settle_connect(id, Ok(()));
    }

    fn settle_connect(&mut self, id: ConnId, outcome: Result<(), ErrorKind>) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.outcome = Some(outcome);
        if let Some(waiting) = conn.waiting.take() {
            waiting.wake();
        }
    }

    fn on_deliver(&mut self, id: ConnId, from: Side, pause: Duration, now: Duration) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (source, target) = (conn.peers[from].host, conn.peers[1 - from].host);
        let receiver_epoch = conn.peers[1 - from].epoch;
        let machine = &self.hosts[&target];
        let (up, stale) = (machine.up, machine.epoch != receiver_epoch);
        if !up || self.is_cut(source, target) {
            self.stats.retransmitted += 1;
            let next = (pause * 2).min(RETRANSMIT.end);
            return self.schedule(now + pause, Event::Deliver { conn: id, from, pause: next });
        }
        let conn = self.conns.get_mut(&id).expect("looked up above");
        let gone = stale || !conn.peers[1 - from].open;
        let mut answer_reset = false;
        while let Some((due, _)) = conn.pipes[from].wire.front() {
            if *due > now {
                break;
            }
            let Some((_, segment)) = conn.pipes[from].wire.pop_front() else { break };
            self.stats.segments += 1;
            let data = if let Segment::Data(data) = &segment { Some(data.clone()) } else { None };
            self.stats.bytes += data.as_ref().map_or(0, |data| data.len() as u64);
            self.delivered.push(Delivery { conn: id, from, data });
            match segment {
                Segment::Data(_) if gone => answer_reset = true,
                Segment::Data(data) => conn.pipes[from].inbox.push_back(data),
                Segment::Fin => conn.pipes[from].finished = true,
                Segment::Reset => {
                    self.stats.resets += 1;
                    conn.pipes.iter_mut().for_each(Pipe::set_reset);
                }
            }
        }
        let pipe = &mut conn.pipes[from];
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        pipe.scheduled = false;
        if let Some((due, _)) = pipe.wire.front() {
            pipe.scheduled = true;
            let due = *due;
            self.schedule(due, Event::Deliver { conn: id, from, pause: RETRANSMIT.start });
        }
        if answer_reset {
            self.send(id, 1 - from, Segment::Reset, now);
        }
        self.forget_if_over(id);
    }

    fn send(&mut self, id: ConnId, from: Side, segment: Segment, now: Duration) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (source, target) = (conn.peers[from].host, conn.peers[1 - from].host);
        let (delay, lost) = self.sample(source, target);
        let delay = if lost { delay + RETRANSMIT.start } else { delay };
        self.stats.retransmitted += u64::from(lost);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let pipe = &mut conn.pipes[from];
        let behind = pipe.wire.back().map_or(Duration::ZERO, |(due, _)| *due);
        let due = (now + delay).max(behind);
        pipe.wire.push_back((due, segment));
        if !pipe.scheduled {
            pipe.scheduled = true;
            self.schedule(due, Event::Deliver { conn: id, from, pause: RETRANSMIT.start });
        }
    }

    fn schedule(&mut self, due: Duration, event: Event) {
        self.next_id += 1;
        self.agenda.insert((due, self.next_id), event);
    }

    fn forget_if_over(&mut self, id: ConnId) {
        let over = |conn: &Conn| {
            conn.peers.iter().all(|peer| !peer.open)
                && conn.pipes.iter().all(|pipe| pipe.wire.is_empty())
        };
        if self.conns.get(&id).is_some_and(over) {
            self.conns.remove(&id);
        }
    }

    fn host_of(&self, ip: IpAddr) -> Option<HostId> {
        self.hosts.iter().find(|(_, host)| host.ip == ip).map(|(id, _)| *id)
    }

    fn is_cut(&self, from: HostId, to: HostId) -> bool {
        self.links.get(&(from, to)).unwrap_or(&self.link).cut
    }

    /// The time a segment takes, and whether it is lost on the way.
    fn sample(&mut self, from: HostId, to: HostId) -> (Duration, bool) {
        if from == to {
            return (self.rng.random_range(LOOPBACK), false);
        }
        let link = self.links.get(&(from, to)).unwrap_or(&self.link);
        let delay = self.rng.random_range(link.latency.clone());
        (delay, link.loss > 0.0 && self.rng.random_bool(link.loss))
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
#[path = "net_tests.rs"]
mod tests;
