//! All replicated state of a member, and the one way to change it.
//!
//! An entry of the log comes in, an [`Applied`] comes out; between them there is no clock, no
//! chance and no I/O but reading records this machine wrote. So the same entries make the same
//! state on every member and in every replay, and an answer is either the same everywhere or the
//! member stops. Whoever calls persists the batch with the entry's index before anyone may read
//! what it made, answers the waiter, and carries out the effects.
//!
//! What the alarms forbid is decided here (etcd's capped and corrupt appliers): NOSPACE refuses
//! whatever could grow the backend, CORRUPT refuses every change of data. Who may do what (auth)
//! comes with a later slice and will be asked here too.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::AlarmType;
use reseed_proto::log::LogEntry;
use reseed_proto::log::log_entry::Request;
use reseed_proto::mvccpb::Event;

use crate::alarm::Alarms;
use crate::applied::{Applied, At, Effect, Response};
use crate::cluster::Members;
use crate::error::{Error, Fate};
use crate::id::LeaseId;
use crate::mvcc::{self, KeyRange, State, Write, header};
use crate::port::{Batch, Read, Table};
use crate::{lease, quota};

const CLUSTER_VERSION: &[u8] = b"clusterVersion";

/// The state machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Keys and values.
    pub mvcc: mvcc::Store,
    /// Leases and what hangs on them.
    pub leases: lease::Table,
    /// Active alarms.
    pub alarms: Alarms,
    /// The members.
    pub members: Members,
    /// The version all members speak, `X.Y.Z`; empty until the first entry that sets it.
    pub cluster_version: String,
    applied: At,
}

/// What one request did.
struct Outcome {
    response: Response,
    batch: Batch,
    events: Vec<Event>,
    effects: Vec<Effect>,
}

impl Outcome {
    fn new(response: Response, batch: Batch) -> Self {
        Self { response, batch, events: Vec::new(), effects: Vec::new() }
    }

    fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
}

impl Machine {
    /// Rebuilds the state from what was persisted; an empty backend gives an empty machine.
    ///
    /// # Errors
    /// The backend cannot be read or contradicts itself.
    pub fn restore(read: &dyn Read) -> Result<Self, Error> {
        let mut leases = lease::Table::restore(read)?;
        let mvcc = mvcc::Store::restore(read, &mut leases)?;
        let version = read.get(Table::Meta, CLUSTER_VERSION)?.unwrap_or_default();
        let cluster_version = String::from_utf8(version.into())
            .map_err(|e| Error::Broken(alloc::format!("cluster version: {e}")))?;
        Ok(Self {
            mvcc,
            leases,
            alarms: Alarms::restore(read)?,
            members: Members::restore(read)?,
            cluster_version,
            applied: At::default(),
        })
    }

    /// Applies one entry. `read` shows every batch returned so far: commit each before applying
    /// the next, and before anyone else may look at the machine.
    ///
    /// # Errors
    /// Only such with [`Fate::Halt`]: the member must stop, memory may be half changed. A refusal
    /// is an `Ok` with an error inside, and has changed nothing.
    ///
    /// # Panics
    /// If entries come out of order.
    pub fn apply(&mut self, at: At, entry: &LogEntry, read: &dyn Read) -> Result<Applied, Error> {
        assert!(at >= self.applied, "entry {at:?} after {:?}", self.applied);
        self.applied = at;
        let before = self.mvcc.revision();
        let outcome = match &entry.request {
            Some(request) => self.admit(request).and_then(|()| self.carry_out(request, read)),
            None => Ok(Outcome::new(Response::None, Batch::default())),
        };
        let revision = self.mvcc.revision();
        match outcome {
            Ok(Outcome { response, batch, events, effects }) => {
                let spent = i64::from(!events.is_empty());
                assert!(revision == before + spent, "revision {before} became {revision}");
                Ok(Applied { response: Ok(response), revision, events, batch, effects })
            }
            Err(error) if error.fate() == Fate::Halt => Err(error),
            Err(error) => {
                assert!(revision == before, "a refusal moved revision {before} to {revision}");
                Ok(Applied {
                    response: Err(error),
                    revision,
                    events: Vec::new(),
                    batch: Batch::default(),
                    effects: Vec::new(),
                })
            }
        }
    }

