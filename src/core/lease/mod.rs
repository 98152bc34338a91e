//! Leases: the replicated [`Table`] and the volatile deadlines of [`expiry`].
//!
//! The table is part of the state machine and never looks at a clock: a lease ends when an entry
//! of the log says so. Who proposes that entry, and when, is decided by the deadlines, which each
//! member keeps for itself and loses when it stops.

pub mod expiry;
mod table;
#[cfg(test)]
mod tests;

pub use table::{Lease, Table};
