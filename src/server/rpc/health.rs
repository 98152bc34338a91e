//! `grpc.health.v1.Health`, as probes and load balancers call it.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use reseed_proto::health as pb;
use reseed_proto::health::health_check_response::ServingStatus;
use tonic::{Request, Response, Status};

use super::Services;

/// A member that answers is serving; there is one service, the whole member, named "".
fn serving() -> pb::HealthCheckResponse {
    pb::HealthCheckResponse { status: ServingStatus::Serving as i32 }
}

#[tonic::async_trait]
impl pb::health_server::Health for Services {
    type WatchStream = BoxStream<'static, Result<pb::HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        if request.get_ref().service.is_empty() {
            Ok(Response::new(serving()))
        } else {
            Err(Status::not_found("unknown service"))
        }
    }

    async fn list(
        &self,
        _: Request<pb::HealthListRequest>,
    ) -> Result<Response<pb::HealthListResponse>, Status> {
        let statuses = [(String::new(), serving())].into();
        Ok(Response::new(pb::HealthListResponse { statuses }))
    }

    async fn watch(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let status = if request.get_ref().service.is_empty() {
            ServingStatus::Serving
        } else {
            ServingStatus::ServiceUnknown
        };
        let first = Ok(pb::HealthCheckResponse { status: status as i32 });
        let stop = self.stop.clone();
        // Stays open until the member stops serving, which is the one change there is.
        let last = stream::once(async move {
            stop.cancelled_owned().await;
            Ok(pb::HealthCheckResponse { status: ServingStatus::NotServing as i32 })
        });
        Ok(Response::new(stream::iter([first]).chain(last).boxed()))
    }
}
