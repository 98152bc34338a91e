//! What is wrong with the network at present: a list of troubles, each with an end.
//!
//! A trouble concerns segments from some machines to some, so that any number of them can overlap
//! and each be taken away again. It counts when a segment, a connection request or a reader felt
//! it.

use std::{collections::BTreeSet, io::ErrorKind, time::Duration};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Conn, ConnId, HostId, Latency, Network, Segment, Side};

/// Names a trouble while it lasts.
pub type TroubleId = u64;

/// Some machines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// These.
    Only(BTreeSet<HostId>),
    /// All others, present and future.
    AllBut(BTreeSet<HostId>),
}

impl Who {
    /// One machine.
    #[must_use]
    pub fn one(host: HostId) -> Self {
        Self::Only(BTreeSet::from([host]))
    }

    /// Is `host` among them?
    #[must_use]
    pub fn has(&self, host: HostId) -> bool {
        match self {
            Self::Only(hosts) => hosts.contains(&host),
            Self::AllBut(hosts) => !hosts.contains(&host),
        }
    }

    /// Everybody else.
    #[must_use]
    pub fn others(&self) -> Self {
        match self.clone() {
            Self::Only(hosts) => Self::AllBut(hosts),
            Self::AllBut(hosts) => Self::Only(hosts),
        }
    }
}

/// What is wrong.
#[derive(Clone, PartialEq, Debug)]
pub enum Trouble {
    /// Nothing gets from one to the other.
    Cut {
        /// From.
        from: Who,
        /// To.
        to: Who,
        /// The other way neither?
        both_ways: bool,
    },
    /// Segments from or to them are lost with this chance, and sent again.
    Lossy(Who, f64),
    /// Segments from or to them take longer, by up to this.
    Slow(Who, Duration),
    /// They read nothing from their sockets.
    Deaf(Who),
}

impl Trouble {
    fn cuts(&self, source: HostId, target: HostId) -> bool {
        let Self::Cut { from, to, both_ways } = self else { return false };
        let there = from.has(source) && to.has(target);
        there || *both_ways && from.has(target) && to.has(source)
    }
}

impl Network {
    /// Something is wrong from now on, counted as `kind`.
    pub fn begin(&mut self, trouble: Trouble, kind: &'static str) -> TroubleId {
        let token = self.tally.arm(kind);
        self.next_id += 1;
        self.troubles.insert(self.next_id, (trouble, token));
        self.next_id
    }

    /// It is over.
    pub fn end(&mut self, id: TroubleId) {
        if let Some((Trouble::Deaf(_), _)) = self.troubles.remove(&id) {
            self.wake_readers();
        }
    }

    /// Everything is over, and no connection is doomed any more.
    pub fn calm(&mut self) {
        self.troubles.clear();
        self.conns.values_mut().for_each(|conn| conn.doom = None);
        self.wake_readers();
    }

