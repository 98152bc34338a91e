//! What every part of a member reads: the machine, the backend, and the member's place.
//!
//! The machine is behind a lock that is only ever held for microseconds and never across an
//! `.await`: apply takes it to write in short batches, reads take it to resolve keys to revisions
//! and fetch values without it.

use std::sync::Arc;

use parking_lot::RwLock;
use reseed_core::Machine;
use reseed_core::error::Error;
use reseed_core::mvcc::RangePlan;
use reseed_core::port::Read as _;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::request_op::Request as Op;
use reseed_proto::wire::EncodedRangeResponse;
use reseed_rt::net::Traffic;
use reseed_rt::probe::{self, Probe};
use reseed_storage::backend::Backend;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::halt::Halt;
use crate::metrics::Metrics;
use crate::progress::Progress;

/// Times a read of now is planned again before it is given up.
const PLANS_MAX: usize = 16;

/// The state of one member.
#[derive(Debug)]
pub struct State {
    /// Settings, validated.
    pub config: Config,
    /// Id of the cluster; never changes.
    pub cluster_id: u64,
    /// Id of this member; never changes.
    pub member_id: u64,
    /// All replicated state.
    pub machine: RwLock<Machine>,
    /// The bytes behind it.
    pub backend: Backend,
    /// Term, leader, commit and applied index.
    pub progress: Arc<Progress>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Bytes on the client port.
    pub(crate) client_traffic: Arc<Traffic>,
    /// Leave to make a snapshot file for a client.
    pub(crate) client_snapshots: Arc<Semaphore>,
    /// Leave to make one for a member, which clients that do not read theirs must not hold up.
    pub(crate) peer_snapshots: Arc<Semaphore>,
    /// Stops the member when it can no longer keep its promises.
    pub(crate) halt: Halt,
}

impl State {
    /// A response header as of now: ids, term, and the current revision.
    pub fn header(&self) -> pb::ResponseHeader {
        self.header_at(self.machine.read().mvcc.revision())
    }

    /// A response header with the revision that an operation was executed at.
    pub fn header_at(&self, revision: i64) -> pb::ResponseHeader {
        pb::ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            revision,
            raft_term: self.progress.term(),
        }
    }

    /// Fills in what only the member knows: the machine has already set the revision.
    pub fn complete(&self, header: &mut Option<pb::ResponseHeader>) {
        if planted::on(Bug::HeaderOfLaterWrite) {
            return *header = Some(self.header());
        }
        let revision = header.as_ref().map_or(0, |header| header.revision);
        *header = Some(self.header_at(revision));
    }

    /// Answers a range from the local state.
    ///
    /// # Errors
    /// The requested revision is compacted or in the future, or the backend cannot be read.
    pub fn range(&self, request: &pb::RangeRequest) -> Result<pb::RangeResponse, Error> {
        let mut response = self.read_range(request, |plan| plan.finish(&self.backend))?;
        self.complete(&mut response.header);
        Ok(response)
    }

    /// As [`State::range`], with the pairs as they are stored.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn range_encoded(
        &self,
        request: &pb::RangeRequest,
    ) -> Result<EncodedRangeResponse, Error> {
        let mut response = self.read_range(request, |plan| plan.finish_encoded(&self.backend))?;
        self.complete(&mut response.header);
        Ok(response)
    }

    pub(crate) fn read_range<T>(
        &self,
        request: &pb::RangeRequest,
        finish: impl Fn(RangePlan) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.metrics.range_total.inc();
        let reads_now = request.revision <= 0;
        let read = plan_again(reads_now, || {
            let plan = self.machine.read().mvcc.plan_range(request)?;
            finish(plan)
        });
        probe::hit_if(matches!(read, Err(Error::Compacted)), Probe::ReadCompacted);
        probe::hit_if(matches!(read, Err(Error::FutureRev)), Probe::ReadFuture);
        read
    }

    /// Answers a transaction that only reads.
    ///
    /// # Errors
    /// As [`State::range`].
    pub(crate) fn read_txn(&self, request: &pb::TxnRequest) -> Result<pb::TxnResponse, Error> {
        let mut ops = request.success.iter().chain(&request.failure);
        let reads_now = ops
            .all(|op| matches!(&op.request, Some(Op::RequestRange(range)) if range.revision <= 0));
        plan_again(reads_now, || {
            let plan = self.machine.read().plan_txn(request, &self.backend)?;
            plan.finish(&self.backend)
        })
    }

    /// Whether this member only learns and does not vote.
    pub fn is_learner(&self) -> bool {
        self.progress.is_learner()
    }

    /// Bytes of the backend file, allocated and in use.
    pub fn backend_size(&self) -> reseed_storage::backend::Size {
        self.backend.size()
    }

    /// One read of the backend, to prove that it can be read.
    ///
    /// # Errors
    /// It cannot.
    pub(crate) fn probe_backend(&self) -> Result<(), Error> {
        self.backend.get(reseed_core::port::Table::Meta, b"probe").map(drop).map_err(Error::from)
    }
}

/// Plans under the machine's lock, fetches without it. A read of *now* that a write and a
/// compaction overtook in between is planned again: only who asked for a revision may be told that
/// it is compacted.
fn plan_again<T>(reads_now: bool, read: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 0..PLANS_MAX {
        match read() {
            Err(Error::Compacted) if reads_now => probe::hit(Probe::ReadOvertaken),
            done => return done,
        }
    }
    Err(Error::Timeout)
}
