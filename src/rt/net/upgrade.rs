//! Connections that begin as HTTP/1.1 and go on as something else (RFC 9110 §7.8).
//!
//! One port then serves them beside gRPC, and who may have one is decided by a request, in words.

use std::{future::Future, io};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, HOST, UPGRADE},
};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use super::{channel::target, io::connect, serve::Place};
use crate::task;

/// The bytes of a connection that no longer speaks HTTP.
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// How a server answers who asks for another protocol.
#[derive(Debug)]
pub enum UpgradeAnswer {
    /// The connection is the caller's.
    Agreed(Upgraded),
    /// It is not; the headers say why.
    Refused(HeaderMap),
}

/// Asks `http://host:port` at `path` to go on as `protocol`. No time limit: that is the caller's.
///
/// # Errors
/// That of the connection, or `InvalidInput` for an endpoint that is none.
pub async fn upgrade(
    endpoint: &str,
    path: &'static str,
    protocol: &'static str,
    headers: HeaderMap,
) -> io::Result<UpgradeAnswer> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let host_port = target(endpoint).map_err(invalid)?;
    let host = HeaderValue::try_from(&host_port).map_err(|error| invalid(error.to_string()))?;
    let stream = TokioIo::new(connect(&host_port).await?);
    let (mut requests, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    // It ends with the answer, or when nobody waits for one any more.
    drop(task::spawn("upgrade", async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "no upgrade");
        }
    }));
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = http::Uri::from_static(path);
    *request.headers_mut() = headers;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().extend(switch_to(protocol));
    let answer = requests.send_request(request).await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(UpgradeAnswer::Refused(answer.into_parts().0.headers));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(io::Error::other)?;
    Ok(UpgradeAnswer::Agreed(TokioIo::new(upgraded)))
}

fn switch_to(protocol: &'static str) -> HeaderMap {
    let upgrade = (CONNECTION, HeaderValue::from_static("upgrade"));
    HeaderMap::from_iter([upgrade, (UPGRADE, HeaderValue::from_static(protocol))])
}

/// A request for another protocol, on its way to an answer.
#[derive(Debug)]
pub struct UpgradeRequest {
    connection: OnUpgrade,
    place: Place,
}

impl UpgradeRequest {
    /// What `request` asks for, if that is `protocol`.
    pub fn of(request: &mut Request<Incoming>, protocol: &str) -> Option<Self> {
        let is_meant = request.headers().get(UPGRADE).is_some_and(|asked| asked == protocol);
        let place = request.extensions_mut().remove::<Place>().filter(|_| is_meant)?;
        Some(Self { connection: hyper::upgrade::on(request), place })
    }

    /// The answer that agrees. The connection keeps its place among those of the server until
    /// `work` ends, which the server's stop does without waiting.
    pub fn agree<B: Default, F: Future<Output = ()> + Send + 'static>(
        self,
        protocol: &'static str,
        work: impl FnOnce(Upgraded) -> F + Send + 'static,
    ) -> Response<B> {
        let Self { connection, place } = self;
        drop(task::spawn("upgraded", async move {
            let whole = async {
                match connection.await {
                    Ok(upgraded) => work(TokioIo::new(upgraded)).await,
                    Err(error) => tracing::debug!(%error, "no upgrade"),
                }
            };
            place.until_stop(whole).await;
        }));
        let mut answer = Response::new(B::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = switch_to(protocol);
        answer
    }
}