    /// At most `n` open connections of `who` will be reset, each in the middle of what one side
    /// writes next: three times out of four what `who` writes.
    pub fn doom(&mut self, who: &Who, n: u32, kind: &'static str) {
        let mut open = self.open_sides(who);
        for _ in 0..n {
            if open.is_empty() {
                return;
            }
            let (id, side) = open.swap_remove(self.rng.random_range(0..open.len()));
            let writer = if self.rng.random_ratio(3, 4) { side } else { 1 - side };
            let token = self.tally.arm(kind);
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.doom = Some((writer, token));
            }
        }
    }

    /// The machines of `who` forget their open connections. Their programs hear of it; the other
    /// sides do not, until they send something and get a reset. Returns how many were forgotten.
    pub fn forget(&mut self, who: &Who) -> usize {
        let open = self.open_sides(who);
        for (id, side) in &open {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.break_side(*side);
                conn.peers[*side].open = false;
            }
        }
        open.len()
    }

    /// Established connections with a side among `who`, and which side that is.
    fn open_sides(&self, who: &Who) -> Vec<(ConnId, Side)> {
        let established = |conn: &Conn| {
            conn.outcome == Some(Ok(()))
                && conn.peers.iter().all(|peer| peer.open && !peer.broken)
                && conn.doom.is_none()
        };
        let conns = self.conns.iter().filter(|(_, conn)| established(conn));
        let side = |conn: &Conn| (0..2).find(|side| who.has(conn.peers[*side].host));
        conns.filter_map(|(id, conn)| Some((*id, side(conn)?))).collect()
    }

    /// Does nothing get from one to the other now? Whoever asks has something to send.
    pub(super) fn is_cut(&mut self, from: HostId, to: HostId) -> bool {
        if self.troubles.is_empty() || from == to {
            return false;
        }
        let Self { troubles, tally, .. } = self;
        let mut cut = false;
        for (trouble, token) in troubles.values().filter(|(trouble, _)| trouble.cuts(from, to)) {
            debug_assert!(matches!(trouble, Trouble::Cut { .. }));
            tally.bite(*token);
            cut = true;
        }
        cut
    }

    /// What troubles add to a segment's time, and whether they lose it.
    pub(super) fn suffer(&mut self, from: HostId, to: HostId) -> (Duration, bool) {
        let (mut delay, mut lost) = (Duration::ZERO, false);
        let Self { troubles, tally, rng, .. } = self;
        for (trouble, token) in troubles.values() {
            match trouble {
                Trouble::Lossy(who, chance) if who.has(from) || who.has(to) => {
                    if rng.random_bool(*chance) {
                        lost = true;
                        tally.bite(*token);
                    }
                }
                Trouble::Slow(who, most) if who.has(from) || who.has(to) => {
                    delay += rng.random_range(Duration::ZERO..=*most);
                    tally.bite(*token);
                }
                Trouble::Cut { .. } | Trouble::Lossy(..) | Trouble::Slow(..) | Trouble::Deaf(_) => {
                }
            }
        }
        (delay, lost)
    }

    /// Does `host` read nothing now? Whoever asks has something for it.
    pub(super) fn is_deaf(&mut self, host: HostId) -> bool {
        let Self { troubles, tally, .. } = self;
        let deaf = |trouble: &Trouble| matches!(trouble, Trouble::Deaf(who) if who.has(host));
        let mut found = false;
        for (_, token) in troubles.values().filter(|(trouble, _)| deaf(trouble)) {
            tally.bite(*token);
            found = true;
        }
        found
    }

    /// If `side` is about to write what breaks its connection: how much of it still gets through.
    pub(super) fn break_off(&mut self, id: ConnId, side: Side, len: usize) -> Option<usize> {
        let conn = self.conns.get_mut(&id)?;
        let (_, token) = conn.doom.filter(|(writer, _)| *writer == side && len > 1)?;
        conn.doom = None;
        self.tally.bite(token);
        Some(self.rng.random_range(1..len))
    }

    /// A connection is reset in the middle of what `side` writes: the other side gets the
    /// beginning and the reset.
    pub(super) fn reset_midway(&mut self, id: ConnId, side: Side, now: Duration) -> ErrorKind {
        self.send(id, side, Segment::Reset, now);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.break_side(side);
        }
        ErrorKind::ConnectionReset
    }

    fn wake_readers(&mut self) {
        for conn in self.conns.values_mut() {
            for pipe in &mut conn.pipes {
                if let Some(reader) = pipe.reader.take() {
                    reader.wake();
                }
            }
        }
    }
}

impl Latency {
    /// The same, everything `factor` times as long.
    pub(super) fn times(&self, factor: f64) -> Self {
        let usual = self.usual.start.mul_f64(factor)..self.usual.end.mul_f64(factor);
        Self { usual, ..self.clone() }
    }

    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Duration {
        let most = self.usual.end;
        if self.tail_per_mille > 0 && rng.random_ratio(self.tail_per_mille.min(1000), 1000) {
            return rng.random_range(most..=most * self.tail_factor.max(1));
        }
        rng.random_range(self.usual.start..=most)
    }
}
