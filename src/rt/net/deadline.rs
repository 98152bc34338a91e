//! The caller's deadline: gRPC's `grpc-timeout` header, kept on the server.
//!
//! tonic has a layer for this, but it is tied to tokio's clock. The deadline covers the time until
//! the response begins; the rest of a stream is the caller's to cut, as it does by resetting it.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::imp;

/// The most digits the gRPC specification allows in a timeout.
const TIMEOUT_DIGITS_MAX: usize = 8;

/// What the header asks for; `None` if it is absent or malformed (then it is ignored, as grpc-go
/// would refuse it and tonic ignore it).
pub(super) fn requested(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS_MAX {
        return None;
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

pin_project! {
    /// A call under its deadline, if it has one.
    pub(super) struct Timed<F> {
        #[pin]
        call: F,
        #[pin]
        limit: Limit,
    }
}

pin_project! {
    #[project = LimitProjected]
    enum Limit {
        None,
        Some { #[pin] sleep: imp::Sleep },
    }
}

impl<F> Timed<F> {
    pub(super) fn new(call: F, limit: Option<Duration>) -> Self {
        let limit = match limit {
            Some(limit) => Limit::Some { sleep: imp::sleep(limit) },
            None => Limit::None,
        };
        Self { call, limit }
    }
}

impl<F, B> Future for Timed<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<ServeBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(Ok(response)) = this.call.poll(cx) {
            return Poll::Ready(Ok(response.map(|body| ServeBody { body: Some(body) })));
        }
        match this.limit.project() {
            LimitProjected::Some { sleep } => sleep.poll(cx).map(|()| Ok(expired())),
            LimitProjected::None => Poll::Pending,
        }
    }
}

/// The trailers-only response grpc-go gives, with etcd's usual text.
fn expired<B>() -> Response<ServeBody<B>> {
    let mut response = Response::new(ServeBody { body: None });
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static("4"));
    headers.insert("grpc-message", HeaderValue::from_static("context deadline exceeded"));
    response
}

pin_project! {
    /// A response body: the service's, or none if the deadline passed before there was one.
    #[derive(Debug)]
    pub struct ServeBody<B> {
        #[pin]
        body: Option<B>,
    }
}

impl<B: Body<Data = Bytes>> Body for ServeBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().body.as_pin_mut() {
            Some(body) => body.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &'static str, expected: Option<Duration>) {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_static(value));
        assert_eq!(requested(&headers), expected, "{value:?}");
    }

    #[test]
    fn timeouts_are_read_as_the_specification_writes_them() {
        check("3H", Some(Duration::from_secs(3 * 3600)));
        check("2M", Some(Duration::from_secs(120)));
        check("1S", Some(Duration::from_secs(1)));
        check("250m", Some(Duration::from_millis(250)));
        check("7u", Some(Duration::from_micros(7)));
        check("99999999n", Some(Duration::from_nanos(99_999_999)));
        check("0S", Some(Duration::ZERO));
    }

    #[test]
    fn malformed_timeouts_are_ignored() {
        for value in ["", "S", "1", "1x", "-1S", "+1S", "1.5S", "999999999S", " 1S"] {
            check(value, None);
        }
        assert_eq!(requested(&HeaderMap::new()), None);
    }
}
