//! What every watcher of a stream has seen and is owed. Pure: responses and orders in, requests
//! and deliveries out; nothing here waits.
//!
//! A watcher is named by its key for its whole life and by a wire id for one stretch of it: each
//! time it is asked for, it gets an id never used before, so events of an earlier stretch that
//! are still on their way are recognised and dropped.
//!
//! ```text
//!            created              queue full
//!  Asked ───────────────▶ Live ───────────────▶ Lagging ── resumed ──▶ Asked
//!    ▲                      │
//!    └── stream broke ──────┘        cancelled by the server: told, then forgotten
//! ```
//!
//! Invariants: `next` is the first revision not yet delivered (0: not known, nothing seen); it
//! never falls; an event below it is never delivered, one at or above it never skipped.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb::{
    ResponseHeader, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest,
    WatchResponse, watch_request::RequestUnion,
};
use tokio::sync::{mpsc, mpsc::error::TrySendError, oneshot};

use super::WatchEvents;
use crate::Error;

type Queue = mpsc::Sender<Result<WatchEvents, Error>>;
type Ack = oneshot::Sender<Result<ResponseHeader, Error>>;

/// A new watcher.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) key: u64,
    pub(crate) request: WatchCreateRequest,
    pub(crate) queue: Queue,
    /// Raised when the queue is full; lowered by its owner.
    pub(crate) is_lagging: Arc<AtomicBool>,
    /// Told when the server has confirmed it, or never will.
    pub(crate) ack: Option<Ack>,
}

#[derive(Debug)]
struct Entry {
    order: Order,
    next: i64,
    state: State,
    /// Pieces of a fragmented response so far.
    partial: Vec<reseed_proto::mvccpb::Event>,
}

#[derive(Debug)]
enum State {
    Asked(i64),
    Live(i64),
    Lagging,
    /// Over, but the owner's queue had no room for the reason.
    Ending(Error),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: BTreeMap<u64, Entry>,
    keys_by_id: BTreeMap<i64, u64>,
    /// Asked for and not confirmed, in order: the server answers in order, and a refusal does not
    /// name the id it refuses.
    asked: VecDeque<i64>,
    last_id: i64,
    outbox: VecDeque<WatchRequest>,
}

impl Book {
    /// Is nobody watching, or owed anything by a stream?
    pub(crate) fn is_idle(&self) -> bool {
        self.keys_by_id.is_empty()
    }

    /// The next request to send.
    pub(crate) fn pop_request(&mut self) -> Option<WatchRequest> {
        self.outbox.pop_front()
    }

    pub(crate) fn has_requests(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// A new watcher wants its events.
    pub(crate) fn add(&mut self, order: Order) {
        let key = order.key;
        let next = order.request.start_revision;
        let entry = Entry { order, next, state: State::Lagging, partial: Vec::new() };
        assert!(self.entries.insert(key, entry).is_none(), "watcher key {key} was used twice");
        self.ask(key);
    }

    /// A watcher's owner has emptied its queue.
    pub(crate) fn resume(&mut self, key: u64) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match &entry.state {
            State::Asked(_) | State::Live(_) => {}
            State::Lagging => self.ask(key),
            State::Ending(reason) => {
                let reason = reason.clone();
                self.end(key, reason);
            }
        }
    }

    /// A watcher's owner is gone.
    pub(crate) fn remove(&mut self, key: u64) {
        if let Some(entry) = self.entries.remove(&key) {
            self.cancel(&entry.state);
        }
    }