    /// Decides a transaction that only reads ([`mvcc::is_read_only`]), without the log;
    /// [`mvcc::TxnPlan::finish`] fetches the values, without the machine's lock.
    ///
    /// # Errors
    /// `Compacted`, `FutureRev`; the backend cannot be read.
    pub fn plan_txn(
        &self,
        request: &pb::TxnRequest,
        read: &dyn Read,
    ) -> Result<mvcc::TxnPlan, Error> {
        let state = self.state(read);
        let chosen = mvcc::choose(request, state)?;
        chosen.check_ranges(state)?;
        chosen.plan_ranges(state)
    }

    /// What the alarms let through.
    fn admit(&self, request: &Request) -> Result<(), Error> {
        if self.alarms.is_empty() {
            return Ok(());
        }
        let (is_data, grows) = match request {
            Request::Put(_) | Request::LeaseGrant(_) => (true, true),
            Request::Txn(txn) => (true, quota::txn(txn) > 0),
            Request::DeleteRange(_) | Request::Compaction(_) | Request::LeaseRevoke(_) => {
                (true, false)
            }
            Request::LeaseCheckpoint(_)
            | Request::Alarm(_)
            | Request::MemberAttributes(_)
            | Request::MemberChange(_)
            | Request::ClusterVersion(_) => (false, false),
        };
        if is_data && self.alarms.is_active(AlarmType::Corrupt) {
            return Err(Error::Corrupt);
        }
        if grows && self.alarms.is_active(AlarmType::Nospace) {
            return Err(Error::NoSpace);
        }
        Ok(())
    }

    fn carry_out(&mut self, request: &Request, read: &dyn Read) -> Result<Outcome, Error> {
        match request {
            Request::Put(request) => self.put(request, read),
            Request::DeleteRange(request) => self.delete_range(request, read),
            Request::Txn(request) => self.txn(request, read),
            Request::Compaction(request) => self.compact(request),
            Request::LeaseGrant(request) => self.lease_grant(request),
            Request::LeaseRevoke(request) => self.lease_revoke(request, read),
            Request::LeaseCheckpoint(request) => Ok(self.lease_checkpoint(request)),
            Request::Alarm(request) => Ok(self.alarm(request)),
            Request::MemberAttributes(attributes) => {
                let mut batch = Batch::default();
                let changed = self.members.set_attributes(attributes, &mut batch);
                let outcome = Outcome::new(Response::None, batch);
                Ok(if changed { outcome.effect(Effect::MembersChanged) } else { outcome })
            }
            Request::MemberChange(request) => {
                let mut batch = Batch::default();
                self.members.change(request, &mut batch)?;
                let response = Response::Members(self.members.list());
                Ok(Outcome::new(response, batch).effect(Effect::MembersChanged))
            }
            Request::ClusterVersion(request) => Ok(self.set_cluster_version(&request.version)),
        }
    }

    fn put(&mut self, request: &pb::PutRequest, read: &dyn Read) -> Result<Outcome, Error> {
        // A put alone is asked for its lease first, one in a transaction for its key: as in etcd.
        let state = self.state(read);
        state.check_put_lease(request)?;
        state.check_put_key(request)?;
        self.write(read, |write| write.put(request).map(Response::Put))
    }

    fn delete_range(
        &mut self,
        request: &pb::DeleteRangeRequest,
        read: &dyn Read,
    ) -> Result<Outcome, Error> {
        self.write(read, |write| write.delete_range(request).map(Response::DeleteRange))
    }

    fn txn(&mut self, request: &pb::TxnRequest, read: &dyn Read) -> Result<Outcome, Error> {
        let state = self.state(read);
        let chosen = mvcc::choose(request, state)?;
        let checked = chosen.check(state);
        if let (Err(error), true) = (&checked, planted::on(Bug::RefusedTxnHalts)) {
            return Err(Error::Broken(alloc::format!("{error}")));
        }
        checked?;
        self.write(read, |write| {
            let mut response = chosen.run(write)?;
            response.header = header(write.revision());
            Ok(Response::Txn(response))
        })
    }

