//! What waits for one client to read it: bounded, and never waited for.
//!
//! The hub puts answers and events in, in the order in which the client must see them; the stream
//! takes them out as fast as the connection allows. Events are refused when the outbox is full, and
//! the watcher falls back to history. Answers to requests always have room: they are bounded from
//! the other side, the next request is not read before there is room for its answer.
//!
//! Bytes are counted as they are encoded, though keys and values are shared with other outboxes:
//! the bound is what the client has yet to read, not memory to the byte.

use std::collections::VecDeque;

use parking_lot::Mutex;
use reseed_core::watch::Delivery;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_rt::buggify::{self, Point};
use reseed_rt::probe::{self, Probe};
use tokio::sync::Notify;
use tonic::Status;

/// Items an outbox holds before it refuses events; etcd: 128 per stream, but a stream with ten
/// thousand watchers of one key gets ten thousand at once.
pub(crate) const ITEMS_MAX: usize = 4096;
/// Bytes of events an outbox holds before it refuses more.
pub(crate) const BYTES_MAX: usize = 4 * 1024 * 1024;
/// The same, where the simulator wants slow watchers soon.
const BYTES_MAX_SMALL: usize = 2 * 1024;
/// Answers that may wait before the stream reads no further request.
pub(crate) const ANSWERS_MAX: usize = 256;

/// How a watcher wants its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// Each with the pair it replaced.
    pub(crate) prev_kv: bool,
    /// In fragments, where they are too large for one message.
    pub(crate) fragment: bool,
}

/// One thing to send.
#[derive(Debug)]
pub(crate) enum Item {
    /// An answer, or a progress notification.
    Answer(pb::WatchResponse),
    /// Events of one watcher.
    Events {
        /// Which, by the client's name for it.
        watch_id: i64,
        /// How.
        wishes: Wishes,
        /// What.
        delivery: Delivery,
    },
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Item>,
    bytes: usize,
    bytes_max: usize,
    answers: usize,
    /// Something was refused since there was last room.
    refused: bool,
    /// Nobody reads any more.
    closed: bool,
    /// How the stream ends, before anything that still waits.
    end: Option<Status>,
}

/// The queue between the hub and one stream.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    filled: Notify,
    answered: Notify,
}

impl Default for Outbox {
    fn default() -> Self {
        let small = buggify::point(Point::WatchSmallOutbox);
        let bytes_max = if small { BYTES_MAX_SMALL } else { BYTES_MAX };
        let inner = Mutex::new(Inner { bytes_max, ..Inner::default() });
        Self { inner, filled: Notify::new(), answered: Notify::new() }
    }
}

/// What the stream has to do next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Send this; if `room`, tell the hub that there is room again.
    Send {
        /// What.
        item: Item,
        /// Whether the hub waits to hear of room.
        room: bool,
    },
    /// End with this status.
    End(Status),
}

impl Outbox {
    /// Adds an answer.
    pub(crate) fn answer(&self, response: pb::WatchResponse) {
        let mut inner = self.inner.lock();
        if inner.closed {
            return;
        }
        let compacted = response.compact_revision != 0;
        let progress = !(response.created || response.canceled || response.watch_id < 0);
        probe::hit_if(compacted, Probe::WatchCompacted);
        probe::hit_if(progress, Probe::WatchProgress);
        inner.answers += 1;
        inner.items.push_back(Item::Answer(response));
        drop(inner);
        self.filled.notify_one();
    }

    /// Adds events; `false` if there is no room.
    pub(crate) fn offer(&self, watch_id: i64, wishes: Wishes, delivery: Delivery) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed {
            return true; // The watcher is about to be removed; let it not linger as a victim.
        }
        let full = inner.items.len() - inner.answers >= ITEMS_MAX || inner.bytes >= inner.bytes_max;
        // Only what is taken out tells of room again: an empty outbox is never full.
        let early = || !inner.items.is_empty() && buggify::point(Point::WatchOutboxFull);
        if full || early() {
            probe::hit(Probe::WatchVictim);
            inner.refused = true;
            return false;
        }
        inner.bytes += delivery.bytes;
        inner.items.push_back(Item::Events { watch_id, wishes, delivery });
        drop(inner);
        self.filled.notify_one();
        true
    }

    /// Ends the stream with a status as soon as it asks for more.
    pub(crate) fn end(&self, status: Status) {
        self.inner.lock().end.get_or_insert(status);
        self.filled.notify_one();
    }

    /// Nobody will read this any more.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        *inner = Inner { closed: true, ..Inner::default() };
        drop(inner);
        self.answered.notify_one();
    }

    /// Whether nobody will read this any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Whether an idle watcher may be told of progress: only if nothing waits to be read before.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.lock().items.is_empty()
    }

    /// Events that wait.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    /// Waits for something to do; there is one stream only that asks. Cancel-safe.
    pub(crate) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.filled.notified().await;
        }
    }

    fn try_next(&self) -> Option<Next> {
        let mut inner = self.inner.lock();
        if let Some(status) = inner.end.take() {
            return Some(Next::End(status));
        }
        let item = inner.items.pop_front()?;
        match &item {
            Item::Answer(_) => {
                inner.answers -= 1;
                self.answered.notify_one();
            }
            Item::Events { delivery, .. } => inner.bytes -= delivery.bytes,
        }
        let half_empty = inner.items.len() <= ITEMS_MAX / 2 && inner.bytes <= inner.bytes_max / 2;
        let missed = planted::on(Bug::RoomMissed) && inner.items.len() != ITEMS_MAX / 2;
        let room = inner.refused && half_empty && !missed;
        inner.refused &= !room;
        Some(Next::Send { item, room })
    }

    /// Waits until another request may be read: its answer will have room.
    pub(crate) async fn room_for_answer(&self) {
        while !self.has_room_for_answer() {
            self.answered.notified().await;
        }
    }

    fn has_room_for_answer(&self) -> bool {
        let inner = self.inner.lock();
        inner.closed || inner.answers < ANSWERS_MAX
    }
}
