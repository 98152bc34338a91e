//! From an HTTP request to the service that answers it: gRPC by path, everything else to the plain
//! HTTP pages on the same port.
//!
//! There is no framework in between: one tree look-up, one call. What concerns every RPC happens
//! here: counting, refusing what requires a leader when there is none, and ending streams that do.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use reseed_core::error::Error;
use reseed_core::limits::GRPC_OVERHEAD_BYTES;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::health::health_server::HealthServer;
use reseed_rt::probe::{self, Probe};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service as _;

use super::limits::rewrite_too_large;
use super::methods::{Kind, Method, Methods, Service};
use super::{Services, range, status};
use crate::http::Pages;
use crate::metrics::Metrics;

/// Answers every request on the client port.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    methods: Methods,
    services: Arc<Services>,
    receive_max: usize,
    kv: pb::kv_server::KvServer<Services>,
    watch: pb::watch_server::WatchServer<Services>,
    lease: pb::lease_server::LeaseServer<Services>,
    cluster: pb::cluster_server::ClusterServer<Services>,
    maintenance: pb::maintenance_server::MaintenanceServer<Services>,
    auth: pb::auth_server::AuthServer<Services>,
    health: HealthServer<Services>,
    pages: Pages,
}

impl Router {
    pub(crate) fn new(services: Services) -> Self {
        let receive_max = services.state.config.max_request_bytes + GRPC_OVERHEAD_BYTES;
        macro_rules! server {
            ($module:ident :: $server:ident) => {
                pb::$module::$server::new(services.clone())
                    .max_decoding_message_size(receive_max)
                    .max_encoding_message_size(usize::MAX)
            };
        }
        Self {
            inner: Arc::new(Inner {
                methods: Methods::new(&services.state.metrics),
                kv: server!(kv_server::KvServer),
                watch: server!(watch_server::WatchServer),
                lease: server!(lease_server::LeaseServer),
                cluster: server!(cluster_server::ClusterServer),
                maintenance: server!(maintenance_server::MaintenanceServer),
                auth: server!(auth_server::AuthServer),
                health: HealthServer::new(services.clone()),
                pages: Pages::new(services.clone()),
                services: Arc::new(services),
                receive_max,
            }),
        }
    }

    /// Whatever takes room in a future is copied for every request, so what differs by method is
    /// boxed where it is made.
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        let is_grpc = request
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if !is_grpc {
            let page = Box::pin(self.inner.pages.answer(&request)).await;
            return Ok(page.map(Answer::plain));
        }
        let Some(method) = self.inner.methods.get(request.uri().path()).cloned() else {
            let status = self.inner.methods.unknown(request.uri().path());
            return Ok(status.into_http::<Body>().map(Answer::plain));
        };
        method.started.inc();
        let leader = (method.kind != Kind::Unary && requires_leader(request.headers()))
            .then(|| self.inner.services.leaderless.token());
        let mut response = match self.refuse_early(&method, request.headers()) {
            Some(status) => status.into_http(),
            None => {
                let answer = self.inner.call(&method, request);
                match &leader {
                    None => answer.await?,
                    // The answer of a stream begins with the first thing that it has to say.
                    Some(leader) => match leader.run_until_cancelled(answer).await {
                        Some(answer) => answer?,
                        None => status::of(&Error::NoLeader).into_http(),
                    },
                }
            }
        };
        rewrite_too_large(&mut response);
        let metrics = &self.inner.services.state.metrics;
        match code_in(response.headers()) {
            Some(code) => method.handled(metrics, code),
            // An answer without a code in its headers is a good one, for one message.
            None if method.kind == Kind::Unary => method.handled(metrics, Code::Ok),
            None => {
                let end = End { method, metrics: Arc::clone(metrics), code: Code::Cancelled };
                let leader = leader.map(|leader| Box::pin(leader.cancelled_owned()));
                return Ok(response.map(|body| Answer { body, end: Some(end), leader }));
            }
        }
        Ok(response.map(Answer::plain))
    }

    /// Why a request cannot even begin.
    fn refuse_early(&self, method: &Method, headers: &HeaderMap) -> Option<Status> {
        let state = &self.inner.services.state;
        let version = match headers.get("client-api-version") {
            None => "unknown",
            Some(value) => match value.to_str() {
                Ok(version) => countable(version),
                Err(_) => return Some(status::of(&Error::InvalidClientApiVersion)),
            },
        };
        let kind = if method.kind == Kind::Unary { "unary" } else { "stream" };
        state.metrics.client_requests.with_label_values(&[kind, version]).inc();
        if state.is_learner() && !method.is_for_learners() {
            return Some(status::of(&Error::NotSupportedForLearner));
        }
        let is_without = requires_leader(headers) && state.progress.leader() == 0;
        is_without.then(|| status::of(&Error::NoLeader))
    }
}

impl Inner {
    fn call(&self, method: &Method, request: Request<Incoming>) -> Call {
        macro_rules! call {
            ($server:ident) => {
                self.$server.clone().call(request)
            };
        }
        match method.service {
            Service::Kv if method.name == "Range" => {
                range::answer(Arc::clone(&self.services), self.receive_max, request).boxed()
            }
            Service::Kv => call!(kv),
            Service::Watch => call!(watch),
            Service::Lease => call!(lease),
            Service::Cluster => call!(cluster),
            Service::Maintenance => call!(maintenance),
            Service::Auth => call!(auth),
            Service::Health => call!(health),
        }
    }
}

/// A call under way.
type Call = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// What etcd's clients say of requests that a member without a leader must not answer.
fn requires_leader(headers: &HeaderMap) -> bool {
    headers.get("hasleader").is_some_and(|value| value == "true")
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

impl tower::Service<Request<Incoming>> for Router {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.clone().answer(request).boxed()
    }
}

/// A response body; that of a stream counts its RPC when it ends.
pub(crate) struct Answer {
    body: Body,
    end: Option<End>,
    /// Of one that requires a leader: returns when there is none.
    leader: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Answer {
    fn plain(body: Body) -> Self {
        Self { body, end: None, leader: None }
    }
}

impl Answer {
    /// Nobody listens to what the stream would still say.
    fn end_without_leader(&mut self) -> Result<HeaderMap, Status> {
        probe::hit(Probe::StreamLeaderless);
        (self.body, self.leader) = (Body::empty(), None);
        let status = status::of(&Error::NoLeader);
        if let Some(mut end) = self.end.take() {
            end.code = status.code();
        }
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Ok(trailers)
    }
}

/// The end of a stream that has not been counted yet; dropped early, it was cancelled.
struct End {
    method: Arc<Method>,
    metrics: Arc<Metrics>,
    code: Code,
}

impl Drop for End {
    fn drop(&mut self) {
        self.method.handled(&self.metrics, self.code);
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Some(leader) = &mut this.leader
            && leader.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(this.end_without_leader().map(Frame::trailers)));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && let Some(mut end) = this.end.take()
        {
            end.code = code_in(trailers).unwrap_or(Code::Unknown);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The version a client claims, if it is one that exists: each value counted is kept for ever, so
/// clients must not be free to invent them.
fn countable(version: &str) -> &str {
    let minor = version.strip_prefix("3.").map(str::parse::<u8>);
    if matches!(minor, Some(Ok(0..=99))) { version } else { "unknown" }
}
