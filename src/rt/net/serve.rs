//! One port, gRPC and plain HTTP: the accept loop and the life of a connection.
//!
//! ```text
//! accept --permit--> lane: connection task: hyper (HTTP/1 or h2c) -> deadline -> service
//!    | stop                | stop: GOAWAY, finish what runs
//!    v                     v drain bound passed: dropped
//!  closed              closed
//! ```
//!
//! There is no router and no layer stack here: the service sees hyper's request as it came, and
//! its response goes out as it is, so that a request costs no allocation beyond what hyper and the
//! service need. What a client can use up is bounded by [`ServeOptions`]. A service may turn a
//! connection of HTTP/1.1 into one of another protocol (`upgrade.rs`).

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

pub use super::deadline::ServeBody;
use super::{
    Exec, Listener, Stream, Timer,
    deadline::{Timed, requested},
    lanes::Lanes,
    opened::{Opened, Traffic},
};
use crate::{clock, task::Stop};

/// How long the loop waits after a failed accept: out of files passes only when one closes.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// What a server of [`serve`] allows. The defaults suit a member's client port.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Threads that serve, each its own connections; 0: the caller's runtime does.
    pub threads: usize,
    /// Streams one HTTP/2 connection may have open; `None`: as many as it likes.
    pub streams_max: Option<u32>,
    /// Connections open at once; more wait in the listener's backlog.
    pub connections_max: usize,
    /// Bytes of one request's headers.
    pub header_bytes_max: u32,
    /// Flow-control window of one HTTP/2 stream, bytes.
    pub stream_window_bytes: u32,
    /// Flow-control window of one HTTP/2 connection, bytes.
    pub connection_window_bytes: u32,
    /// A silent HTTP/2 connection is pinged after this; `None`: never. gRPC servers use 2 h.
    pub keepalive_interval: Option<Duration>,
    /// A ping unanswered for this long closes the connection.
    pub keepalive_timeout: Duration,
    /// A client must begin to speak within this, and one of HTTP/1 finish its headers.
    pub header_read_timeout: Duration,
    /// After a stop, running requests have this long.
    pub drain_timeout: Duration,
    /// Where bytes are counted, if anywhere.
    pub traffic: Option<Arc<Traffic>>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            streams_max: None,
            connections_max: 16_384,
            header_bytes_max: 64 * 1024,
            stream_window_bytes: 1024 * 1024,
            connection_window_bytes: 4 * 1024 * 1024,
            keepalive_interval: Some(Duration::from_secs(2 * 3600)),
            keepalive_timeout: Duration::from_secs(20),
            header_read_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
            traffic: None,
        }
    }
}

/// Serves `service` to everyone who connects, until `stop`; then refuses new connections, lets
/// running requests end within the drain timeout, and returns.
///
/// The service is cloned per request and must always be ready: `poll_ready` is not asked.
pub async fn serve<S, B>(listener: Listener, service: S, options: ServeOptions, stop: Stop)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let builder = Arc::new(builder(&options));
    let phase = Arc::new(Phase::default());
    let room = Arc::new(Semaphore::new(options.connections_max));
    // Lives until every connection has ended.
    let mut lanes = Lanes::start(options.threads);
    loop {
        let accepted = stop.run_until_cancelled(accept(&listener, &room)).await;
        let Some((stream, peer, permit)) = accepted else { break };
        tracing::trace!(%peer, "connection");
        let place = Place { _permit: Arc::new(permit), phase: phase.clone() };
        let service = PerConnection { service: service.clone(), place };
        let (builder, phase, options) = (builder.clone(), phase.clone(), options.clone());
        lanes
            .run(async move {
                match stream.rehome() {
                    Ok(stream) => connection(builder, stream, service, phase, options).await,
                    Err(error) => tracing::warn!(%error, "cannot serve a connection"),
                }
            })
            .await;
    }
    drop(listener);
    phase.enter(Phase::DRAIN);
    let all = u32::try_from(options.connections_max).unwrap_or(u32::MAX);
    if clock::timeout(options.drain_timeout, room.acquire_many(all)).await.is_err() {
        phase.enter(Phase::KILL);
        // Dropping a connection needs no waiting: this ends as soon as each task has run once.
        drop(room.acquire_many(all).await);
    }
    lanes.end().await;
}

