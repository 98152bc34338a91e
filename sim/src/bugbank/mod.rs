//! `cargo sim bugbank`: how well does the simulator find bugs that are known to be there?
//!
//! Each bug of `reseed_planted` is switched on, and the general scenarios are run with it, seed
//! after seed, until one of them is violated. Nothing tells them which bug is on: the scenarios,
//! their order and their seeds depend on the master seed alone, and are the same for all bugs. A
//! violation counts only if the same seed passes without the bug.
//!
//! - `command`: all of them, a process per run;
//! - [`hunt`]: one bug from one master seed, without processes;
//! - [`ledger`]: hunts that are over, in a file;
//! - [`table`]: what came of it.

#[cfg(madsim)]
mod command;
pub mod hunt;
pub mod ledger;
pub mod table;

#[cfg(madsim)]
pub use command::{Options, command};
