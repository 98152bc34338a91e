//! A stream with watches on it, opened again whenever it breaks.
//!
//! The owner turns it: each turn waits a little for a message and writes down what it means. A
//! stream that says nothing for long is given up, since its other end may have lost power, which
//! nobody hears. Watches have numbers of their own on each stream, so that a late message cannot
//! be taken for another watch's.

use std::{collections::BTreeMap, time::Duration};

use futures::stream::{self, StreamExt as _};
use reseed_proto::etcdserverpb::{
    WatchCancelRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    watch_client::WatchClient, watch_request::RequestUnion,
};
use reseed_rt::{clock, net::ChannelOptions};
use tokio::sync::mpsc;
use tonic::{Request, Status, Streaming, metadata::AsciiMetadataValue};

use super::Book;
use crate::{
    history::{WatchId, WatchSpec, WatchStep},
    workload::{
        Board, Scribe,
        client::{MESSAGE_BYTES_MAX, connection, options},
        coverage, translate,
    },
};

/// Requests that may wait to be sent.
const QUEUE_LEN: usize = 64;
/// Between a broken stream and the next.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two questions whether everything has been sent, when that is due.
const SETTLE_PAUSE: Duration = Duration::from_millis(500);
/// The watch id of answers that are about the whole stream.
const WHOLE_STREAM: i64 = -1;

/// How a client treats its stream.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// A stream that says nothing for this long is given up.
    pub(crate) silence_max: Duration,
    /// Flow-control window of the stream, bytes; nothing: the usual one.
    pub(crate) window_bytes: Option<u32>,
    /// Does a bookmark move the place to resume from?
    pub(crate) trusts_bookmarks: bool,
    /// Rather goes elsewhere than to wait at a member that has no leader.
    pub(crate) requires_leader: bool,
}

impl Default for Habits {
    fn default() -> Self {
        let silence_max = Duration::from_secs(5);
        Self { silence_max, window_bytes: None, trusts_bookmarks: true, requires_leader: false }
    }
}

/// What a turn brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// A message, for this watch.
    Step(WatchId, WatchStep),
    /// Nothing, so far.
    Idle,
    /// The stream broke, or could not be opened; the next turn opens another.
    Broken,
}

/// Watches on one stream.
#[derive(Debug)]
pub(crate) struct Tail {
    scribe: Scribe,
    board: Board,
    members: u32,
    member: u32,
    habits: Habits,
    books: BTreeMap<WatchId, Book>,
    open: Option<Open>,
    asked_at: Option<clock::Instant>,
}

#[derive(Debug)]
struct Open {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    /// Which watch a number on this stream belongs to.
    names: BTreeMap<i64, WatchId>,
    last_number: i64,
    heard_at: clock::Instant,
}

impl Tail {
    /// A stream without watches, to one of `members` members.
    #[must_use]
    pub(crate) fn new(scribe: Scribe, board: Board, members: u32, habits: Habits) -> Self {
        let members = members.max(1);
        let member = scribe.client() % members;
        let (books, open, asked_at) = (BTreeMap::new(), None, None);
        Self { scribe, board, members, member, habits, books, open, asked_at }
    }

    /// Watches for `spec` too; what it is called.
    pub(crate) fn add(&mut self, spec: WatchSpec) -> WatchId {
        let id = self.scribe.next_watch();
        let book = Book::new(id, spec, self.habits.trusts_bookmarks);
        self.board.watch_complete_to(self.scribe.client(), id, book.complete_to());
        if let Some(open) = &mut self.open {
            let request = open.create(&book);
            self.scribe.note_watch(self.member, id, WatchStep::Open { spec: book.spec() });
            self.tell(request);
        }
        self.books.insert(id, book);
        id
    }

    /// Wants no more of `id`.
    pub(crate) fn cancel(&mut self, id: WatchId) {
        if self.books.remove(&id).is_none() {
            return;
        }
        self.scribe.note_watch(self.member, id, WatchStep::Closed);
        self.board.watch_ended(id);
        let Some(open) = &mut self.open else { return };
        let number = open.names.iter().find(|(_, name)| **name == id).map(|(number, _)| *number);
        if let Some(number) = number {
            open.names.remove(&number);
            let cancel = WatchCancelRequest { watch_id: number };
            self.tell(RequestUnion::CancelRequest(cancel));
        }
    }

    /// Asks how far the server is; the answer, if any, is a step of each watch.
    pub(crate) fn ask_progress(&mut self) {
        if self.open.is_some() {
            self.board.sent(coverage::PROGRESS_REQUEST);
            self.tell(RequestUnion::ProgressRequest(WatchProgressRequest {}));
        }
    }

    /// What is watched.
    pub(crate) fn books(&self) -> impl Iterator<Item = &Book> {
        self.books.values()
    }

    /// Waits for `limit` at most for something to happen.
    pub(crate) async fn turn(&mut self, limit: Duration) -> Turn {
        if self.books.is_empty() {
            clock::sleep(limit).await;
            return Turn::Idle;
        }
        self.prove_completeness();
        let Some(open) = &mut self.open else {
            return self.reopen().await;
        };
        let message = match clock::timeout(limit, open.answers.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return self.broke("the stream ended").await,
            Ok(Err(status)) => {
                return self.broke(&format!("{:?}: {}", status.code(), status.message())).await;
            }
            Err(_) if open.heard_at.elapsed() > self.habits.silence_max => {
                return self.broke("the stream is silent").await;
            }
            Err(_) => return Turn::Idle,
        };
        open.heard_at = clock::Instant::now();
        self.understand(&message)
    }

