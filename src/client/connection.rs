//! One endpoint, one HTTP/2 connection, made when needed and made anew when it broke.
//!
//! Why not tonic's own channel: its timeout layer sleeps on tokio's clock, which does not exist in
//! the simulator, and it cannot tell a request that was never sent from one that was. Here that
//! difference is kept ([`Fault`]), because it is what makes repeating a mutation safe or not. What
//! remains is small: connect once however many wait, hand the request to hyper, say what failed.
//!
//! No balancing, no repeats except of requests that hyper hands back unsent, no deadlines: those
//! are `channel` and `retry`.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri, header::USER_AGENT, uri::Authority};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use reseed_planted::{self as planted, Bug};
use reseed_rt::{clock, net, task};
use tokio::sync::Mutex;
use tonic::{Status, body::Body};

use crate::{ClientOptions, Error, error::Fault};

/// Room for answers in flight on one stream: a range of a thousand keys fits without a pause.
const WINDOW_STREAM_BYTES: u32 = 1 << 20;
/// The same for all streams of a connection together.
const WINDOW_CONNECTION_BYTES: u32 = 4 << 20;
const USER_AGENT_VALUE: &str = concat!("reseed-client/", env!("CARGO_PKG_VERSION"));

/// A way to one endpoint; a `tower` service that the generated gRPC stubs accept.
///
/// Clones share the connection.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    authority: Authority,
    dial_timeout: Duration,
    keepalive_interval: Option<Duration>,
    keepalive_timeout: Duration,
    /// `None` until first used. Held while connecting, so that one attempt serves all who wait.
    sender: Mutex<Option<SendRequest<Body>>>,
}

impl Connection {
    /// Prepares a connection to `endpoint` without making it.
    pub(crate) fn new(endpoint: &str, options: &ClientOptions) -> Result<Self, Error> {
        Ok(Self(Arc::new(Inner {
            authority: authority_of(endpoint)?,
            dial_timeout: options.dial_timeout,
            keepalive_interval: options.keepalive_interval,
            keepalive_timeout: options.keepalive_timeout,
            sender: Mutex::new(None),
        })))
    }

    /// `host:port` of the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.0.authority.as_str()
    }
}

impl Connection {
    /// Makes the next request dial anew; those under way stay where they are.
    pub(crate) fn forget(&self) {
        // Somebody who holds the lock is dialling anew already.
        if let Ok(mut slot) = self.0.sender.try_lock() {
            *slot = None;
        }
    }
}

impl Inner {
    async fn send(&self, request: Request<Body>) -> Result<Response<AnswerBody>, Status> {
        let mut request = self.address(request);
        // Twice: a connection that the peer closed while idle is noticed only on use, and hyper
        // hands back what it did not send.
        for _ in 0..2 {
            let mut sender = self.sender().await.map_err(Fault::into_status)?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.wrap(response)),
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) => request = unsent,
                    None => {
                        let sent = !planted::on(Bug::ClientDeniesSending);
                        return Err(self.fault(reason_of(refused.error()), sent).into_status());
                    }
                },
            }
        }
        Err(self
            .fault("the connection closed before the request was sent".into(), false)
            .into_status())
    }

    /// Fills in what HTTP/2 wants in each request: scheme and authority.
    fn address(&self, mut request: Request<Body>) -> Request<Body> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(http::uri::Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = request.uri().path_and_query().cloned();
        if parts.path_and_query.is_none() {
            parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        }
        *request.uri_mut() = Uri::from_parts(parts).expect("all three parts are set");
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        request
    }

    /// The live connection, or a new one.
    async fn sender(&self) -> Result<SendRequest<Body>, Fault> {
        let mut slot = self.sender.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        *slot = None;
        let sender = clock::timeout(self.dial_timeout, self.dial())
            .await
            .unwrap_or_else(|_| Err(self.fault("dial timed out".into(), false)))?;
        Ok(slot.insert(sender).clone())
    }

    async fn dial(&self) -> Result<SendRequest<Body>, Fault> {
        let unsent = |reason: String| self.fault(reason, false);
        let stream = net::connect(self.authority.as_str())
            .await
            .map_err(|error| unsent(error.to_string()))?;
        let (sender, connection) = http2::Builder::new(net::Exec)
            .timer(net::Timer)
            .initial_stream_window_size(WINDOW_STREAM_BYTES)
            .initial_connection_window_size(WINDOW_CONNECTION_BYTES)
            .keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unsent(reason_of(&error)))?;
        let endpoint = self.authority.clone();
        // Ends when the connection breaks or the last sender is dropped.
        drop(task::spawn("client.connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%endpoint, %error, "connection ended");
            }
        }));
        Ok(sender)
    }

    fn wrap(&self, response: Response<Incoming>) -> Response<AnswerBody> {
        let endpoint = self.authority.clone();
        response.map(|inner| AnswerBody { inner, endpoint })
    }

    fn fault(&self, reason: String, sent: bool) -> Fault {
        Fault { endpoint: self.authority.to_string(), reason, sent }
    }
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Response<AnswerBody>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.send(request).await })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.endpoint()).finish()
    }
}

/// The body of an answer; if the connection breaks under it, its error is a [`Fault`].
#[derive(Debug)]
pub struct AnswerBody {
    inner: Incoming,
    endpoint: Authority,
}

impl HttpBody for AnswerBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let this = &mut *self;
        Pin::new(&mut this.inner).poll_frame(cx).map_err(|error| {
            let (endpoint, reason) = (this.endpoint.to_string(), reason_of(&error));
            Fault { endpoint, reason, sent: true }.into_status()
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// hyper says "http2 error" and keeps the interesting half in the source.
fn reason_of(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// `host:port`, with or without `http://`.
fn authority_of(endpoint: &str) -> Result<Authority, Error> {
    let bad = |reason| Error::Endpoint { endpoint: endpoint.to_owned(), reason };
    let bare = match endpoint.split_once("://") {
        None => endpoint,
        Some(("http", rest)) => rest.trim_end_matches('/'),
        Some(("https", _)) => return Err(bad("TLS is not supported yet")),
        Some(("unix" | "unixs", _)) => return Err(bad("unix sockets are not supported yet")),
        Some(_) => return Err(bad("the scheme must be http")),
    };
    let authority: Authority = bare.parse().map_err(|_| bad("it must be host:port"))?;
    match authority.port_u16() {
        Some(_) => Ok(authority),
        None => Err(bad("the port is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_forms() {
        let authority = |text| authority_of(text).map(|a| a.to_string()).map_err(|e| e.to_string());
        assert_eq!(authority("127.0.0.1:2379").as_deref(), Ok("127.0.0.1:2379"));
        assert_eq!(authority("http://localhost:1/").as_deref(), Ok("localhost:1"));
        assert_eq!(authority("[::1]:2379").as_deref(), Ok("[::1]:2379"));
        for bad in ["", "localhost", "https://h:1", "ftp://h:1", "unix:///tmp/s", "a b:1"] {
            assert!(authority(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
