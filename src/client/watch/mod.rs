//! The Watch service: events in order, each once, across broken streams.
//!
//! Any number of [`Watcher`]s share one stream. Behind them a task, the hub (`hub.rs`), keeps the
//! stream open; what each watcher has seen is kept in a book (`book.rs`, no I/O). When the stream
//! breaks, the hub opens another one, at the next endpoint, and the book asks for every watcher's
//! events from the revision after the last it delivered: no gap, and what comes twice is dropped.
//! Streams require a leader: a member that is cut off from the others ends them.
//!
//! Memory is bounded without holding anybody up: a watcher whose queue is full is cancelled at the
//! server and asked for anew, from where it stands, once its owner has emptied the queue. The
//! price is reading that part of the history again; if it was compacted meanwhile, the watcher
//! ends with [`Error::WatchCompacted`], as it would have in etcd's client after a break.

mod book;
mod hub;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use reseed_proto::{
    etcdserverpb::{ResponseHeader, WatchCreateRequest, watch_create_request::FilterType},
    mvccpb::Event,
};
use reseed_rt::clock;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::hub::Hub;
use self::{book::Order, hub::Command};
use crate::{Client, Error, op};

/// Batches that wait for their owner before a watcher counts as lagging.
const QUEUE_BATCHES_MAX: usize = 64;

/// What to watch, and from when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch(WatchCreateRequest);

impl Watch {
    /// One key.
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self(WatchCreateRequest { key: key.into(), ..WatchCreateRequest::default() })
    }

    /// All keys in `[key, end)`.
    pub fn range(key: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        let (key, range_end) = (key.into(), end.into());
        Self(WatchCreateRequest { key, range_end, ..WatchCreateRequest::default() })
    }

    /// All keys starting with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let prefix = prefix.into();
        let end = op::prefix_end(&prefix);
        Self::range(prefix, end)
    }

    /// All keys from `key` on.
    pub fn from_key(key: impl Into<Bytes>) -> Self {
        Self::range(key, op::FROM_KEY_END)
    }

    /// From this revision on, itself included; 0 is from the next one.
    #[must_use]
    pub fn start_revision(mut self, revision: i64) -> Self {
        self.0.start_revision = revision;
        self
    }

    /// With each event, the pair as it was before.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.0.prev_kv = true;
        self
    }

    /// With an empty batch now and then while nothing happens.
    #[must_use]
    pub fn progress_notify(mut self) -> Self {
        self.0.progress_notify = true;
        self
    }

    /// Without puts.
    #[must_use]
    pub fn no_puts(mut self) -> Self {
        self.0.filters.push(FilterType::Noput.into());
        self
    }

    /// Without deletions.
    #[must_use]
    pub fn no_deletes(mut self) -> Self {
        self.0.filters.push(FilterType::Nodelete.into());
        self
    }

    /// Lets the server send a large batch in pieces. The watcher puts them together again, so
    /// this only helps with limits on the way.
    #[must_use]
    pub fn fragment(mut self) -> Self {
        self.0.fragment = true;
        self
    }
}

impl From<WatchCreateRequest> for Watch {
    fn from(request: WatchCreateRequest) -> Self {
        Self(request)
    }
}

/// One batch: all events of one or several revisions, or none to say how far things are.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchEvents {
    /// Its revision: everything up to there has been delivered, this batch included.
    pub header: ResponseHeader,
    /// In order of revision.
    pub events: Vec<Event>,
}

impl WatchEvents {
    /// Does it only say how far things are?
    #[must_use]
    pub fn is_progress(&self) -> bool {
        self.events.is_empty()
    }
}

impl Client {
    /// Starts to watch; returns once the server has confirmed it, so that nothing written from
    /// then on is missed.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Timeout`] if no server confirmed it in the request timeout.
    pub async fn watch(&self, watch: impl Into<Watch>) -> Result<Watcher, Error> {
        let (queue, events) = mpsc::channel(QUEUE_BATCHES_MAX);
        let (ack, confirmed) = oneshot::channel();
        let is_lagging = Arc::new(AtomicBool::new(false));
        let key = self.hub.next_key();
        let mut watcher = Watcher {
            key,
            created: ResponseHeader::default(),
            commands: self.hub.commands(),
            is_lagging: Arc::clone(&is_lagging),
            events,
            has_ended: false,
        };
        let request = watch.into().0;
        let order = Order { key, request, queue, is_lagging, ack: Some(ack) };
        watcher.tell(Command::Create(order)).await?;
        let confirmation = match self.request_timeout {
            None => confirmed.await,
            Some(limit) => clock::timeout(limit, confirmed).await.map_err(|_| Error::Timeout)?,
        };
        watcher.created = confirmation.map_err(|_| Error::Closed)??;
        Ok(watcher)
    }
}

/// Receives the events of one watch. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watcher {
    key: u64,
    created: ResponseHeader,
    commands: mpsc::Sender<Command>,
    is_lagging: Arc<AtomicBool>,
    events: mpsc::Receiver<Result<WatchEvents, Error>>,
    has_ended: bool,
}

impl Watcher {
    /// The header with which the server confirmed the watch; its revision is the last that a
    /// watch "from now" does not get.
    #[must_use]
    pub fn created(&self) -> &ResponseHeader {
        &self.created
    }

    /// The next batch; `None` after an error. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::WatchCompacted`] or [`Error::WatchCanceled`], or what no new stream can mend; the
    /// watch is then over.
    pub async fn next(&mut self) -> Option<Result<WatchEvents, Error>> {
        if self.has_ended {
            return None;
        }
        if self.events.is_empty() && self.is_lagging.load(Ordering::SeqCst) {
            let Ok(permit) = self.commands.reserve().await else {
                self.has_ended = true;
                return Some(Err(Error::Closed));
            };
            // Lowered before the hub can raise it again, and with no await in between.
            self.is_lagging.store(false, Ordering::SeqCst);
            permit.send(Command::Resume(self.key));
        }
        let batch = self.events.recv().await.unwrap_or(Err(Error::Closed));
        self.has_ended = batch.is_err();
        Some(batch)
    }

    /// Asks the server how far all watches of the client are; each gets an empty batch for an
    /// answer, unless the server has not caught up on one of them.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn request_progress(&self) -> Result<(), Error> {
        self.tell(Command::Progress).await
    }

    async fn tell(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| Error::Closed)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // If the hub is too busy to hear this, it will notice when it next delivers.
        drop(self.commands.try_send(Command::Drop(self.key)));
    }
}
