//! `etcdserverpb.KV`.

use futures::stream::BoxStream;
use reseed_core::applied::Response as Applied;
use reseed_core::error::Error;
use reseed_core::{check, mvcc, quota as cost};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request as Proposed;
use reseed_rt::task;
use tonic::{Request, Response, Status};

use super::{Services, range_stream};

/// Unpacks the one kind of answer that a request can get.
macro_rules! answer {
    ($services:expr, $applied:expr, $kind:ident) => {
        match $applied {
            Ok(Applied::$kind(mut response)) => {
                $services.state.complete(&mut response.header);
                Ok(Response::new(response))
            }
            Ok(other) => Err(Status::internal(format!("applied as {other:?}"))),
            Err(error) => Err($services.refuse(error)),
        }
    };
}
pub(super) use answer;

impl Services {
    /// Waits until a local read is linearizable, unless the client does without.
    pub(super) async fn linearize(&self, serializable: bool) -> Result<(), Status> {
        if serializable {
            return Ok(());
        }
        self.read_index.wait().await.map_err(|error| self.refuse(error))
    }

    /// Checks a range and waits until it may be read.
    pub(super) async fn readable(
        &self,
        request: pb::RangeRequest,
    ) -> Result<pb::RangeRequest, Status> {
        if self.state.is_learner() && !request.serializable {
            return Err(self.refuse(Error::NotSupportedForLearner));
        }
        check::range(&request).map_err(|error| self.refuse(error))?;
        self.linearize(request.serializable).await?;
        Ok(request)
    }

    /// Refuses what the backend has no room for.
    pub(super) async fn admit(&self, cost: u64) -> Result<(), Status> {
        crate::quota::admit(&self.state, &self.proposer, cost)
            .await
            .map_err(|error| self.refuse(error))
    }
}

#[tonic::async_trait]
impl pb::kv_server::Kv for Services {
    type RangeStreamStream = BoxStream<'static, Result<pb::RangeStreamResponse, Status>>;

    async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        // The router answers `Range` by `super::range`; this is for callers of the trait.
        let request = self.readable(request.into_inner()).await?;
        self.state.range(&request).map(Response::new).map_err(|error| self.refuse(error))
    }

    async fn range_stream(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        range_stream::supported(request.get_ref())?;
        let request = self.readable(request.into_inner()).await?;
        Ok(Response::new(range_stream::start(self.clone(), request)))
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let request = request.into_inner();
        check::put(&request).map_err(|error| self.refuse(error))?;
        self.admit(cost::put(&request)).await?;
        answer!(self, self.proposer.propose(Proposed::Put(request)).await, Put)
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let request = request.into_inner();
        check::delete_range(&request).map_err(|error| self.refuse(error))?;
        answer!(self, self.proposer.propose(Proposed::DeleteRange(request)).await, DeleteRange)
    }

    async fn txn(
        &self,
        request: Request<pb::TxnRequest>,
    ) -> Result<Response<pb::TxnResponse>, Status> {
        let request = request.into_inner();
        check::txn(&request, &self.limits()).map_err(|error| self.refuse(error))?;
        if mvcc::is_read_only(&request) {
            self.linearize(mvcc::is_serializable(&request)).await?;
            // It may read much: not where other streams of its connection wait for it.
            task::yield_now().await;
            let read = self.state.read_txn(&request);
            let mut response = read.map_err(|error| self.refuse(error))?;
            self.state.complete(&mut response.header);
            return Ok(Response::new(response));
        }
        self.admit(cost::txn(&request)).await?;
        answer!(self, self.proposer.propose(Proposed::Txn(request)).await, Txn)
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let request = request.into_inner();
        answer!(self, self.compactor.compact(request).await, Compaction)
    }
}
