//! The plain HTTP pages on the client and metrics ports: health, version, metrics.

use http::{Method, Request, Response, StatusCode, header};
use tonic::body::Body;

use crate::rpc::Services;

mod health;
pub(crate) mod listen;
mod process;

/// Answers everything that is not gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    services: Services,
}

impl Pages {
    pub(crate) fn new(services: Services) -> Self {
        Self { services }
    }

    /// The page at the request's path.
    pub(crate) async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let path = request.uri().path();
        let query = request.uri().query().unwrap_or("");
        let is_known = matches!(path, "/health" | "/version")
            || is_probe(path, "/livez")
            || is_probe(path, "/readyz");
        if request.method() != Method::GET && is_known {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
            refused.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
            return refused;
        }
        match path {
            "/health" => health::health(&self.services, query).await,
            "/metrics" => self.metrics(),
            "/version" => self.version(),
            _ if is_probe(path, "/livez") => {
                health::probe(&self.services, "livez", path, query).await
            }
            _ if is_probe(path, "/readyz") => {
                health::probe(&self.services, "readyz", path, query).await
            }
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    fn version(&self) -> Response<Body> {
        let versions = serde_json::json!({
            "etcdserver": reseed_core::ETCD_VERSION,
            "etcdcluster": reseed_core::CLUSTER_VERSION,
            "storage": reseed_core::CLUSTER_VERSION,
        });
        json(StatusCode::OK, versions.to_string())
    }

    fn metrics(&self) -> Response<Body> {
        process::sample(&self.services);
        let mut response = text(StatusCode::OK, self.services.state.metrics.render());
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        );
        response
    }
}

fn is_probe(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    page(status, "text/plain; charset=utf-8", body)
}

fn json(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Body> {
    page(status, "application/json", body)
}
