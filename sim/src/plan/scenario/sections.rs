//! The tables of a scenario whose values are numbers: name, meaning, default, what makes sense.
//!
//! One line per setting, from which come the TOML section, its validation, the JSON schema and the
//! draw (from a stream labelled `section.setting`). `usually` is what a setting has in a run that
//! leaves it out; in a scenario that does not name it, it is drawn from its default range.

use schemars::JsonSchema;
use serde::Deserialize;

use super::span::Span;
use crate::plan::dice::Dice;

const fn one(value: i64) -> Span {
    Span::One(value)
}

const fn range(least: i64, most: i64) -> Span {
    Span::Range(least, most)
}

const fn log(least: i64, most: i64) -> Span {
    Span::LogUniform(least, most)
}

/// Defines a section.
macro_rules! section {
    ($(#[$doc:meta])* $section:ident, drawn $drawn:ident, called $label:literal:
     $($(#[$what:meta])*
       $field:ident: $default:expr, usually $usual:expr, in $least:expr, $most:expr;)*) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $section { $($(#[$what])* pub $field: Span,)* }

        #[doc = concat!("Numbers drawn from a [`", stringify!($section), "`].")]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) struct $drawn { $($(#[$what])* pub $field: i64,)* }

        impl Default for $section {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $section {
            /// What makes no sense about it.
            pub(super) fn complaint(&self) -> Option<String> {
                $(if let Some(why) = self.$field.complaint($least, $most) {
                    return Some(format!(concat!($label, ".", stringify!($field), ": {}"), why));
                })*
                None
            }

            /// Draws every number; each is as usual instead in `omit_percent` of the seeds.
            pub(in crate::plan) fn draw(&self, dice: Dice, omit_percent: i64) -> $drawn {
                $drawn { $($field: {
                    let label = concat!($label, ".", stringify!($field));
                    if dice.chance(&format!("omit.{label}"), omit_percent) {
                        $usual
                    } else {
                        dice.pick(label, self.$field)
                    }
                },)* }
            }
        }
    };
}

section! {
    /// Settings of the server.
    Knobs, drawn DrawnKnobs, called "knobs":
    /// Applied entries between two log truncations.
    snapshot_count: log(2, 2000), usually 10_000, in 1, 10_000_000;
    /// Applied entries kept in the log.
    snapshot_catchup_entries: log(1, 500), usually 5000, in 1, 10_000_000;
    /// Size of a WAL segment.
    wal_segment_bytes: log(2 << 10, 1 << 20), usually 64_000_000, in 1024, 1 << 30;
    /// Bytes of backend above which writes are refused; 0: no limit.
    quota_backend_bytes: one(2 << 30), usually 2 << 30, in 0, 1 << 40;
    /// Largest request.
    max_request_bytes: one(1536 << 10), usually 1536 << 10, in 1024, 1 << 30;
    /// Most operations of a transaction.
    max_txn_ops: one(128), usually 128, in 1, 10_000;
    /// Compact what is older; 0: never.
    auto_compaction_millis: one(0), usually 0, in 0, 1 << 40;
    /// Compact all but so many revisions, every five minutes; 0: never.
    auto_compaction_revisions: one(0), usually 0, in 0, 1 << 40;
    /// Keys looked at in one step of compaction.
    compaction_batch_limit: log(1, 1000), usually 1000, in 1, 1_000_000;
    /// Pause between two such steps.
    compaction_sleep_millis: range(0, 30), usually 10, in 0, 60_000;
    /// Longest time between two backend commits.
    backend_batch_millis: log(5, 2000), usually 2000, in 1, 1 << 40;
    /// redb's page cache.
    backend_cache_bytes: log(64 << 10, 64 << 20), usually 64 << 20, in 0, 1 << 34;
    /// Writes not yet in the backend file, at most.
    backend_overlay_bytes: log(16 << 10, 4 << 20), usually 32 << 20, in 1024, 1 << 34;
    /// Between progress notifications of an idle watcher.
    watch_progress_millis: log(100, 600_000), usually 600_000, in 100, 1 << 40;
    /// One raft tick.
    heartbeat_millis: range(20, 200), usually 100, in 1, 10_000;
    /// Ticks without a leader before an election; shortest lease: one and a half times as long.
    election_ticks: range(5, 10), usually 10, in 5, 50;
    /// Whether a member asks before it campaigns; 0: it does not.
    pre_vote: one(1), usually 1, in 0, 1;
    /// Between two comparisons of the members' data; 0: never.
    corrupt_check_millis: log(100, 100_000), usually 0, in 0, 1 << 40;
}

section! {
    /// Clocks of the members.
    Clocks, drawn DrawnClocks, called "clock":
    /// How much faster than true time, parts per million.
    rate_ppm: range(-50_000, 50_000), usually 0, in -500_000, 500_000;
    /// How far the wall clock is ahead.
    wall_offset_millis: range(-60_000, 60_000), usually 0, in -(1 << 40), 1 << 40;
}

section! {
    /// What all clients share.
    Load, drawn DrawnLoad, called "load":
    /// Simulated seconds of load; healing and the audit come on top.
    seconds: one(30), usually 30, in 1, 100_000;
    /// Machines that send requests or watch, besides the witness.
    clients: range(3, 8), usually 5, in 1, 100;
    /// Keys of each role.
    keys: log(2, 40), usually 12, in 1, 1_000_000;
    /// How much the first keys are preferred: a Zipf exponent in hundredths; 0: not at all.
    key_skew_percent: range(0, 150), usually 0, in 0, 1000;
    /// Bytes of a value, at most.
    value_bytes_max: log(8, 4000), usually 32, in 1, 1 << 24;
    /// Pause of a client between two requests, at most.
    think_max_millis: log(1, 200), usually 40, in 0, 600_000;
    /// Operations of a transaction, at most.
    txn_ops_max: range(1, 10), usually 4, in 1, 1000;
    /// Seconds of a lease, at most.
    lease_ttl_secs_max: range(2, 8), usually 5, in 1, 100_000;
    /// How long a client waits for an answer.
    answer_max_millis: one(7000), usually 7000, in 1, 600_000;
}

section! {
    /// The network between all machines.
    Net, drawn DrawnNet, called "net":
    /// One way, at least.
    latency_least_micros: range(50, 500), usually 200, in 0, 60_000_000;
    /// One way, usually at most: so much more than the least.
    latency_spread_micros: log(100, 5000), usually 2000, in 1, 60_000_000;
    /// Of a thousand segments, so many take longer.
    tail_per_mille: range(0, 10), usually 0, in 0, 1000;
    /// By a factor up to this.
    tail_factor: range(1, 20), usually 1, in 1, 10_000;
    /// Of a thousand segments, so many must be sent again.
    loss_per_mille: one(0), usually 0, in 0, 900;
    /// Each way of each link takes up to so many times as long, and loses as much more.
    unevenness: range(1, 3), usually 1, in 1, 100;
}

section! {
    /// The disks of all members.
    Disk, drawn DrawnDisk, called "disk":
    /// How many times as long everything takes as on a decent solid state disk.
    slowness: one(1), usually 1, in 1, 100;
}
