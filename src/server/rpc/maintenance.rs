//! `etcdserverpb.Maintenance`.

use futures::stream::BoxStream;
use reseed_core::applied::Response as Applied;
use reseed_core::error::Error;
use reseed_core::id::MemberId;
use reseed_core::{CLUSTER_VERSION, ETCD_VERSION};
use reseed_proto::etcdserverpb::{self as pb, AlarmType, alarm_request::AlarmAction};
use reseed_proto::log::log_entry::Request as Proposed;
use reseed_rt::clock::Instant;
use reseed_rt::probe::{self, Probe};
use reseed_rt::task;
use tonic::{Request, Response, Status};

use super::kv::answer;
use super::{Services, status};
use crate::{hash, snapshot};

impl Services {
    /// A view that a full disk has taken away halts nobody: what is wrong with the backend itself,
    /// the flusher finds out.
    fn refuse_hash(&self, error: Error) -> Status {
        match error {
            Error::Backend(error) => Status::unavailable(format!("hash: {error}")),
            error => self.refuse(error),
        }
    }

    /// What `Status` lists as errors: a missing leader and every alarm.
    fn status_errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.state.progress.leader() == 0 {
            errors.push(Error::NoLeader.to_string());
        }
        let alarms = self.state.machine.read().alarms.list();
        errors.extend(alarms.iter().map(|alarm| {
            let kind = AlarmType::try_from(alarm.alarm).unwrap_or(AlarmType::None);
            format!("memberID:{} alarm:{} ", alarm.member_id, kind.as_str_name())
        }));
        errors
    }
}

#[tonic::async_trait]
impl pb::maintenance_server::Maintenance for Services {
    type SnapshotStream = BoxStream<'static, Result<pb::SnapshotResponse, Status>>;

    async fn alarm(
        &self,
        request: Request<pb::AlarmRequest>,
    ) -> Result<Response<pb::AlarmResponse>, Status> {
        let request = request.into_inner();
        if request.action == AlarmAction::Get as i32 {
            self.linearize(false).await?;
            let mut alarms = self.state.machine.read().alarms.list();
            let wanted = |alarm: &pb::AlarmMember| {
                (request.member_id == 0 || alarm.member_id == request.member_id)
                    && (request.alarm == AlarmType::None as i32 || alarm.alarm == request.alarm)
            };
            alarms.retain(wanted);
            let header = Some(self.state.header());
            return Ok(Response::new(pb::AlarmResponse { header, alarms }));
        }
        let lifts = request.action == AlarmAction::Deactivate as i32;
        probe::hit_if(lifts, Probe::AlarmLifted);
        answer!(self, self.proposer.propose(Proposed::Alarm(request)).await, Alarm)
    }

    async fn status(
        &self,
        _: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let state = &self.state;
        let size = state.backend_size();
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let is_learner = state.is_learner();
        Ok(Response::new(pb::StatusResponse {
            header: Some(state.header()),
            version: ETCD_VERSION.into(),
            db_size: signed(size.allocated),
            leader: state.progress.leader(),
            raft_index: state.progress.committed(),
            raft_term: state.progress.term(),
            raft_applied_index: state.progress.applied(),
            errors: self.status_errors(),
            db_size_in_use: signed(size.in_use),
            is_learner,
            storage_version: CLUSTER_VERSION.into(),
            db_size_quota: signed(state.config.quota_backend_bytes.unwrap_or(0)),
            downgrade_info: Some(pb::DowngradeInfo::default()),
        }))
    }

    async fn defragment(
        &self,
        _: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        let state = self.state.clone();
        let began = Instant::now();
        // All of it inside: a client that gives up ends only its waiting.
        let done = task::blocking(move || {
            state.metrics.defrag_inflight.set(1);
            let done = state.backend.defragment_blocking();
            state.metrics.defrag_inflight.set(0);
            state.metrics.backend_defrag.observe(began.elapsed().as_secs_f64());
            done
        })
        .await;
        reseed_rt::disk::settle().await;
        match done {
            // etcd's answer has no header.
            Ok(_) => Ok(Response::new(pb::DefragmentResponse { header: None })),
            Err(error) => Err(Status::unknown(format!("etcdserver: defragment: {error}"))),
        }
    }

    async fn hash(
        &self,
        _: Request<pb::HashRequest>,
    ) -> Result<Response<pb::HashResponse>, Status> {
        let began = Instant::now();
        let state = self.state.clone();
        let hash = task::blocking(move || hash::everything(&state)).await;
        self.state.metrics.hash.observe(began.elapsed().as_secs_f64());
        let hash = hash.map_err(|error| self.refuse_hash(error))?;
        Ok(Response::new(pb::HashResponse { header: Some(self.state.header()), hash }))
    }

    async fn hash_kv(
        &self,
        request: Request<pb::HashKvRequest>,
    ) -> Result<Response<pb::HashKvResponse>, Status> {
        let began = Instant::now();
        let state = self.state.clone();
        let revision = request.get_ref().revision;
        let hashed = task::blocking(move || hash::by_revision(&state, revision)).await;
        self.state.metrics.hash_rev.observe(began.elapsed().as_secs_f64());
        let mut response = hashed.map_err(|error| self.refuse_hash(error))?;
        response.header = Some(self.state.header());
        Ok(Response::new(response))
    }

    async fn snapshot(
        &self,
        _: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        snapshot::start(self.state.clone()).await.map(Response::new)
    }

    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        let state = &self.state;
        if state.progress.leader() != state.member_id {
            return Err(status::of(&Error::NotLeader));
        }
        let to = request.get_ref().target_id;
        // Moving leadership to whom it belongs changes nothing.
        if to == state.member_id {
            return Ok(Response::new(pb::MoveLeaderResponse { header: None }));
        }
        let may_lead = {
            let machine = state.machine.read();
            machine.members.get(MemberId(to)).is_some_and(|member| !member.is_learner)
        };
        if !may_lead {
            return Err(status::of(&Error::BadLeaderTransferee));
        }
        self.proposer.hand_over(Some(to)).await.map_err(|error| self.refuse(error))?;
        Ok(Response::new(pb::MoveLeaderResponse { header: None }))
    }

    async fn downgrade(
        &self,
        _: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        Err(Status::unimplemented("reseed: there is no older version to downgrade to"))
    }
}
