//! The client's side: tonic's channel over our sockets, executor and clock.
//!
//! Lazy and self-healing: it connects when first used and again after a failure. What to retry is
//! not decided here. Deadlines of calls are the caller's (`rt::clock::timeout`): tonic's own
//! timers are tokio's and do not run in simulation, which is also why pings are left out there.

use std::{io, time::Duration};

use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

use super::{Exec, Stream, connect, gather::Gather};
use crate::clock;

/// How a [`channel`] behaves.
#[derive(Clone, Debug)]
pub struct ChannelOptions {
    /// Bound on one attempt to connect.
    pub connect_timeout: Duration,
    /// A silent connection is pinged after this; `None`: never.
    pub keepalive_interval: Option<Duration>,
    /// A ping unanswered for this long closes the connection.
    pub keepalive_timeout: Duration,
    /// Flow-control window of one stream, bytes.
    pub stream_window_bytes: u32,
    /// Flow-control window of the connection, bytes.
    pub connection_window_bytes: u32,
    /// Requests that may wait for the connection before callers wait themselves.
    pub queue_len: usize,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            keepalive_interval: None,
            keepalive_timeout: Duration::from_secs(20),
            stream_window_bytes: 1024 * 1024,
            connection_window_bytes: 4 * 1024 * 1024,
            queue_len: 1024,
        }
    }
}

/// A channel to `http://host:port` (the scheme may be missing). An endpoint that cannot be used
/// gives a channel whose every call fails as unavailable, saying why.
#[must_use]
pub fn channel(endpoint: &str, options: ChannelOptions) -> Channel {
    let target = target(endpoint);
    let uri = match &target {
        Ok(host_port) => format!("http://{host_port}"),
        Err(_) => "http://invalid".to_owned(),
    };
    let mut builder = Endpoint::from_shared(uri)
        .unwrap_or_else(|_| Endpoint::from_static("http://invalid"))
        .executor(Exec)
        .buffer_size(options.queue_len)
        .initial_stream_window_size(options.stream_window_bytes)
        .initial_connection_window_size(options.connection_window_bytes);
    if let Some(interval) = options.keepalive_interval
        && !cfg!(madsim)
    {
        builder = builder
            .http2_keep_alive_interval(interval)
            .keep_alive_timeout(options.keepalive_timeout)
            .keep_alive_while_idle(true);
    }
    let limit = options.connect_timeout;
    builder.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let target = target.clone();
        async move { open(target, limit).await.map(TokioIo::new) }
    }))
}

async fn open(target: Result<String, String>, limit: Duration) -> io::Result<Gather<Stream>> {
    let host_port = target.map_err(|reason| io::Error::new(io::ErrorKind::InvalidInput, reason))?;
    match clock::timeout(limit, connect(&host_port)).await {
        Ok(connected) => connected.map(Gather::new),
        Err(elapsed) => {
            let reason = format!("connecting to {host_port}: {elapsed}");
            Err(io::Error::new(io::ErrorKind::TimedOut, reason))
        }
    }
}

/// `host:port` of an endpoint, or why it has none.
pub(super) fn target(endpoint: &str) -> Result<String, String> {
    let bare = match endpoint.split_once("://") {
        Some(("http", rest)) => rest,
        Some((scheme, _)) => return Err(format!("unsupported scheme in endpoint: {scheme}")),
        None => endpoint,
    };
    let bare = bare.trim_end_matches('/');
    let authority: http::uri::Authority =
        bare.parse().map_err(|error| format!("invalid endpoint {endpoint:?}: {error}"))?;
    match authority.port_u16() {
        Some(port) => Ok(format!("{}:{port}", authority.host())),
        None => Err(format!("endpoint {endpoint:?} has no port")),
    }
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn endpoints_give_host_and_port() {
        for endpoint in ["127.0.0.1:2379", "http://127.0.0.1:2379", "http://127.0.0.1:2379/"] {
            assert_eq!(target(endpoint).as_deref(), Ok("127.0.0.1:2379"));
        }
        assert_eq!(target("http://[::1]:80").as_deref(), Ok("[::1]:80"));
    }

    #[test]
    fn unusable_endpoints_say_why() {
        assert!(target("https://a:1").is_err_and(|why| why.contains("https")));
        assert!(target("localhost").is_err_and(|why| why.contains("no port")));
        assert!(target("").is_err());
    }
}
