//! Rare branches that tests should reach now and then.
//!
//! `probe::hit(Probe::WalRotated)` marks a place that only some runs come to. Nothing is left of it
//! in production. In simulation the hits of a run are counted, and a swarm lists the probes that
//! none of its runs hit: what is never reached is not tested, however many seeds pass.

use crate::{catalogue::catalogue, imp};

catalogue! {
/// A rare branch.
pub enum Probe {
    WalRotated: "wal.rotated", "A segment of the log was full, the next one was begun.";
    WalTornTail: "wal.torn_tail", "The log ended in a torn record, which was cut off.";
    WalConflict: "wal.conflict", "A boot found entries in the log that later ones replace.";
    WalPurged: "wal.purged", "Segments below the durable backend were deleted.";
    WalTruncated: "wal.truncated", "The log was cut below a snapshot's index.";
    WalReplayed: "wal.replayed", "A boot applied entries that the backend did not have.";
    WalNoRoom: "wal.no_room", "The disk had no room for an entry: it was refused.";
    OverlayFull: "backend.overlay_full", "Apply waited for the backend's flusher.";
    FlushNoRoom: "backend.flush_no_room", "A flush found no room on the disk.";
    Defragmented: "backend.defragmented", "The backend's file was rebuilt.";
    DefragWithWrites: "backend.defrag_overtaken", "Writes went on while it was rebuilt.";
    CompactionStep: "compaction.step", "Compaction stopped at its budget, to go on later.";
    ReadCompacted: "read.compacted", "A read of a compacted revision was refused.";
    ReadFuture: "read.future", "A read of a revision to come was refused.";
    ReadOvertaken: "read.overtaken", "A compaction overtook a read of now, which was planned again.";
    ReadWaited: "read.waited", "A linearizable read waited for the log.";
    WatchVictim: "watch.victim", "A watcher was too slow and was made unsynced.";
    WatchCatchUp: "watch.catch_up", "An unsynced watcher was sent history.";
    WatchFragment: "watch.fragment", "A response was sent in pieces.";
    WatchCompacted: "watch.compacted", "A watcher began below what was compacted, and was ended.";
    WatchFuture: "watch.future", "A watcher began at a revision to come.";
    WatchProgress: "watch.progress", "An idle watcher was told how far it is.";
    StreamLeaderless: "stream.leaderless", "A stream that requires a leader ended for want of one.";
    LeaseExpired: "lease.expired", "A lease ended because nobody renewed it.";
    LeaseCheckpoint: "lease.checkpoint", "Remaining times of leases went through the log.";
    LeaseRestored: "lease.restored", "A boot found leases.";
    LeaseRenewWaited: "lease.renew_waited", "A renewal came too late, or before this member led.";
    LeaseRevokeFull: "lease.revoke_full", "More leases expired at once than are revoked at once.";
    AlarmRaised: "quota.alarm_raised", "The backend was over its quota: NOSPACE.";
    AlarmLifted: "quota.alarm_lifted", "An alarm was ended.";
    AlarmRefused: "quota.refused", "A write was refused because of an alarm.";
    TooManyRequests: "propose.too_many", "A proposal was refused: too many were on their way.";
    ProposalTimeout: "propose.timeout", "A proposal was not applied in time.";
    BatchLarge: "raft.batch", "One sync covered several entries.";
    RaftElected: "raft.elected", "A member began to lead.";
    RaftSucceeded: "raft.succession", "A leader whose disk stood still told another to campaign.";
    RaftLeaderGone: "raft.leader_gone", "Nobody listened where the leader had: time ran faster.";
    RaftConflict: "raft.conflict", "Entries of a deposed leader were replaced.";
    ReadAskedAgain: "read.asked_again", "A read round was not answered and was asked for again.";
    SnapshotInstalled: "snapshot.installed", "Another member's state took the place of this one's.";
    SnapshotResumed: "snapshot.resumed", "A snapshot that had broken off was sent on.";
    InstallFinished: "snapshot.install_finished", "A boot finished an installation.";
    SnapshotStreamed: "snapshot.streamed", "A snapshot was streamed to its end.";
    Halted: "halt", "The member stopped itself.";
    Outvoted: "halt.outvoted", "A member that ran held something else than a majority.";
}
}

/// Marks that `probe` was reached.
#[inline(always)]
pub fn hit(probe: Probe) {
    imp::probe(probe);
}

/// Marks that `probe` was reached if `reached` holds.
#[inline(always)]
pub fn hit_if(reached: bool, probe: Probe) {
    if reached {
        imp::probe(probe);
    }
}
