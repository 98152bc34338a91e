//! The bug bank: bugs on purpose, one switch each, to measure what the simulator finds.
//!
//! `if planted::on(Bug::AckBeforeSync) { … }` is constant `false` without the feature `armed`, so
//! that nothing of it is left in a release. Only the simulator's crate has that feature, and only a
//! run that asks for a bug switches it on, for the whole process. There is no hint anywhere that
//! would tell a scenario or a checker which bug is on.
//!
//! The catalogue is the one list there is: name, layer, the etcd issue it mirrors, and what it
//! does. A bug is planted where a tired engineer could have made it, in as few lines as possible.
#![no_std]

#[cfg(feature = "armed")]
use core::sync::atomic::{AtomicBool, Ordering};

/// Defines [`Bug`] and what is known of each.
macro_rules! catalogue {
    ($($name:ident: $layer:literal, $etcd:expr, $story:literal;)*) => {
        /// A bug on purpose.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug {
            $(#[doc = $story] $name,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on the command line and in scenarios.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Where it is planted.
            #[must_use]
            pub const fn layer(self) -> &'static str {
                match self { $(Self::$name => $layer,)* }
            }

            /// The etcd issue it mirrors, if any.
            #[must_use]
            pub const fn etcd_issue(self) -> Option<u32> {
                match self { $(Self::$name => $etcd,)* }
            }

            /// What it does, in one line.
            #[must_use]
            pub const fn story(self) -> &'static str {
                match self { $(Self::$name => $story,)* }
            }
        }
    };
}

