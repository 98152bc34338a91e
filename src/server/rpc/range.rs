//! `KV.Range`, the call that clients make most: what the backend stores goes out as it is.
//!
//! The stored form of a pair is the wire's form, so a message of ready bytes replaces the generated
//! response (the bytes on the wire are the same): decoding pairs was a seventh of the CPU of a
//! range of a thousand keys in a profile.
//! Everything else about the call is as in [`super::kv`].

use std::convert::Infallible;
use std::sync::Arc;

use futures::future::BoxFuture;
use hyper::body::Incoming;
use reseed_proto::etcdserverpb::RangeRequest;
use reseed_proto::wire::EncodedRangeResponse;
use reseed_rt::task;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::Services;

struct Range(Arc<Services>);

impl UnaryService<RangeRequest> for Range {
    type Response = EncodedRangeResponse;
    type Future = BoxFuture<'static, Result<Response<EncodedRangeResponse>, Status>>;

    fn call(&mut self, request: Request<RangeRequest>) -> Self::Future {
        let services = Arc::clone(&self.0);
        Box::pin(async move {
            let request = services.readable(request.into_inner()).await?;
            if !request.range_end.is_empty() {
                // What may take long must not hold up the other streams of its connection: after
                // this it has a task of its own (`rt::net::Exec`).
                task::yield_now().await;
            }
            let response = services.state.range_encoded(&request);
            response.map(Response::new).map_err(|error| services.refuse(error))
        })
    }
}

/// Answers one call; messages above `receive_max` bytes are refused.
pub(super) async fn answer(
    services: Arc<Services>,
    receive_max: usize,
    request: http::Request<Incoming>,
) -> Result<http::Response<Body>, Infallible> {
    let codec = ProstCodec::<EncodedRangeResponse, RangeRequest>::default();
    let mut grpc =
        Grpc::new(codec).apply_max_message_size_config(Some(receive_max), Some(usize::MAX));
    Ok(grpc.unary(Range(services), request).await)
}