/// The next connection for which there is room.
async fn accept(
    listener: &Listener,
    room: &Arc<Semaphore>,
) -> (Stream, std::net::SocketAddr, OwnedSemaphorePermit) {
    let permit = room.clone().acquire_owned().await.expect("this semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection, trying again");
                clock::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn builder(options: &ServeOptions) -> auto::Builder<Exec> {
    let mut builder = auto::Builder::new(Exec);
    builder
        .http1()
        .timer(Timer)
        .header_read_timeout(options.header_read_timeout)
        .max_buf_size((options.header_bytes_max as usize).max(8192));
    builder
        .http2()
        .timer(Timer)
        .adaptive_window(false)
        // gRPC has no use for it, and etcd does not send it.
        .auto_date_header(false)
        .initial_stream_window_size(options.stream_window_bytes)
        .initial_connection_window_size(options.connection_window_bytes)
        .max_concurrent_streams(options.streams_max)
        .max_header_list_size(options.header_bytes_max)
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout);
    builder
}

/// Serves one connection to its end.
async fn connection<S, B>(
    builder: Arc<auto::Builder<Exec>>,
    stream: Stream,
    service: PerConnection<S>,
    phase: Arc<Phase>,
    options: ServeOptions,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limit = options.header_read_timeout;
    let opening = Opened::after(stream, limit, options.traffic);
    let opening = phase.drain.run_until_cancelled(opening).await;
    let stream = match opening {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => {
            tracing::debug!(%error, "connection said nothing");
            return;
        }
        None => return,
    };
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut drain = pin!(phase.drain.cancelled());
    let mut kill = pin!(phase.kill.cancelled());
    let mut seen = None;
    // The tokens only wake this task, and are polled only when the phase has changed (and once in
    // the beginning): a connection is polled for every frame, and all connections share them.
    poll_fn(|cx| {
        let now = phase.now();
        if seen != Some(now) {
            if now == Phase::KILL {
                return Poll::Ready(());
            }
            if now == Phase::DRAIN {
                serving.as_mut().graceful_shutdown();
            }
            seen = Some(now);
            let _woken_later = (drain.as_mut().poll(cx), kill.as_mut().poll(cx));
        }
        serving.as_mut().poll(cx).map(|result| {
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
        })
    })
    .await;
}

/// Where the server is between serving and gone; readable without a lock.
#[derive(Default)]
struct Phase {
    at: AtomicU8,
    drain: Stop,
    kill: Stop,
}

impl Phase {
    const DRAIN: u8 = 1;
    const KILL: u8 = 2;

    fn now(&self) -> u8 {
        self.at.load(Ordering::Acquire)
    }

    fn enter(&self, phase: u8) {
        self.at.store(phase, Ordering::Release);
        let token = if phase == Self::DRAIN { &self.drain } else { &self.kill };
        token.cancel();
    }
}

/// A place among the connections of a server, which does not end before all are given back.
#[derive(Clone)]
pub(super) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
    phase: Arc<Phase>,
}

impl Place {
    /// Does `work`, or what of it is done when the server stops.
    pub(super) async fn until_stop(self, work: impl Future<Output = ()>) {
        // Whether it came to its end is the same to the server.
        let _whole = self.phase.drain.run_until_cancelled(work).await;
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

/// A connection's view of the service.
struct PerConnection<S> {
    service: S,
    place: Place,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for PerConnection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<ServeBody<B>>;
    type Error = Infallible;
    type Future = Timed<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let limit = requested(request.headers());
        if request.headers().contains_key(http::header::UPGRADE) {
            request.extensions_mut().insert(self.place.clone());
        }
        Timed::new(self.service.clone().call(request), limit)
    }
}
