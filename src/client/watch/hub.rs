//! The task behind a client's watchers: keeps one stream open while anybody watches.
//!
//! It decides nothing about events (that is the book's), only about streams: when to open one,
//! where, and what to do when it breaks. It ends when the client and all its watchers are gone.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::future::BoxFuture;
use reseed_proto::etcdserverpb::{WatchRequest, WatchResponse, watch_client::WatchClient};
use reseed_rt::task;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Response, Status, Streaming};

use super::book::{Book, Order};
use crate::{Error, channel::Channel, retry::Backoff};

/// Orders that wait for the hub before those who give them wait.
const COMMANDS_MAX: usize = 256;
/// Requests that wait for the stream.
const OUTBOUND_MAX: usize = 64;

/// What watchers tell the hub.
#[derive(Debug)]
pub(crate) enum Command {
    Create(Order),
    Resume(u64),
    Drop(u64),
    Progress,
}

/// A client's end of the hub; starts the task with the first watcher.
pub(crate) struct Hub {
    commands: mpsc::Sender<Command>,
    idle: Mutex<Option<(mpsc::Receiver<Command>, Arc<Channel>)>>,
    last_key: AtomicU64,
}

impl Hub {
    pub(crate) fn new(channel: Arc<Channel>) -> Self {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let idle = Mutex::new(Some((receiver, channel)));
        Self { commands, idle, last_key: AtomicU64::new(0) }
    }

    /// A name for a new watcher.
    pub(crate) fn next_key(&self) -> u64 {
        self.last_key.fetch_add(1, Ordering::Relaxed)
    }

    /// A way to the running hub.
    pub(crate) fn commands(&self) -> mpsc::Sender<Command> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((commands, channel)) = idle {
            drop(task::spawn("client.watch", run(commands, channel)));
        }
        self.commands.clone()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

/// Why a stream is no more.
enum End {
    /// Nobody watches.
    Idle,
    /// Everybody is gone.
    Closed,
    Broken(Status),
}

async fn run(mut commands: mpsc::Receiver<Command>, channel: Arc<Channel>) {
    let mut book = Book::default();
    let mut backoff = Backoff::new(channel.len());
    loop {
        while book.is_idle() {
            match commands.recv().await {
                Some(command) => carry_out(&mut book, command),
                None => return,
            }
        }
        let connection = channel.pick();
        let (requests, outbound) = mpsc::channel(OUTBOUND_MAX);
        let mut client = WatchClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
        let mut request = Request::new(ReceiverStream::new(outbound));
        // A member that hears nobody would be silent for ever: it is to say so (etcd's
        // `WithRequireLeader`), and the next endpoint is asked.
        request.metadata_mut().insert("hasleader", AsciiMetadataValue::from_static("true"));
        let opening = async move { client.watch(request).await };
        let mut stream = Stream { requests, inbound: Inbound::Opening(Box::pin(opening)) };
        book.restart();
        match drive(&mut book, &mut commands, &mut stream).await {
            End::Idle => {}
            End::Closed => return,
            End::Broken(status) => {
                tracing::debug!(endpoint = connection.endpoint(), %status, "watch stream broke");
                channel.avoid(&connection);
                if !may_mend(status.code()) {
                    book.fail(&Error::from(status));
                    continue;
                }
                if matches!(stream.inbound, Inbound::Open(_)) {
                    backoff = Backoff::new(channel.len());
                }
                backoff.pause().await;
            }
        }
    }
}

/// Would another stream fare better?
fn may_mend(code: Code) -> bool {
    !matches!(
        code,
        Code::InvalidArgument
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
            | Code::FailedPrecondition
    )
}

struct Stream {
    requests: mpsc::Sender<WatchRequest>,
    inbound: Inbound,
}

type Opening = BoxFuture<'static, Result<Response<Streaming<WatchResponse>>, Status>>;

/// A server may hold its first headers back until it has something to say, so requests must flow
/// while the stream is still opening.
enum Inbound {
    Opening(Opening),
    Open(Box<Streaming<WatchResponse>>),
}

impl Inbound {
    /// The next response. Cancel-safe.
    async fn next(&mut self) -> Result<WatchResponse, Status> {
        if let Self::Opening(opening) = self {
            *self = Self::Open(Box::new(opening.await?.into_inner()));
        }
        let Self::Open(responses) = self else { unreachable!("opened above") };
        match responses.message().await? {
            Some(response) => Ok(response),
            None => Err(Status::unavailable("the server ended the watch stream")),
        }
    }
}

async fn drive(
    book: &mut Book,
    commands: &mut mpsc::Receiver<Command>,
    stream: &mut Stream,
) -> End {
    let Stream { requests, inbound } = stream;
    loop {
        if book.is_idle() && !book.has_requests() {
            return End::Idle;
        }
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(command) => carry_out(book, command),
                None => return End::Closed,
            },
            permit = requests.reserve(), if book.has_requests() => match permit {
                Ok(permit) => permit.send(book.pop_request().expect("checked by the guard")),
                // Nobody reads requests any more; the stream itself says why.
                Err(_) => return End::Broken(last_words(inbound.next()).await),
            },
            response = inbound.next() => match response {
                Ok(response) => book.receive(response),
                Err(status) => return End::Broken(status),
            },
        }
    }
}

async fn last_words(next: impl Future<Output = Result<WatchResponse, Status>>) -> Status {
    match next.await {
        Err(status) => status,
        Ok(_) => Status::unavailable("the watch stream takes no more requests"),
    }
}

fn carry_out(book: &mut Book, command: Command) {
    match command {
        Command::Create(order) => book.add(order),
        Command::Resume(key) => book.resume(key),
        Command::Drop(key) => book.remove(key),
        Command::Progress => book.request_progress(),
    }
}