catalogue! {
    AckBeforeSync: "wal", Some(14370), "Answers before the log is synced.";
    SegmentSealUnsynced: "wal", None, "Does not sync the end of a full log segment.";
    SegmentNameUnsynced: "wal", None, "Does not sync the name of a new log segment.";
    FailedSyncRetried: "wal", None, "Syncs the log again after a failed sync, and trusts that.";
    TornRecordAccepted: "wal", None, "Replays log records whose checksum is wrong.";
    DamageTakenForTornTail: "wal", None, "Cuts the log off at damage, though more was durable.";
    ReleaseBeforeMark: "wal", None, "Removes log segments before the mark is durable.";
    FullLogHalts: "wal", None, "Takes a disk without room for the log for a broken disk.";
    LargeRecordTorn: "wal", Some(14127), "Takes a large record of the log for a torn one.";
    TornTailRefused: "wal", Some(15069), "Refuses to start with a log whose end is torn.";
    ConflictKept: "wal", None, "Replays what another entry at the same index has replaced.";
    FormatUnsynced: "layout", None, "Renames the FORMAT file into place without syncing it.";
    MarkAheadOfBackend: "truncation", Some(11888), "Marks the log at an entry the backend lacks.";
    AppliedIndexApart: "backend", Some(13766), "Writes the applied index in another transaction.";
    BackendUnsynced: "backend", None, "Never syncs the backend's file.";
    RoomNotAnnounced: "backend", None, "Wakes nobody who waits for room in the overlay.";
    FullDiskDropsOverlay: "backend", None, "Forgets what it cannot flush when the disk is full.";
    DatabaseNameUnsynced: "backend", None, "Does not sync the name of a new database file.";
    DefragForgetsIndex: "backend", Some(14685), "Defragments and leaves the applied index behind.";
    DefragDropsLeases: "backend", Some(11613), "Defragments without copying leases.";
    EventsPublishedOneByOne: "apply", None, "Publishes each event of a transaction by itself.";
    HeaderOfLaterWrite: "apply", None, "Answers with the revision of now, not of the request.";
    ReadDuringReplay: "reads", None, "Serves linearizable reads while the log is replayed.";
    RestoredVersionCounted: "mvcc", None, "Takes the changes a restart finds for the version.";
    RestoredRevisionOfLastKey: "mvcc", None, "Takes the last key's revision for the store's.";
    RecreatedKeepsCreation: "mvcc", None, "Counts on where a deleted key had ended.";
    HashCountsCompacted: "hash", None, "Hashes what compaction has yet to remove.";
    HashBeyondRevision: "hash", None, "Hashes what came after the revision asked for, too.";
    HashesOfAllCompared: "hash", None, "Compares the hashes of members that compacted apart.";
    LimitBeforeSort: "range", None, "Cuts a range at the limit before it is sorted.";
    ModBoundExclusive: "range", None, "Leaves the bound itself out of a range of revisions.";
    CountStopsAtLimit: "mvcc", None, "Stops counting the keys of a range at the limit.";
    KeysOnlyDropsLease: "mvcc", Some(22209), "Leaves leases out of ranges without values.";
    PutKeepsOldLease: "mvcc", None, "Leaves a key on its old lease when it is put without one.";
    DeadKeysForgotten: "compaction", None, "Drops deleted keys that can still be read in the past.";
    CompactionDropsVisible: "compaction", None, "Drops a put overwritten right after the bound.";
    TombstoneCompacted: "compaction", Some(18089), "Drops the delete at the compact revision.";
    CompactedByScrub: "compaction", Some(18667), "Reads below the bound what is not yet removed.";
    BoundForgotten: "compaction", Some(17780), "Forgets a compaction that a crash cut short.";
    LastCompareDecides: "txn", None, "Lets the last compare of a transaction decide.";
    GuardHoldsForMissing: "txn", None, "Lets compares of mod revisions hold for missing keys.";
    TxnLeaseUnchecked: "txn", Some(18799), "Misses a lease in the middle of a transaction.";
    NestedAnswersOuter: "txn", None, "Says of nested transactions how the outer one went.";
    RefusedTxnHalts: "txn", Some(14110), "Stops at a transaction that must be refused.";
    ProgressWhileUnsynced: "watch", Some(15220), "Tells unsynced watchers of progress.";
    VictimSkipsEvents: "watch", Some(17529), "Resumes a slow watcher after what it was refused.";
    FutureWatchGetsPast: "watch", Some(20221), "Starts a watch of a future revision at once.";
    WatchFromCompactedSkips: "watch", Some(19179), "Skips the compact revision if it comes first.";
    CatchUpNeverWraps: "watch", None, "Never comes back to watchers far behind.";
    IntervalsOutlived: "watch", None, "Loses sight of long ranges behind short ones.";
    FragmentDropsEvent: "watch", None, "Loses the event at which a response is cut.";
    CloseSilencesOthers: "watch", None, "Stops publishing when any stream closes.";
    DeletesLackPrevious: "watch", None, "Sends no previous pair with deletes.";
    RoomMissed: "watch", None, "Misses that a slow watcher has room again.";
    StalledLeaderHolds: "raft", Some(13527), "Sends heartbeats while its disk stands still.";
    GoneUnnoticed: "raft", None, "Waits out the election timeout though the leader is gone.";
    StallUnwatched: "raft", Some(13527), "Waits for its disk until the others elect another.";
    EventsReused: "watch", Some(20896), "Sends the first event of a revision in place of all.";
    ProgressFromPast: "watch", None, "Tells watchers of the future how far a laggard is.";
    WatchNowSkips: "watch", None, "Begins a watch from now on one revision too late.";
    HistoryCutsRevision: "watch", None, "Splits a revision where a piece of history is full.";
    FallBehindResends: "watch", Some(15271), "Sends watchers everything again at an installation.";
    VoteForgotten: "raft", None, "Writes its term, but not for whom it voted.";
    RestartCommitsAll: "raft", None, "Takes all that it finds in its log for committed.";
    RestartReplaysAll: "raft", Some(13514), "Applies again what the backend holds already.";
    TailNotReplaced: "raft", None, "Keeps a deposed leader's entries before a new one's.";
    PreviousUnchecked: "raft", None, "Appends a leader's entries behind whatever it has itself.";
    HardStateWithEntries: "raft", None, "Writes term and vote only together with entries.";
    AppendAnsweredEarly: "raft", None, "Answers the leader before the entries are synced.";
    ReadByClock: "raft", Some(20418), "Trusts its clock, not a quorum, that it still leads.";
    ReadTakesAnyAnswer: "raft", None, "Takes the answer to an old read round for the new one's.";
    ReadBeforeApply: "reads", None, "Does not wait until the confirmed index is applied.";
    RoundJoinedLate: "reads", Some(21378), "Lets reads join a round that is under way.";
    FollowerReadsAlone: "reads", None, "Trusts that what it knows is committed is all there is.";
    RequestIdsCollide: "propose", None, "Numbers requests from one at every member.";
    TimeoutDenies: "propose", None, "Refuses what it gave up waiting for.";
    ForwardedTwice: "forward", None, "Sends what a follower proposes to the leader twice.";
    FollowerNeverAnswers: "forward", None, "Answers proposals only where the leader is.";
    RemovedIdReturns: "membership", Some(20793), "Leaves a removed member in the backend.";
    PromotionNotWritten: "membership", Some(19557), "Promotes a learner in memory only.";
    UnreadyPromoted: "membership", Some(15096), "Promotes a learner that has no log yet.";
    UpdatePromotes: "membership", Some(21736), "Promotes a learner whose address changes.";
    AddNeedsEverybody: "membership", Some(21667), "Adds members only while all others run.";
    RemovalUnheard: "membership", None, "Leaves removed members in raft's configuration.";
    InstallUnmarked: "snapshot", None, "Installs a snapshot without telling the log.";
    InstallForgetsTerm: "snapshot", None, "Forgets the term of an installed snapshot.";
    InstallKeepsLeases: "snapshot", None, "Keeps the lease deadlines of the replaced state.";
    RenewedUnasked: "lease", Some(15247), "Renews without asking whether it still leads.";
    SnapshotForgottenEarly: "snapshot", Some(18055), "Removes a snapshot before it is installed.";
    SnapshotIndexStale: "snapshot", Some(13922), "Says that a snapshot is older than it is.";
    SnapshotLacksLeases: "snapshot", None, "Leaves leases out of snapshots.";
    SnapshotLacksMembers: "snapshot", Some(20995), "Leaves the members out of snapshots.";
    DeletedShowsThrough: "backend", Some(17230), "Finds in the file what memory knows as deleted.";
    StalePrimary: "lease", Some(15247), "Revokes by its clock after standing still for long.";
    CheckpointUnheard: "lease", Some(9888), "Ignores checkpoints of leases while it follows.";
    LaggardDeniesLease: "lease", None, "Denies a lease whose grant it has not applied yet.";
    HandOverRestoresTtl: "lease", Some(17704), "Gives leases all of their time at a hand-over.";
    ExLeaderRevokes: "lease", Some(12528), "Goes on revoking leases when it leads no more.";
    CheckpointOfAnother: "lease", None, "Notes for all leases what is left of the first.";
    RevokedStaysDue: "lease", Some(14087), "Leaves a revoked lease among those that end.";
    RenewedByFollower: "lease", None, "Answers renewals that reach it when it does not lead.";
    RestartRestoresTtl: "lease", Some(9888), "Gives leases all of their time at each restart.";
    CheckpointNotPersisted: "lease", Some(13508), "Keeps checkpoints of leases in memory only.";
    KeepAliveTooLate: "lease", Some(20615), "Renews leases whose revocation is under way.";
    RenewalNotWritten: "lease", None, "Leaves an old checkpoint standing at a renewal.";
    RevokeNotRetried: "lease", None, "Gives up on an expired lease when revoking it fails.";
    RevokedLeaseReturns: "lease", None, "Leaves the record of a revoked lease in the backend.";
    UpdatedKeysLoseLease: "lease", None, "Attaches only keys put once when it starts.";
    NegativeLeaseLost: "lease", Some(14239), "Does not restore leases with negative ids.";
    AlarmNotRestored: "quota", None, "Starts without the alarms that were raised.";
    DisarmedAlarmReturns: "quota", None, "Leaves a disarmed alarm in the backend.";
    ClientRepeatsMutation: "client", None, "Repeats writes that may have happened.";
    ClientDeniesSending: "client", None, "Says of a request that broke off: never sent.";
    ClientResumesTooLate: "client", None, "Resumes a watch one revision too late.";
    ClientSkipsWhenLagging: "client", None, "Counts what a full queue refused as delivered.";
    LockWaitsForOneOnly: "client", None, "Takes the lock when the one before it in the queue goes.";
    ObserverGoesBack: "client", None, "Believes any member's memory who leads an election.";
    ClientResumesFromNow: "client", None, "Resumes a watch from when it finds another member.";
}