    /// Somebody wants to know how far things are.
    pub(crate) fn request_progress(&mut self) {
        self.push(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    /// The stream is gone: what was asked of it must be asked of the next.
    pub(crate) fn restart(&mut self) {
        self.outbox.clear();
        self.asked.clear();
        let running: Vec<u64> = std::mem::take(&mut self.keys_by_id).into_values().collect();
        for key in running {
            if let Some(entry) = self.entries.get_mut(&key)
                && planted::on(Bug::ClientResumesTooLate)
                && entry.next > entry.order.request.start_revision
            {
                entry.next += 1;
            }
            self.ask(key);
        }
    }

    /// No stream will do: everybody who waits for one is told why.
    pub(crate) fn fail(&mut self, reason: &Error) {
        self.outbox.clear();
        self.asked.clear();
        for key in std::mem::take(&mut self.keys_by_id).into_values() {
            self.end(key, reason.clone());
        }
    }

    /// The server said something.
    pub(crate) fn receive(&mut self, response: WatchResponse) {
        if response.created {
            return self.receive_created(response);
        }
        if response.watch_id == -1 && !response.canceled {
            return self.receive_progress(&response.header.unwrap_or_default());
        }
        let Some(&key) = self.keys_by_id.get(&response.watch_id) else { return };
        if response.canceled {
            self.keys_by_id.remove(&response.watch_id);
            return self.end(key, reason_of(&response));
        }
        self.receive_events(key, response);
    }

    fn receive_created(&mut self, response: WatchResponse) {
        // A refusal comes with id -1, so the order of asking has to say whose it is.
        let Some(id) = self.asked.pop_front() else { return };
        let Some(&key) = self.keys_by_id.get(&id) else { return };
        if response.canceled {
            self.keys_by_id.remove(&id);
            return self.end(key, reason_of(&response));
        }
        let header = response.header.unwrap_or_default();
        let entry = self.entries.get_mut(&key).expect("an id leads to a watcher");
        entry.state = State::Live(id);
        if entry.next == 0 {
            entry.next = header.revision.saturating_add(1);
        }
        if let Some(ack) = entry.order.ack.take() {
            // Whoever asked may have given up: the watch then ends with its queue.
            drop(ack.send(Ok(header)));
        }
    }

    fn receive_progress(&mut self, header: &ResponseHeader) {
        let live: Vec<u64> = self.keys_by_id.values().copied().collect();
        for key in live {
            let is_live = matches!(self.entries.get(&key), Some(e) if e.state.is_live());
            if is_live {
                self.deliver(key, WatchEvents { header: *header, events: Vec::new() });
            }
        }
    }

    fn receive_events(&mut self, key: u64, response: WatchResponse) {
        let entry = self.entries.get_mut(&key).expect("an id leads to a watcher");
        entry.partial.extend(response.events);
        if response.fragment {
            return;
        }
        let mut events = std::mem::take(&mut entry.partial);
        let is_progress = events.is_empty();
        let next = entry.next;
        events.retain(|event| event.kv.as_ref().is_none_or(|kv| kv.mod_revision >= next));
        if is_progress || !events.is_empty() {
            self.deliver(key, WatchEvents { header: response.header.unwrap_or_default(), events });
        }
    }

    fn deliver(&mut self, key: u64, batch: WatchEvents) {
        let entry = self.entries.get_mut(&key).expect("only watchers are delivered to");
        let is_progress = batch.is_progress();
        let last = batch.events.last().and_then(|event| event.kv.as_ref());
        let seen = last.map_or(batch.header.revision, |kv| kv.mod_revision);
        match entry.order.queue.try_send(Ok(batch)) {
            Ok(()) => entry.next = entry.next.max(seen.saturating_add(1)),
            Err(TrySendError::Closed(_)) => self.remove(key),
            // Progress is not worth falling behind for: more of it will come.
            Err(TrySendError::Full(_)) if is_progress => {}
            Err(TrySendError::Full(_)) => {
                if planted::on(Bug::ClientSkipsWhenLagging) {
                    entry.next = seen.saturating_add(1);
                }
                let state = std::mem::replace(&mut entry.state, State::Lagging);
                entry.order.is_lagging.store(true, Ordering::SeqCst);
                self.cancel(&state);
            }
        }
    }

    /// Asks the server for a watcher's events from where it stands.
    fn ask(&mut self, key: u64) {
        let entry = self.entries.get_mut(&key).expect("only watchers are asked for");
        self.last_id += 1;
        let id = self.last_id;
        entry.state = State::Asked(id);
        entry.partial.clear();
        let mut request = entry.order.request.clone();
        if !planted::on(Bug::ClientResumesFromNow) {
            request.start_revision = entry.next;
        }
        request.watch_id = id;
        self.keys_by_id.insert(id, key);
        self.asked.push_back(id);
        self.push(RequestUnion::CreateRequest(request));
    }

    /// Tells the server to stop a stretch.
    fn cancel(&mut self, state: &State) {
        if let State::Asked(watch_id) | State::Live(watch_id) = *state {
            self.keys_by_id.remove(&watch_id);
            self.push(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
        }
    }

    /// Tells a watcher why it is over, at once or when there is room.
    fn end(&mut self, key: u64, reason: Error) {
        let Some(mut entry) = self.entries.remove(&key) else { return };
        if let Some(ack) = entry.order.ack.take() {
            drop(ack.send(Err(reason)));
            return;
        }
        if let Err(TrySendError::Full(_)) = entry.order.queue.try_send(Err(reason.clone())) {
            entry.order.is_lagging.store(true, Ordering::SeqCst);
            entry.state = State::Ending(reason);
            self.entries.insert(key, entry);
        }
    }

    fn push(&mut self, request: RequestUnion) {
        self.outbox.push_back(WatchRequest { request_union: Some(request) });
    }
}

impl State {
    fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

fn reason_of(response: &WatchResponse) -> Error {
    if response.compact_revision > 0 {
        return Error::WatchCompacted { compact_revision: response.compact_revision };
    }
    match response.cancel_reason.as_str() {
        "" => Error::WatchCanceled("etcdserver: watch canceled".into()),
        reason => Error::WatchCanceled(reason.to_owned()),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
