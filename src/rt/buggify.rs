//! Points where the simulator may make life harder.
//!
//! `if buggify::point(Point::RaftSlowSync) { … }` is constant `false` in production, so the branch
//! is compiled away. In simulation the run's seed decides which points are armed and how often they
//! fire, and a swarm counts that. Bugs on purpose are not here but in `src/planted`.

use crate::{catalogue::catalogue, imp};

catalogue! {
/// Something rare that may happen more often.
pub enum Point {
    WalRotateEarly: "wal.rotate_early", "A segment of the log ends as soon as the next one is ready.";
    RaftHearOne: "raft.hear_one", "One turn of messages is taken from peers at a time.";
    RaftOneProposal: "raft.one_proposal", "Proposals are taken one by one.";
    RaftSlowSync: "raft.slow_sync", "The log's sync is late.";
    ReadAskAgain: "read.ask_again", "A read round is asked for again at once.";
    ReadLongWay: "read.long_way", "A read asks for a round though it would not have to.";
    ProposeYield: "propose.yield", "A proposal lets other tasks run first.";
    ApplyLate: "apply.late", "What is committed is applied late.";
    ApplyOneEntry: "apply.one_entry", "Entries are applied one at a time.";
    FlusherLate: "flusher.late", "The backend commits late.";
    TruncateEarly: "flusher.truncate_early", "The log is cut right below what the backend has.";
    SnapshotTinyChunks: "snapshot.tiny_chunks", "A snapshot is sent in tiny chunks.";
    CompactionOneKey: "compaction.one_key", "A step of compaction looks at one key.";
    LeaseCheckpointLate: "lease.checkpoint_late", "Remaining times of leases are written down late.";
    WatchSmallOutbox: "watch.small_outbox", "A watch stream has a tiny queue.";
    WatchOutboxFull: "watch.outbox_full", "A watch stream's queue is full before it is.";
    WatchSmallFragments: "watch.small_fragments", "Watch responses are cut into small fragments.";
    WatchTinyStep: "watch.tiny_step", "A watcher that catches up reads a few revisions at a time.";
}
}

/// Should `point` happen now?
#[inline(always)]
#[must_use]
pub fn point(point: Point) -> bool {
    imp::buggify(point)
}
