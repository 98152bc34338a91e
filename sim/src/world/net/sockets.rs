//! What programs do with the network: listen, accept, connect, read, write, close.
//!
//! Polls in the manner of a runtime: what cannot be done yet keeps a waker.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};

use super::{
    BUFFER_BYTES_MAX, Conn, ConnId, HostId, Listening, Network, Peer, SYN_RETRY, Segment, Side,
    agenda::Event,
};

impl Network {
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
        let mine = Peer { host, epoch: machine.epoch, open: true, broken: false, address: from };
        let theirs = Peer { host, epoch: 0, open: false, broken: false, address: to };
        self.next_id += 1;
        let id = self.next_id;
        let conn = Conn {
            peers: [mine, theirs],
            pipes: Default::default(),
            outcome: None,
            waiting: None,
            doom: None,
        };
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
        let host = conn.peers[side].host;
        let pipe = &mut conn.pipes[1 - side];
        let something = conn.peers[side].broken || pipe.finished || !pipe.inbox.is_empty();
        if something && !self.troubles.is_empty() && self.is_deaf(host) {
            let conn = self.conns.get_mut(&id).expect("looked up above");
            conn.pipes[1 - side].reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let conn = self.conns.get_mut(&id).expect("looked up above");
        if conn.peers[side].broken {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let pipe = &mut conn.pipes[1 - side];
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
        if conn.peers[side].broken {
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
        let mut taken = data.len().min(room);
        let doomed = conn.doom.is_some();
        pipe.unread_bytes += taken;
        let broken = if doomed { self.break_off(id, side, taken) } else { None };
        taken = broken.unwrap_or(taken);
        self.send(id, side, Segment::Data(Bytes::copy_from_slice(&data[..taken])), now);
        if broken.is_some() {
            return Poll::Ready(Err(self.reset_midway(id, side, now).into()));
        }
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
        if conn.peers[side].broken {
            return self.forget_if_over(id);
        }
        if !conn.pipes[1 - side].inbox.is_empty() {
            self.send(id, side, Segment::Reset, now);
        } else if !conn.pipes[side].written_shut {
            conn.pipes[side].written_shut = true;
            self.send(id, side, Segment::Fin, now);
        }
        self.forget_if_over(id);
    }
}
