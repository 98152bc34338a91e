//! How faults go, where the section `faults` says how many.

use schemars::JsonSchema;
use serde::Deserialize;

use super::span::Span;

/// Defines the section: what each fault draws its details from.
macro_rules! details {
    ($($(#[$what:meta])* $field:ident: $least:expr, $most:expr;)*) => {
        /// How faults go.
        #[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct How { $($(#[$what])* pub $field: Span,)* }

        impl Default for How {
            fn default() -> Self {
                Self { $($field: Span::Range($least, $most),)* }
            }
        }

        impl How {
            /// What makes no sense about it.
            pub(super) fn complaint(&self) -> Option<String> {
                const BOUND: i64 = 1 << 40;
                $({
                    // Only what is a change either way may be below zero.
                    let least = if $least < 0 { -BOUND } else { 0 };
                    if let Some(why) = self.$field.complaint(least, BOUND) {
                        return Some(format!(concat!("how.", stringify!($field), ": {}"), why));
                    }
                })*
                None
            }
        }
    };
}

details! {
    /// When in the load a fault begins, percent of its time.
    begin_percent: 0, 85;
    /// `power_at_disk_op`, `kill_at_disk_op`: at which change of the disk from then.
    disk_op: 0, 120;
    /// `power_at_await`, `kill_at_await`: at which poll of a task.
    await_n: 0, 2000;
    /// How long a machine or program is down.
    down_millis: 100, 3000;
    /// How long a pause, a cut, a full disk and the like last.
    lasting_millis: 200, 8000;
    /// `slow_cpu`: what each poll of a task takes besides.
    cpu_micros: 20, 2000;
    /// `sync_error`: at which sync.
    sync_op: 0, 60;
    /// `read_error`: at which read.
    read_op: 0, 20;
    /// `write_error`: at which write.
    write_op: 0, 60;
    /// `slow_disk`: how many times as long.
    disk_factor: 2, 50;
    /// `disk_stall`: how long.
    stall_millis: 50, 5000;
    /// `bit_rot`: how many bits.
    bits: 1, 8;
    /// `misdirected_write`: at which write.
    misdirect_op: 0, 40;
    /// `lossy`: how many segments of a hundred.
    loss_percent: 1, 30;
    /// `slow_link`: how much longer.
    latency_millis: 5, 500;
    /// `resets`: how many connections at most.
    resets: 1, 8;
    /// Chance that a fault of a member is for whoever leads then, percent, where there are several.
    leader_percent: 40, 40;
    /// `partition`: how often it comes and goes.
    flaps: 1, 4;
    /// `blackout`: how many members, at most all.
    blackout_members: 1, 7;
    /// `blackout`: how much later than the next one each is back, in every second one.
    apart_millis: 100, 2000;
    /// `clock_jump`: by how much.
    jump_millis: -60_000, 60_000;
    /// `clock_drift`: how fast from then.
    drift_ppm: -50_000, 50_000;
}