    /// Once the load is over, watches have to say that they have seen everything. Those that want
    /// nothing but a future that will not come are given up: as long as one of them is on the
    /// stream, the server says nothing (as etcd does not, `progressIfSync`).
    fn prove_completeness(&mut self) {
        let Some(target) = self.board.settle_at() else { return };
        if self.books().all(|book| book.complete_to() >= target)
            || self.asked_at.is_some_and(|asked| asked.elapsed() < SETTLE_PAUSE)
        {
            return;
        }
        let future = self.books().filter(|book| book.next() > target).map(|book| book.id);
        for id in future.collect::<Vec<_>>() {
            self.cancel(id);
        }
        self.asked_at = Some(clock::Instant::now());
        self.ask_progress();
    }

    fn understand(&mut self, message: &WatchResponse) -> Turn {
        let Some(open) = &mut self.open else { return Turn::Idle };
        if message.watch_id == WHOLE_STREAM && !message.canceled {
            return self.bookmark_all(translate::revision(message.header.as_ref()));
        }
        // Of a watch that was canceled, there may still be something on the way.
        let Some(id) = open.names.get(&message.watch_id).copied() else { return Turn::Idle };
        let Some(book) = self.books.get_mut(&id) else { return Turn::Idle };
        let step = book.learn(message);
        self.board.watch_complete_to(self.scribe.client(), id, book.complete_to());
        self.scribe.note_watch(self.member, id, step.clone());
        if matches!(step, WatchStep::Canceled { .. }) {
            open.names.remove(&message.watch_id);
            self.books.remove(&id);
            self.board.watch_ended(id);
        }
        Turn::Step(id, step)
    }

    fn bookmark_all(&mut self, revision: i64) -> Turn {
        let mut turn = Turn::Idle;
        for (id, book) in &mut self.books {
            let step = book.bookmark(revision);
            self.board.watch_complete_to(self.scribe.client(), *id, book.complete_to());
            self.scribe.note_watch(self.member, *id, step.clone());
            turn = Turn::Step(*id, step);
        }
        turn
    }

    async fn reopen(&mut self) -> Turn {
        let (requests, waiting) = mpsc::channel(QUEUE_LEN);
        let mut names = BTreeMap::new();
        let mut first = Vec::new();
        for (number, book) in (1..).zip(self.books.values()) {
            names.insert(number, book.id);
            first.push(RequestUnion::CreateRequest(translate::create(&book.spec(), number)));
            self.scribe.note_watch(self.member, book.id, WatchStep::Open { spec: book.spec() });
        }
        let last_number = i64::try_from(first.len()).unwrap_or(i64::MAX);
        let first = first.into_iter().map(|union| WatchRequest { request_union: Some(union) });
        let waiting = stream::unfold(waiting, |mut waiting| async {
            let next = waiting.recv().await?;
            Some((next, waiting))
        });
        let all = stream::iter(first.collect::<Vec<_>>()).chain(waiting);
        let channel = connection(self.member, self.channel_options());
        let mut client = WatchClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut request = Request::new(all);
        if self.habits.requires_leader {
            request.metadata_mut().insert("hasleader", AsciiMetadataValue::from_static("true"));
        }
        let answered = clock::timeout(self.habits.silence_max, client.watch(request)).await;
        match answered.unwrap_or_else(|elapsed| Err(Status::unavailable(elapsed.to_string()))) {
            Ok(answers) => {
                let (answers, heard_at) = (answers.into_inner(), clock::Instant::now());
                self.open = Some(Open { requests, answers, names, last_number, heard_at });
                Turn::Idle
            }
            Err(status) => self.broke(&format!("{:?}: {}", status.code(), status.message())).await,
        }
    }

    fn channel_options(&self) -> ChannelOptions {
        let usual = options();
        let bytes = self.habits.window_bytes;
        ChannelOptions {
            stream_window_bytes: bytes.unwrap_or(usual.stream_window_bytes),
            connection_window_bytes: bytes.unwrap_or(usual.connection_window_bytes),
            ..usual
        }
    }

    async fn broke(&mut self, error: &str) -> Turn {
        self.open = None;
        for id in self.books.keys() {
            let step = WatchStep::Broken { error: error.to_owned() };
            self.scribe.note_watch(self.member, *id, step);
        }
        self.member = (self.member + 1) % self.members;
        clock::sleep(PAUSE).await;
        Turn::Broken
    }

    /// Sends a request, unless so many wait that the stream must be stuck: then it breaks by its
    /// silence, and what is lost is asked for again.
    fn tell(&mut self, union: RequestUnion) {
        let Some(open) = &self.open else { return };
        let request = WatchRequest { request_union: Some(union) };
        if open.requests.try_send(request).is_err() {
            tracing::debug!("a watch stream takes no more requests");
        }
    }
}

impl Open {
    /// The request for a watch on this stream, under a new number.
    fn create(&mut self, book: &Book) -> RequestUnion {
        self.last_number += 1;
        self.names.insert(self.last_number, book.id);
        RequestUnion::CreateRequest(translate::create(&book.spec(), self.last_number))
    }
}
