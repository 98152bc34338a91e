//! What happens on the network by itself, when its time has come.

use std::{io::ErrorKind, net::IpAddr, time::Duration};

use rand::RngExt;

use super::{
    BACKLOG_MAX, Conn, ConnId, Delivery, HostId, LOOPBACK, Network, Peer, RETRANSMIT, SYN_RETRY,
    Segment, Side, way::Way,
};

/// Something that is due at some time.
#[derive(Debug)]
pub(super) enum Event {
    /// A connection request arrives, or is lost and repeated after `pause`.
    Syn { conn: ConnId, pause: Duration },
    /// The answer to it arrives.
    SynAck { conn: ConnId, accepted: bool, pause: Duration },
    /// What is due of the bytes that side `from` wrote arrives.
    Deliver { conn: ConnId, from: Side, pause: Duration },
}

impl Network {
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
        let cut = self.is_cut(source, target);
        let machine = &self.hosts[&target];
        if lost || cut || !machine.up {
            self.stats.retransmitted += 1;
            let next = (pause * 2).min(SYN_RETRY.end);
            return self.schedule(now + pause, Event::Syn { conn: id, pause: next });
        }
        let theirs =
            Peer { host: target, epoch: machine.epoch, open: true, broken: false, address: to };
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
            self.tally.count("refused_connection", 1);
            return self.settle_connect(id, Err(ErrorKind::ConnectionRefused));
        }
        let (target, source) = (conn.peers[1].host, conn.peers[0].host);
        if self.is_cut(target, source) {
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
        let cut = self.is_cut(source, target);
        let machine = &self.hosts[&target];
        let stale = machine.epoch != receiver_epoch;
        if cut || !machine.up {
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
                    conn.break_side(1 - from);
                    conn.pipes[1 - from].wire.clear();
                    conn.pipes[from].unread_bytes = 0;
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

    pub(super) fn send(&mut self, id: ConnId, from: Side, segment: Segment, now: Duration) {
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

    pub(super) fn schedule(&mut self, due: Duration, event: Event) {
        self.next_id += 1;
        self.agenda.insert((due, self.next_id), event);
    }

    pub(super) fn forget_if_over(&mut self, id: ConnId) {
        let over = |conn: &Conn| {
            conn.peers.iter().all(|peer| !peer.open)
                && conn.pipes.iter().all(|pipe| pipe.wire.is_empty())
        };
        if self.conns.get(&id).is_some_and(over) {
            self.conns.remove(&id);
        }
    }

    pub(super) fn host_of(&self, ip: IpAddr) -> Option<HostId> {
        self.hosts.iter().find(|(_, host)| host.ip == ip).map(|(id, _)| *id)
    }

    /// The time a segment takes, and whether it is lost on the way.
    pub(super) fn sample(&mut self, from: HostId, to: HostId) -> (Duration, bool) {
        if from == to {
            return (self.rng.random_range(LOOPBACK), false);
        }
        let Self { ways, links, link, unevenness, rng, .. } = self;
        let new = || Way::new(links.get(&(from, to)).unwrap_or(link), *unevenness, rng, (from, to));
        let (mut delay, mut lost) = ways.entry((from, to)).or_insert_with(new).sample();
        if !self.troubles.is_empty() {
            let (later, gone) = self.suffer(from, to);
            delay += later;
            lost |= gone;
        }
        self.tally.count("lost_segment", u64::from(lost));
        (delay, lost)
    }
}
