//! The simulator: the real server in a simulated machine room, under seeded faults.
//!
//! Modules in reading order:
//! - [`world`]: what a node's disk, network, clocks and chance are;
//! - [`fingerprint`]: one hash over everything that happened in a run;
//! - [`history`]: what clients did and saw; [`check`]: whether etcd allows that; `edn`: a syntax;
//! - `run`: one simulation in this process; `sysint`: what that needs of libc;
//! - [`plan`]: scenario files, and what a seed makes of them; [`rules`]: what a checker may assume
//!   of that;
//! - `nemesis`: carries out the faults of a plan, and undoes them;
//! - `workload`: clients, watchers, the audit; `trial`: boot, load, heal, audit, check;
//! - `consensus`: raft's promises, judged while the run goes on;
//! - [`figures`]: what a run counts; [`errors`]: error lines of the server's log;
//! - `selftest`, `selftest_faults`: the world, and every fault, proven with a tiny service instead
//!   of the server;
//! - `one`: a plan run in this process; [`judge`], [`signature`], [`report`], [`bundle`]: from
//!   what it found to a verdict, and how that is told and kept;
//! - [`fleet`], [`swarm`]: many simulations, a process each; `cli`: the command; [`out`]: what it
//!   prints;
//! - [`bugbank`]: how well bugs on purpose are found.
//!
//! Built with `--cfg madsim` (by `cargo sim`) it simulates; built without, only the pure parts are
//! there (models, checkers, files), which is enough for their tests. It contains no logic of the
//! server, and the server none of its.

pub mod bugbank;
pub mod bundle;
pub mod check;
pub mod consensus;
pub(crate) mod edn;
pub mod errors;
pub mod figures;
pub mod fingerprint;
pub mod fleet;
pub mod history;
pub mod judge;
pub mod out;
pub mod pace;
pub mod plan;
pub mod report;
pub mod rules;
pub mod signature;
pub mod swarm;
pub mod workload;
pub mod world;

#[cfg(madsim)]
pub mod cli;
#[cfg(madsim)]
pub mod nemesis;
#[cfg(madsim)]
pub mod one;
#[cfg(madsim)]
pub mod run;
#[cfg(madsim)]
pub mod selftest;
#[cfg(madsim)]
pub mod selftest_faults;
#[cfg(madsim)]
pub mod sysint;
#[cfg(madsim)]
pub mod trial;