    /// Runs one write transaction.
    fn write(
        &mut self,
        read: &dyn Read,
        work: impl FnOnce(&mut Write<'_>) -> Result<Response, Error>,
    ) -> Result<Outcome, Error> {
        let mut write = Write::begin(&mut self.mvcc, &mut self.leases, read);
        let response = work(&mut write)?;
        let (batch, events) = write.finish();
        Ok(Outcome { response, batch, events, effects: Vec::new() })
    }

    fn compact(&mut self, request: &pb::CompactionRequest) -> Result<Outcome, Error> {
        let mut batch = Batch::default();
        self.mvcc.compact(request.revision, &mut batch)?;
        let header = header(self.mvcc.revision());
        let response = Response::Compaction(pb::CompactionResponse { header });
        Ok(Outcome::new(response, batch).effect(Effect::CompactScheduled(request.revision)))
    }

    fn lease_grant(&mut self, request: &pb::LeaseGrantRequest) -> Result<Outcome, Error> {
        let mut batch = Batch::default();
        let id = LeaseId(request.id);
        let ttl_secs = self.leases.grant(id, request.ttl, &mut batch)?.ttl_secs;
        let response = Response::LeaseGrant(pb::LeaseGrantResponse {
            header: header(self.mvcc.revision()),
            id: id.0,
            ttl: ttl_secs,
            error: String::new(),
        });
        Ok(Outcome::new(response, batch).effect(Effect::LeaseGranted { id, ttl_secs }))
    }

    /// Deletes what hangs on a lease, in order of the keys and in one revision, then the lease.
    fn lease_revoke(
        &mut self,
        request: &pb::LeaseRevokeRequest,
        read: &dyn Read,
    ) -> Result<Outcome, Error> {
        let id = LeaseId(request.id);
        let lease = self.leases.get(id).ok_or(Error::LeaseNotFound)?;
        let keys: Vec<Bytes> = lease.keys().map(Bytes::copy_from_slice).collect();
        let mut outcome = self.write(read, |write| {
            for key in &keys {
                let deleted = write.delete(KeyRange::One(key));
                assert!(deleted == 1, "key {key:?} of lease {id} does not exist");
            }
            let header = header(write.revision());
            Ok(Response::LeaseRevoke(pb::LeaseRevokeResponse { header }))
        })?;
        self.leases.revoke(id, &mut outcome.batch);
        Ok(outcome.effect(Effect::LeaseRevoked { id }))
    }

    /// Notes what is left of leases; those that are gone meanwhile are passed over.
    fn lease_checkpoint(&mut self, request: &pb::LeaseCheckpointRequest) -> Outcome {
        let mut batch = Batch::default();
        let mut effects = Vec::new();
        for one in &request.checkpoints {
            let id = LeaseId(one.id);
            let first = planted::on(Bug::CheckpointOfAnother);
            let one = if first { &request.checkpoints[0] } else { one };
            let noted = self.leases.checkpoint(id, one.remaining_ttl, &mut batch);
            effects
                .extend(noted.map(|secs| Effect::LeaseCheckpointed { id, remaining_secs: secs }));
        }
        let header = header(self.mvcc.revision());
        let response = Response::LeaseCheckpoint(pb::LeaseCheckpointResponse { header });
        Outcome { response, batch, events: Vec::new(), effects }
    }

    fn alarm(&mut self, request: &pb::AlarmRequest) -> Outcome {
        let mut batch = Batch::default();
        let (alarms, changed) = self.alarms.apply(request, &mut batch);
        let header = header(self.mvcc.revision());
        let outcome = Outcome::new(Response::Alarm(pb::AlarmResponse { header, alarms }), batch);
        if changed { outcome.effect(Effect::AlarmsChanged) } else { outcome }
    }

    fn set_cluster_version(&mut self, version: &str) -> Outcome {
        let mut batch = Batch::default();
        batch.put(Table::Meta, CLUSTER_VERSION, Bytes::copy_from_slice(version.as_bytes()));
        self.cluster_version = version.into();
        let effect = Effect::ClusterVersionChanged(self.cluster_version.clone());
        Outcome::new(Response::None, batch).effect(effect)
    }

    fn state<'a>(&'a self, read: &'a dyn Read) -> State<'a> {
        State { store: &self.mvcc, leases: &self.leases, read }
    }
}
