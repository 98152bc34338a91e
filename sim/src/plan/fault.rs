//! What can go wrong in a run: the catalogue of faults, as data.
//!
//! A plan holds a list of these with their times; `nemesis` carries them out; how often each kind
//! fired is counted under its name ([`FaultKind::name`]), which scenarios and tables use too.
//! Some things go wrong without being asked for: a power failure tears sectors and loses names.
//! Those have names in [`EFFECTS`].
//!
//! A member is named by its number, from 0, or by its rank; clients' machines by their numbers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    units::millis,
    whom::{Shape, Whom},
};

/// One thing that goes wrong.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// When, from the beginning of the load.
    #[serde(with = "millis")]
    pub at: Duration,
    /// What.
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// A file of a member's data directory, for damage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A segment of the write-ahead log.
    Wal,
    /// The backend's file.
    Backend,
    /// Anything else: snapshots, names, locks.
    Other,
}

/// A machine, for network faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// A member.
    Member(Whom),
    /// A client's machine, by its number.
    Client(u32),
    /// All clients' machines.
    Clients,
    /// Everybody else.
    Others,
}

/// What can go wrong. Durations are true simulated time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    // ---- process ----
    /// The power fails at the n-th change of the disk from then; the machine boots by itself.
    PowerAtDiskOp {
        /// Which member.
        member: Whom,
        /// After so many more changes.
        n: u64,
    },
    /// The program is killed there; it starts by itself.
    KillAtDiskOp {
        /// Which member.
        member: Whom,
        /// After so many more changes.
        n: u64,
    },
    /// The power fails at the n-th time a task of the member is polled from then.
    PowerAtAwait {
        /// Which member.
        member: Whom,
        /// After so many more polls.
        n: u64,
    },
    /// The program is killed there.
    KillAtAwait {
        /// Which member.
        member: Whom,
        /// After so many more polls.
        n: u64,
    },
    /// The power fails at once, for so long.
    PowerCut {
        /// Which member.
        member: Whom,
        /// Down for.
        #[serde(with = "millis")]
        down: Duration,
    },
    /// The program is killed, and started again after so long.
    ProcessKill {
        /// Which member.
        member: Whom,
        /// Down for.
        #[serde(with = "millis")]
        down: Duration,
    },
    /// The program is asked to stop, and started again after so long.
    Stop {
        /// Which member.
        member: Whom,
        /// Down for.
        #[serde(with = "millis")]
        down: Duration,
    },
    /// All its tasks stand still.
    Pause {
        /// Which member.
        member: Whom,
        /// For.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    /// Each poll of a task takes so long: a machine with hardly any processor.
    SlowCpu {
        /// Which member.
        member: Whom,
        /// Extra time a poll, microseconds.
        micros: u64,
        /// For.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    // ---- disk ----
    /// The n-th sync from then fails, and what it should have made durable is gone.
    SyncError {
        /// Which member.
        member: Whom,
        /// After so many more syncs.
        n: u64,
    },
    /// The n-th read from then fails with EIO.
    ReadError {
        /// Which member.
        member: Whom,
        /// After so many more reads.
        n: u64,
    },
    /// The n-th write or change of length from then fails with EIO.
    WriteError {
        /// Which member.
        member: Whom,
        /// After so many more writes.
        n: u64,
    },
    /// No room.
    DiskFull {
        /// Which member.
        member: Whom,
        /// For.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    /// Every operation takes so many times as long.
    SlowDisk {
        /// Which member.
        member: Whom,
        /// How many times.
        factor: u32,
        /// For.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    /// The next operation of the disk takes this long.
    DiskStall {
        /// Which member.
        member: Whom,
        /// How long.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    /// Bits of a durable file flip while the member is down; it is taken down for it.
    BitRot {
        /// Which member.
        member: Whom,
        /// In which file.
        file: FileKind,
        /// How many bits.
        bits: u32,
    },
    /// From then, one write of a file lands elsewhere in it (a multiple of 512 bytes away).
    MisdirectedWrite {
        /// Which member.
        member: Whom,
        /// In which file.
        file: FileKind,
        /// After so many more writes.
        n: u64,
    },
    // ---- network ----
    /// Nothing gets from one to the other.
    Cut {
        /// From.
        from: Host,
        /// To.
        to: Host,
        /// The other way neither?
        both_ways: bool,
        /// For.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    /// Segments are lost, and sent again.
    Lossy {
        /// Whose links, both ways.
        host: Host,
        /// How many of a hundred.
        percent: u32,
        /// For.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    /// Everything takes longer.
    SlowLink {
        /// Whose links, both ways.
        host: Host,
        /// Each segment so much longer, at most.
        #[serde(with = "millis")]
        latency: Duration,
        /// For.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    /// Open connections of a machine are reset, each in the middle of what it carries.
    Resets {
        /// Whose.
        host: Host,
        /// How many at most.
        n: u32,
    },
    /// A client's machine is gone without a word, for ever; another takes its place.
    SilentDeath {
        /// Which client.
        client: u32,
    },
    /// One side of a machine's connections forgets them, the other still believes: what comes is
    /// dropped until the believer writes and gets a reset.
    HalfOpen {
        /// Whose connections are forgotten.
        host: Host,
    },
    /// A machine reads nothing from its sockets: backpressure.
    SlowReader {
        /// Which.
        host: Host,
        /// For.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    // ---- clusters ----
    /// Members do not hear each other.
    Partition {
        /// Who does not hear whom.
        shape: Shape,
        /// Around whom.
        member: Whom,
        /// Off and on again so many times, in even parts.
        flaps: u32,
        /// For, all in all.
        #[serde(with = "millis")]
        lasting: Duration,
    },
    /// Several members go at once.
    Blackout {
        /// The first of them; those with the next numbers follow.
        member: Whom,
        /// How many.
        n: u32,
        /// Is it the power? Else the program is killed.
        power: bool,
        /// Down for.
        #[serde(with = "millis")]
        down: Duration,
        /// The last of them comes back then, the one before it so much later, and so on.
        #[serde(with = "millis", default)]
        apart: Duration,
    },
    /// One member after the other is stopped and started again.
    RollingRestart {
        /// Each is down for.
        #[serde(with = "millis")]
        down: Duration,
    },
    /// A member's disk is lost: it is removed from the cluster, and added again with an empty one.
    Rejoin {
        /// Which member.
        member: Whom,
        /// Does it learn before it votes?
        learner: bool,
    },
    /// A machine that is no member becomes one, if there is any.
    Grow {
        /// Does it learn before it votes?
        learner: bool,
    },
    /// A running member is removed, unless it is the only one; its disk is thrown away.
    Shrink {
        /// Which member.
        member: Whom,
    },
    /// A member gets another address: the others are told, and it starts again there.
    Readdress {
        /// Which member.
        member: Whom,
    },
    /// All members but the one that leads lose their disks for good: it goes on alone, and they are
    /// added to it one by one.
    LostMajority {
        /// Do they learn before they vote?
        learner: bool,
    },
    // ---- clocks ----
    /// The wall clock jumps.
    ClockJump {
        /// Which member.
        member: Whom,
        /// So many milliseconds, either way.
        millis: i64,
    },
    /// The clock's rate changes, from then on.
    ClockDrift {
        /// Which member.
        member: Whom,
        /// Parts per million, either way.
        ppm: i32,
    },
}

/// What goes wrong as a consequence, by name: nobody schedules it, the world counts it.
pub const EFFECTS: [&str; 6] =
    ["torn_write", "lost_write", "lost_name", "lost_segment", "refused_connection", "buggify"];

impl FaultKind {
    /// Names of all kinds, as counted.
    pub const NAMES: [&str; 35] = [
        "power_at_disk_op",
        "kill_at_disk_op",
        "power_at_await",
        "kill_at_await",
        "power_cut",
        "process_kill",
        "stop",
        "pause",
        "slow_cpu",
        "sync_error",
        "read_error",
        "write_error",
        "disk_full",
        "slow_disk",
        "disk_stall",
        "bit_rot",
        "misdirected_write",
        "cut_one_way",
        "cut_both_ways",
        "lossy",
        "slow_link",
        "resets",
        "silent_death",
        "half_open",
        "slow_reader",
        "partition",
        "blackout",
        "rolling_restart",
        "rejoin",
        "grow",
        "shrink",
        "readdress",
        "lost_majority",
        "clock_jump",
        "clock_drift",
    ];

    /// Those that need several members.
    pub const OF_CLUSTERS: [&str; 8] = [
        "partition",
        "blackout",
        "rolling_restart",
        "rejoin",
        "grow",
        "shrink",
        "readdress",
        "lost_majority",
    ];

    /// Its name, as counted.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::PowerAtDiskOp { .. } => "power_at_disk_op",
            Self::KillAtDiskOp { .. } => "kill_at_disk_op",
            Self::PowerAtAwait { .. } => "power_at_await",
            Self::KillAtAwait { .. } => "kill_at_await",
            Self::PowerCut { .. } => "power_cut",
            Self::ProcessKill { .. } => "process_kill",
            Self::Stop { .. } => "stop",
            Self::Pause { .. } => "pause",
            Self::SlowCpu { .. } => "slow_cpu",
            Self::SyncError { .. } => "sync_error",
            Self::ReadError { .. } => "read_error",
            Self::WriteError { .. } => "write_error",
            Self::DiskFull { .. } => "disk_full",
            Self::SlowDisk { .. } => "slow_disk",
            Self::DiskStall { .. } => "disk_stall",
            Self::BitRot { .. } => "bit_rot",
            Self::MisdirectedWrite { .. } => "misdirected_write",
            Self::Cut { both_ways: false, .. } => "cut_one_way",
            Self::Cut { both_ways: true, .. } => "cut_both_ways",
            Self::Lossy { .. } => "lossy",
            Self::SlowLink { .. } => "slow_link",
            Self::Resets { .. } => "resets",
            Self::SilentDeath { .. } => "silent_death",
            Self::HalfOpen { .. } => "half_open",
            Self::SlowReader { .. } => "slow_reader",
            Self::Partition { .. } => "partition",
            Self::Blackout { .. } => "blackout",
            Self::RollingRestart { .. } => "rolling_restart",
            Self::Rejoin { .. } => "rejoin",
            Self::Grow { .. } => "grow",
            Self::Shrink { .. } => "shrink",
            Self::Readdress { .. } => "readdress",
            Self::LostMajority { .. } => "lost_majority",
            Self::ClockJump { .. } => "clock_jump",
            Self::ClockDrift { .. } => "clock_drift",
        }
    }
}
