//! A run with nothing left to choose: what a seed and a scenario come to, and what a file holds.
//!
//! A plan is explicit. It can be printed, stored, changed by hand and run again, and it means the
//! same run as long as the server and the simulated world do, whatever becomes of the generators
//! that drew it. Chance that is drawn while the run goes on (scheduling, latencies, which unsynced
//! write survives, what a client asks next) comes from streams of the plan's seed, one per label.
//!
//! - [`fault`]: what can go wrong; [`role`]: what clients do; [`knobs`]: settings;
//! - [`scenario`]: the file a person writes, with ranges where the seed shall choose.

mod dice;
mod draw;
pub mod fault;
pub mod knobs;
pub mod role;
pub mod scenario;
mod schedule;
pub(crate) mod units;
pub mod whom;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use fault::{Fault, FaultKind};
pub use knobs::{AutoCompaction, ClockKnobs, Knobs, Latency, Load, Net};
pub use role::Role;
pub use whom::Whom;

/// The format of plan files.
pub const VERSION: u32 = 1;

/// A run with nothing left to choose.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Of the format.
    pub version: u32,
    /// Of the scenario.
    pub name: String,
    /// The root of all streams.
    pub seed: u64,
    /// Bugs on purpose, by name.
    pub planted: Vec<String>,
    /// How many machines there are for members; in the end all of them are.
    pub members: u32,
    /// How many of them found the cluster; nothing: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub founders: Option<u32>,
    /// The server's settings.
    pub knobs: Knobs,
    /// Of each member.
    pub clocks: Vec<ClockKnobs>,
    /// Are points of `rt::buggify` armed (a quarter of them, by the seed)?
    pub buggify: bool,
    /// What client machine 0, 1, … does. The one watcher that the
    /// checker takes as its witness is not among them: every run has it.
    pub clients: Vec<Role>,
    /// What all clients share.
    pub load: Load,
    /// The network.
    pub net: Net,
    /// How many times as long everything takes on members' disks as on a decent solid state disk.
    #[serde(default = "units::one")]
    pub disk_slowness: u32,
    /// What goes wrong, in order.
    pub faults: Vec<Fault>,
    /// What a pass is.
    pub expect: Expect,
    /// Bounds.
    pub limits: Limits,
}

/// What a pass is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The class of a violation that must be found; nothing: none may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violation: Option<String>,
}

/// Bounds of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Simulated time after which a run counts as hanging.
    pub sim_seconds: u64,
    /// Fewer acknowledged operations make a run inconclusive.
    pub acknowledged_min: u64,
    /// Fewer crashes do too.
    pub crashes_min: u64,
    /// So do fewer faults of these kinds that bit (names of [`FaultKind::NAMES`] and
    /// [`fault::EFFECTS`]).
    pub fired: BTreeMap<String, u64>,
    /// The cluster commits something at least this often while there is load, in election
    /// timeouts; half a second more is allowed for the election itself. Nothing: it need not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standstill_elections: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sim_seconds: 600,
            acknowledged_min: 40,
            crashes_min: 0,
            fired: BTreeMap::new(),
            standstill_elections: None,
        }
    }
}