#[cfg(feature = "armed")]
static ARMED: [AtomicBool; Bug::ALL.len()] = [const { AtomicBool::new(false) }; Bug::ALL.len()];

/// Is this bug switched on?
#[cfg(feature = "armed")]
#[must_use]
pub fn on(bug: Bug) -> bool {
    ARMED[bug as usize].load(Ordering::Relaxed)
}

/// Is this bug switched on? Never, in this build.
#[cfg(not(feature = "armed"))]
#[inline(always)]
#[must_use]
pub const fn on(_: Bug) -> bool {
    false
}

/// Switches a bug on for the rest of the process.
#[cfg(feature = "armed")]
pub fn arm(bug: Bug) {
    ARMED[bug as usize].store(true, Ordering::Relaxed);
}

impl Bug {
    /// The bug of this name, in any spelling of its words: `AckBeforeSync`, `ack-before-sync`,
    /// `ack_before_sync`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let plain = |text: &'static str| text.chars().map(|c| c.to_ascii_lowercase());
        let wanted = || name.chars().filter(|c| !matches!(c, '-' | '_'));
        let wanted = || wanted().map(|c| c.to_ascii_lowercase());
        Self::ALL.iter().copied().find(|bug| plain(bug.name()).eq(wanted()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_found_by_its_name_however_it_is_spelt() {
        for name in ["AckBeforeSync", "ack-before-sync", "ack_before_sync"] {
            assert_eq!(Bug::named(name), Some(Bug::AckBeforeSync));
        }
        assert_eq!(Bug::named("ack"), None);
    }

    #[test]
    fn no_bug_is_on_unless_somebody_switched_it_on() {
        assert!(Bug::ALL.iter().all(|bug| !on(*bug)));
    }
}
