//! Client of the etcd v3 API.
//!
//! A [`Client`] is cheap to clone and talks to any of its endpoints: it stays with one while that
//! works and moves to the next when it does not. What may be sent twice is decided in [`retry`] and
//! nowhere else: a read may, a mutation only when it certainly never left this process. Everybody
//! else has to look at [`Error::may_have_happened`] and decide for themselves.
//!
//! Time, tasks and sockets come from the `rt` crate, so the simulator runs this very client.
//! Deliberately absent: TLS and authentication (later), and any cache of answers.
//!
//! ```no_run
//! # async fn example() -> Result<(), reseed_client::Error> {
//! use reseed_client::{Client, ClientOptions, Get, Put};
//! let client = Client::connect(ClientOptions::new(["127.0.0.1:2379"]))?;
//! client.put(Put::new("greeting", "hello")).await?;
//! let found = client.get(Get::key("greeting")).await?;
//! assert_eq!(found.kvs[0].value, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! Read in this order: [`op`] (what to ask), `connection` (one endpoint), `channel` (several),
//! [`retry`] (again or not), then the services: `kv`, [`watch`], [`lease`], [`maintenance`],
//! `cluster`; and what is built from them: [`recipe`].

mod channel;
mod cluster;
mod connection;
mod error;
mod kv;
pub mod lease;
pub mod maintenance;
mod observe;
pub mod op;
pub mod recipe;
pub mod retry;
pub mod watch;

use std::{fmt, sync::Arc, time::Duration};

use crate::{channel::Channel, watch::Hub};
pub use crate::{
    connection::Connection,
    error::Error,
    observe::Observer,
    op::{Compare, Delete, Get, Op, Put, Txn},
    watch::{Watch, WatchEvents, Watcher},
};

/// How a [`Client`] reaches its cluster.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `host:port` or `http://host:port`; at least one.
    pub endpoints: Vec<String>,
    /// The longest to wait for one connection. Default 2 s, as etcdctl.
    pub dial_timeout: Duration,
    /// The longest a unary request may take, repeats included; `None` waits for ever.
    /// Default 5 s, as etcdctl.
    pub request_timeout: Option<Duration>,
    /// Ping an idle peer this often, to notice that it is gone. `None`: never. Default 10 s.
    pub keepalive_interval: Option<Duration>,
    /// A ping unanswered for this long ends the connection. Default 6 s.
    pub keepalive_timeout: Duration,
}

impl ClientOptions {
    /// Options for these endpoints with everything else at its default.
    pub fn new<S: Into<String>>(endpoints: impl IntoIterator<Item = S>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            dial_timeout: Duration::from_secs(2),
            request_timeout: Some(Duration::from_secs(5)),
            keepalive_interval: Some(Duration::from_secs(10)),
            keepalive_timeout: Duration::from_secs(6),
        }
    }
}

/// A handle on a cluster. Clones share connections and watch stream.
#[derive(Clone)]
pub struct Client {
    channel: Arc<Channel>,
    hub: Arc<Hub>,
    observer: Option<Arc<dyn Observer>>,
    request_timeout: Option<Duration>,
}

impl Client {
    /// Prepares to talk to the endpoints; connects when the first request needs it.
    ///
    /// # Errors
    /// [`Error::Endpoint`] if there is no endpoint, or one that cannot be understood.
    pub fn connect(options: ClientOptions) -> Result<Self, Error> {
        let channel = Arc::new(Channel::new(&options)?);
        let hub = Arc::new(Hub::new(Arc::clone(&channel)));
        Ok(Self { channel, hub, observer: None, request_timeout: options.request_timeout })
    }

    /// The same client with another limit on how long a unary request may take.
    #[must_use]
    pub fn with_timeout(&self, limit: Option<Duration>) -> Self {
        Self { request_timeout: limit, ..self.clone() }
    }

    /// The same client, with somebody who is told of every request.
    #[must_use]
    pub fn observed(&self, observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..self.clone() }
    }

    /// The connection now preferred, for use with the generated stubs of `reseed_proto`: no
    /// deadline, no repeats, no failover.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.channel.pick()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("channel", &self.channel)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}
