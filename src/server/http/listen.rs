//! The listeners: bound first, so that a taken port is an error at start, and served later.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use reseed_rt::clock;
use reseed_rt::net::{Listener, ServeOptions, serve};
use reseed_rt::task::{self, Stop, Task};
use tonic::body::Body;

use super::Pages;
use crate::boot::BootError;
use crate::config::{Config, listen_address};
use crate::rpc::Services;
use crate::rpc::peer::PeerService;
use crate::rpc::route::Router;

/// How long a member keeps clients waiting until the cluster knows it; etcd's default.
const CLUSTER_READY_MAX: Duration = Duration::from_secs(5);

/// A peer's silent connection is pinged after so long: one that lost power while it was sent a
/// snapshot must not hold it for hours.
const PEER_KEEPALIVE: Duration = Duration::from_secs(30);

/// Bound, but not served yet: connections wait in the backlog.
#[derive(Debug)]
pub(crate) struct Listeners {
    client: Vec<Listener>,
    peer: Vec<Listener>,
    metrics: Vec<Listener>,
}

/// Binds every client, peer and metrics address.
pub(crate) async fn bind(config: &Config) -> Result<Listeners, BootError> {
    Ok(Listeners {
        client: bind_all(&config.listen_client_urls).await?,
        peer: bind_all(&config.listen_peer_urls).await?,
        metrics: bind_all(&config.listen_metrics_urls).await?,
    })
}

async fn bind_all(urls: &[String]) -> Result<Vec<Listener>, BootError> {
    let mut listeners = Vec::with_capacity(urls.len());
    for url in urls {
        let address = listen_address(url)?;
        let bound = Listener::bind(&address).await;
        listeners.push(bound.map_err(|source| BootError::Listen { address, source })?);
    }
    Ok(listeners)
}

impl Listeners {
    /// The client addresses with their real ports.
    pub(crate) fn client_addresses(&self) -> Vec<SocketAddr> {
        self.client.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves peers until `stop`.
    pub(crate) fn serve_peers(&mut self, service: &PeerService, stop: &Stop) -> Vec<Task<()>> {
        let peer = std::mem::take(&mut self.peer).into_iter().map(|listener| {
            let port = service.clone().port();
            // What peers still send is of no use to a member that stops.
            let options = ServeOptions {
                drain_timeout: Duration::ZERO,
                keepalive_interval: Some(PEER_KEEPALIVE),
                ..ServeOptions::default()
            };
            task::spawn("peers", serve(listener, port, options, stop.clone()))
        });
        peer.collect()
    }

    /// Serves clients until `stop`, once the cluster knows what this member is called, or has not
    /// learned it for long: what a new member says of itself is complete then. Pages of the
    /// metrics port are there at once.
    pub(crate) fn serve(self, services: Services, published: &Stop, stop: &Stop) -> Vec<Task<()>> {
        let config = &services.state.config;
        let options = ServeOptions {
            threads: task::cores(),
            streams_max: Some(config.max_concurrent_streams),
            keepalive_interval: Some(config.grpc_keepalive_interval),
            keepalive_timeout: config.grpc_keepalive_timeout,
            traffic: Some(Arc::clone(&services.state.client_traffic)),
            ..ServeOptions::default()
        };
        let pages = PagesOnly(Pages::new(services.clone()));
        let router = Router::new(services);
        let client = self.client.into_iter().map(|listener| {
            let served = serve(listener, router.clone(), options.clone(), stop.clone());
            let (published, stop) = (published.clone(), stop.clone());
            task::spawn("client", async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = published.cancelled() => {}
                    () = clock::sleep(CLUSTER_READY_MAX) => {
                        tracing::warn!("serving clients before the cluster knows this member");
                    }
                }
                served.await;
            })
        });
        let options = ServeOptions { threads: 0, traffic: None, ..options };
        let metrics = self.metrics.into_iter().map(|listener| {
            task::spawn("metrics", serve(listener, pages.clone(), options.clone(), stop.clone()))
        });
        client.chain(metrics).collect()
    }
}

/// The metrics port: pages, no gRPC.
#[derive(Clone, Debug)]
struct PagesOnly(Pages);

impl tower::Service<Request<Incoming>> for PagesOnly {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let pages = self.0.clone();
        Box::pin(async move { Ok(pages.answer(&request).await) })
    }
}
