//! The two ends of one client's stream.
//!
//! [`Requests`] passes on what the client asks, one after the other, and reads no further while too
//! many answers wait. [`Responses`] takes from the outbox when the connection has room for more,
//! and does there what only this client should pay for: looking up previous values and cutting
//! fragments. Half-closing the request side leaves the responses running, as etcd does.

use std::collections::VecDeque;
use std::sync::Arc;

use reseed_core::error::Error;
use reseed_core::watch::{Delivery, fragments};
use reseed_planted::{self as planted, Bug};
use reseed_proto::{etcdserverpb as pb, mvccpb};
use reseed_rt::buggify::{self, Point};
use reseed_rt::chan::Sender;
use reseed_rt::probe::{self, Probe};
use reseed_rt::task;
use tonic::{Code, Status};

use super::feed::{Signal, Signals, StreamId};
use super::hub::{Ask, Command};
use super::outbox::{Item, Next, Outbox, Wishes};
use super::source::Source;
use crate::metrics::Metrics;

/// Size above which responses are fragmented where the simulator wants many fragments.
const FRAGMENT_BYTES_SMALL: usize = 512;
/// Previous values looked up before others get the thread.
const LOOKUPS_PER_TURN: usize = 128;

/// Takes what the client asks.
#[derive(Debug)]
pub(crate) struct Requests {
    stream: StreamId,
    outbox: Arc<Outbox>,
    commands: Sender<Command>,
}

impl Requests {
    pub(crate) fn new(stream: StreamId, outbox: Arc<Outbox>, commands: Sender<Command>) -> Self {
        Self { stream, outbox, commands }
    }

    /// Waits for room for the answer, then passes the request on.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the hub is gone.
    pub(crate) async fn send(&self, ask: Ask) -> Result<(), Error> {
        self.outbox.room_for_answer().await;
        let command = Command { stream: self.stream, ask };
        self.commands.send(command).await.map_err(|_closed| Error::Stopped)
    }

    /// Ends the whole stream with a status.
    pub(crate) fn end(&self, status: Status) {
        self.outbox.end(status);
    }
}

/// Gives what the client reads; dropped, the stream is over.
#[derive(Debug)]
pub(crate) struct Responses {
    stream: StreamId,
    outbox: Arc<Outbox>,
    signals: Signals,
    source: Arc<dyn Source>,
    metrics: Arc<Metrics>,
    fragment_bytes: usize,
    /// What is left of a response that was cut.
    parts: VecDeque<pb::WatchResponse>,
}

impl Drop for Responses {
    fn drop(&mut self) {
        self.outbox.close();
        self.signals.send(Signal::Closed(self.stream));
    }
}

impl Responses {
    pub(crate) fn new(
        stream: StreamId,
        outbox: Arc<Outbox>,
        signals: Signals,
        (source, metrics): (Arc<dyn Source>, Arc<Metrics>),
        fragment_bytes: usize,
    ) -> Self {
        let parts = VecDeque::new();
        let small = buggify::point(Point::WatchSmallFragments);
        let fragment_bytes = if small { FRAGMENT_BYTES_SMALL } else { fragment_bytes };
        Self { stream, outbox, signals, source, metrics, fragment_bytes, parts }
    }

    /// The next response, or how the stream ends.
    ///
    /// # Errors
    /// The status that ends the stream.
    pub(crate) async fn next(&mut self) -> Result<pb::WatchResponse, Status> {
        if let Some(part) = self.parts.pop_front() {
            return Ok(part);
        }
        let (item, room) = match self.outbox.next().await {
            Next::Send { item, room } => (item, room),
            Next::End(status) => return Err(status),
        };
        if room {
            self.signals.send(Signal::Room(self.stream));
        }
        match item {
            Item::Answer(response) => Ok(response),
            Item::Events { watch_id, wishes, delivery } => {
                let response = self.respond(watch_id, wishes, delivery).await;
                // The member stops: what it cannot complete, it must not send.
                response.map_err(|error| Status::new(Code::Unavailable, error.to_string()))
            }
        }
    }

    /// Bytes of events that wait to be read.
    #[cfg(test)]
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    async fn respond(
        &mut self,
        watch_id: i64,
        wishes: Wishes,
        delivery: Delivery,
    ) -> Result<pb::WatchResponse, Error> {
        let Delivery { events, through, .. } = delivery;
        let mut events: Vec<_> = events.into_iter().map(Arc::unwrap_or_clone).collect();
        self.metrics.events_total.inc_by(u64::try_from(events.len()).unwrap_or(u64::MAX));
        if wishes.prev_kv {
            self.look_up_previous(&mut events).await.map_err(|_broken| Error::Stopped)?;
        }
        let header = Some(self.source.header_at(through));
        let response = pb::WatchResponse { header, watch_id, events, ..Default::default() };
        if !wishes.fragment {
            return Ok(response);
        }
        self.parts.extend(fragments(response, self.fragment_bytes));
        let first = self.parts.pop_front().expect("a response has at least one part");
        probe::hit_if(!self.parts.is_empty(), Probe::WatchFragment);
        Ok(first)
    }

    /// Adds the pairs that the events replaced; one that compaction has removed stays absent.
    async fn look_up_previous(&self, events: &mut [mvccpb::Event]) -> Result<(), Error> {
        for chunk in events.chunks_mut(LOOKUPS_PER_TURN) {
            for event in &mut *chunk {
                let Some(kv) = &event.kv else { continue };
                let is_first = planted::on(Bug::DeletesLackPrevious) && kv.version <= 1;
                if kv.create_revision == kv.mod_revision || is_first {
                    continue; // There was nothing before.
                }
                event.prev_kv = self.source.pair_at(&kv.key, kv.mod_revision - 1)?;
            }
            if chunk.len() == LOOKUPS_PER_TURN {
                task::yield_now().await;
            }
        }
        Ok(())
    }
}
