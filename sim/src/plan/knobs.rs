//! Settings of a run's members, network and load, as a plan holds them: every number decided.
//!
//! Plain data that a file can hold and a person can change. Bytes are bytes, times are written in
//! milliseconds or microseconds as the names say.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::{micros, millis, one};

/// The server's settings, equal on all members; the names are those of `reseed_server::Config`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// Applied entries between two log truncations.
    pub snapshot_count: u64,
    /// Applied entries kept in the log.
    pub snapshot_catchup_entries: u64,
    /// Bytes of a WAL segment.
    pub wal_segment_bytes: u64,
    /// Bytes of backend above which writes are refused; nothing: no limit.
    pub quota_backend_bytes: Option<u64>,
    /// Largest request.
    pub max_request_bytes: u64,
    /// Most operations of a transaction.
    pub max_txn_ops: u64,
    /// Compaction without being asked.
    pub auto_compaction: AutoCompaction,
    /// Keys looked at in one step of compaction.
    pub compaction_batch_limit: u64,
    /// Pause between two such steps.
    #[serde(with = "millis")]
    pub compaction_sleep_interval: Duration,
    /// Longest time between two backend commits.
    #[serde(with = "millis")]
    pub backend_batch_interval: Duration,
    /// Bytes of redb's page cache.
    pub backend_cache_bytes: u64,
    /// Bytes of writes not yet in the backend file, at most.
    pub backend_overlay_bytes_max: u64,
    /// Between progress notifications of an idle watcher.
    #[serde(with = "millis")]
    pub watch_progress_notify_interval: Duration,
    /// One raft tick.
    #[serde(with = "millis")]
    pub heartbeat_interval: Duration,
    /// Time without a leader before an election.
    #[serde(with = "millis")]
    pub election_timeout: Duration,
    /// Ask before campaigning.
    pub pre_vote: bool,
    /// Between two comparisons of the members' data; zero: never.
    #[serde(default, with = "millis")]
    pub corrupt_check_interval: Duration,
}

/// How old revisions are compacted without anybody asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoCompaction {
    /// Never.
    Off,
    /// Keep what was current within so many milliseconds.
    PeriodicMillis(u64),
    /// Keep so many revisions.
    Revisions(u64),
}

/// A member's clock when it first boots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockKnobs {
    /// How much faster than true time it runs, parts per million; negative: slower.
    pub rate_ppm: i32,
    /// How far the wall clock is ahead; negative: behind.
    pub wall_offset_millis: i64,
}

impl ClockKnobs {
    /// Local seconds per true second.
    #[must_use]
    pub fn rate(self) -> f64 {
        1.0 + f64::from(self.rate_ppm) / 1e6
    }
}

/// What all clients share.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// How long clients send.
    #[serde(rename = "lasting_millis", with = "millis")]
    pub lasting: Duration,
    /// Keys in use, of each role that has keys of its own.
    pub keys: u64,
    /// How much more often the first keys are chosen: the exponent of a Zipf distribution, in
    /// hundredths; 0: all alike.
    pub key_skew_percent: u32,
    /// Bytes of a value, at most.
    pub value_bytes_max: u64,
    /// Pause of a client between two requests, at most.
    #[serde(rename = "think_max_millis", with = "millis")]
    pub think_max: Duration,
    /// Operations of a transaction, at most.
    pub txn_ops_max: u64,
    /// Seconds of a lease, at most.
    pub lease_ttl_secs_max: u64,
    /// How long a client waits for an answer.
    #[serde(rename = "answer_max_millis", with = "millis")]
    pub answer_max: Duration,
}

/// The network between all machines, where no fault changes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Net {
    /// Of each segment, one way.
    pub latency: Latency,
    /// Segments that must be sent again, of a thousand.
    pub loss_per_mille: u32,
    /// Each way of each link takes up to so many times as long, and loses as much more.
    #[serde(default = "one")]
    pub unevenness: u32,
}

/// How long segments take.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// At least.
    #[serde(rename = "least_micros", with = "micros")]
    pub least: Duration,
    /// Usually at most, evenly distributed.
    #[serde(rename = "most_micros", with = "micros")]
    pub most: Duration,
    /// Of a thousand segments, so many take a multiple: up to `tail_factor` times `most`.
    pub tail_per_mille: u32,
    /// See above; 1: no tail.
    pub tail_factor: u32,
}
