//! How news reach the hub: the queue from apply, and what must not need room in a queue.
//!
//! Apply offers each revision and goes on. What the queue does not take is not lost: `missed` keeps
//! the highest such revision, and the hub lets everybody who wanted it read history. A stream that
//! has room again, or has ended, says so through a list that holds at most two signals per stream.
//!
//! While there are no watchers, apply does not even try. Nothing falls between the two: apply
//! publishes while it holds the machine's write lock, and the hub first sets `watched` and then
//! reads the revision under the machine's read lock. If apply saw `watched` unset for some
//! revision, that read comes later and covers it, and a group without watchers starts from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use reseed_core::mvcc::RevisionEvents;
use reseed_proto::mvccpb;
use reseed_rt::chan::{self, Receiver, Sender};
use tokio::sync::Notify;

/// Revisions that may wait for the hub.
pub(crate) const QUEUE_MAX: usize = 4096;
/// Bytes of events that may wait for the hub.
pub(crate) const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A watch stream of this member, counted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(crate) u64);

/// What a stream has to say that must never wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Its outbox, which had refused something, is half empty again.
    Room(StreamId),
    /// Nobody reads it any more.
    Closed(StreamId),
}

#[derive(Debug, Default)]
struct Shared {
    watched: AtomicBool,
    /// The highest revision the queue did not take, 0 = none.
    missed: AtomicI64,
    queued_bytes: AtomicUsize,
    signals: Mutex<Vec<Signal>>,
    wake: Notify,
}

#[derive(Debug)]
struct Parcel {
    news: RevisionEvents,
    bytes: usize,
}

/// The end apply holds.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    queue: Sender<Parcel>,
    shared: Arc<Shared>,
}

/// The end streams hold.
#[derive(Clone, Debug)]
pub(crate) struct Signals(Arc<Shared>);

/// The end the hub holds.
#[derive(Debug)]
pub(crate) struct Feed {
    queue: Receiver<Parcel>,
    shared: Arc<Shared>,
}

/// A feed and its other ends.
pub(crate) fn open() -> (Publisher, Signals, Feed) {
    let (sender, receiver) = chan::bounded("watch", QUEUE_MAX);
    let shared = Arc::new(Shared::default());
    let publisher = Publisher { queue: sender, shared: Arc::clone(&shared) };
    (publisher, Signals(Arc::clone(&shared)), Feed { queue: receiver, shared })
}

impl Publisher {
    /// Tells watchers what happened at `revision`. Never waits.
    ///
    /// To be called once for each revision, in order, after its changes can be read from the
    /// backend, and while the machine's write lock is held.
    pub(crate) fn publish(&self, revision: i64, events: Vec<mvccpb::Event>) {
        if !self.shared.watched.load(Ordering::SeqCst) {
            return;
        }
        let bytes = events.iter().map(prost::Message::encoded_len).sum();
        let queued = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let parcel = Parcel { news: RevisionEvents { revision, events }, bytes };
        if queued > QUEUE_BYTES_MAX || self.queue.try_send(parcel).is_err() {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.missed(revision);
        }
    }

    /// Watchers have to read everything up to `revision` for themselves. Never waits; to be called
    /// while the machine's write lock is held.
    pub(crate) fn missed(&self, revision: i64) {
        self.shared.missed.fetch_max(revision, Ordering::SeqCst);
        self.shared.wake.notify_one();
    }
}

impl Signals {
    /// Says something to the hub. Each stream has at most one signal of each kind under way.
    pub(crate) fn send(&self, signal: Signal) {
        self.0.signals.lock().push(signal);
        self.0.wake.notify_one();
    }
}

impl Feed {
    /// From now on apply publishes, or need not.
    pub(crate) fn set_watched(&self, watched: bool) {
        self.shared.watched.store(watched, Ordering::SeqCst);
    }

    /// Waits until something may be there; `false` once apply is gone. Cancel-safe: what it took
    /// is in `into`.
    pub(crate) async fn wait(&mut self, into: &mut Vec<RevisionEvents>) -> bool {
        tokio::select! {
            biased;
            parcel = self.queue.recv() => match parcel {
                Some(parcel) => {
                    into.push(unpack(&self.shared, parcel));
                    true
                }
                None => false,
            },
            () = self.shared.wake.notified() => true,
        }
    }

    /// Takes what is queued, up to the capacity of the queue.
    pub(crate) fn take_news(&mut self, into: &mut Vec<RevisionEvents>) {
        for _ in 0..QUEUE_MAX {
            let Ok(parcel) = self.queue.try_recv() else { return };
            into.push(unpack(&self.shared, parcel));
        }
    }

    /// The highest revision that was not queued since the last call, 0 = none.
    pub(crate) fn take_missed(&self) -> i64 {
        self.shared.missed.swap(0, Ordering::SeqCst)
    }

    /// What streams have said since the last call.
    pub(crate) fn take_signals(&self) -> Vec<Signal> {
        std::mem::take(&mut *self.shared.signals.lock())
    }
}

fn unpack(shared: &Shared, parcel: Parcel) -> RevisionEvents {
    shared.queued_bytes.fetch_sub(parcel.bytes, Ordering::Relaxed);
    parcel.news
}
