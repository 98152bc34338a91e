//! Every bound of the API and of the machines behind it, with its unit, default and reason.
//!
//! A bound an operator may move is a field of [`Limits`]; a bound that must be the same on all
//! members, or that only guards an implementation, is a constant.

/// The longest time to live a lease may have, in seconds (etcd: `lease.MaxLeaseTTL`).
pub const LEASE_TTL_SECS_MAX: i64 = 9_000_000_000;

/// The shortest time to live at etcd's default timers, in seconds: ceil(3 × 10 ticks / 2 × 100 ms).
/// Applied to every grant by the machine, so that it does not depend on a member's flags.
pub const LEASE_TTL_SECS_MIN: i64 = 2;

/// How deeply transactions may nest. etcd has no such bound (its budget of operations ends at
/// 128); ours stays below what the decoder of a log entry accepts, so that whatever is proposed
/// can be read back.
pub const TXN_DEPTH_MAX: usize = 32;

/// Lease checkpoints in one log entry (etcd: `maxLeaseCheckpointBatchSize`).
pub const LEASE_CHECKPOINTS_MAX: usize = 1000;

/// Keys visited by one step of physical compaction (etcd: `compaction-batch-limit`).
pub const SCRUB_KEYS_MAX: usize = 1000;

/// Revisions handed to a catching-up watcher at once (etcd: `maxRevisions` per batch).
pub const HISTORY_REVISIONS_MAX: usize = 1000;

/// Entries committed but not yet applied, above which proposals are refused (etcd:
/// `maxGapBetweenApplyAndCommitIndex`).
pub const APPLY_BACKLOG_MAX: u64 = 5000;

/// The same for lease revocations, which must get through (etcd gate `PriorityRequest`).
pub const APPLY_BACKLOG_PRIORITY_MAX: u64 = 10_000;

/// Bytes a put costs against the quota besides its key and value (etcd: `kvOverhead`).
pub const QUOTA_PUT_BYTES: u64 = 256;

/// Bytes a lease costs against the quota (etcd: `leaseOverhead`).
pub const QUOTA_LEASE_BYTES: u64 = 64;

/// Backend bytes allowed where the operator says nothing: 2 GiB.
pub const QUOTA_BYTES_DEFAULT: u64 = 2 * 1024 * 1024 * 1024;

/// A gRPC message may exceed [`Limits::request_bytes_max`] by this much (etcd:
/// `grpcOverheadBytes`).
pub const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;

/// The bounds an operator may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an encoded log entry (`--max-request-bytes`).
    pub request_bytes_max: usize,
    /// Compares, then-operations or else-operations of a transaction (`--max-txn-ops`).
    pub txn_ops_max: usize,
    /// Seconds every granted lease lasts at least: ceil(3 × election ticks / 2 × heartbeat).
    pub lease_ttl_secs_min: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes_max: 1_572_864,
            txn_ops_max: 128,
            lease_ttl_secs_min: LEASE_TTL_SECS_MIN,
        }
    }
}

impl Limits {
    /// The time to live granted to someone who asked for `secs`: never below the minimum. The
    /// proposer writes it into the request, so that all members grant the same.
    pub fn lease_ttl_secs(&self, secs: i64) -> i64 {
        secs.max(self.lease_ttl_secs_min).max(LEASE_TTL_SECS_MIN)
    }
}

const _: () = assert!(LEASE_TTL_SECS_MIN > 0);
const _: () = assert!(LEASE_TTL_SECS_MIN < LEASE_TTL_SECS_MAX);
// prost gives up at 100 nested messages; a level of nesting costs two (RequestOp, TxnRequest).
const _: () = assert!(TXN_DEPTH_MAX * 2 + 4 < 100);
