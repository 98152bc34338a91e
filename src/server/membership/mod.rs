//! The membership: decided by the log, kept in one place, followed by everybody else.
//!
//! ```text
//!   rpc ──► Changer (checks; at the leader) ──► driver ──► log ──► apply ──► Machine.members
//!                                                                     │ Roster, after each change
//!                     raft's configuration ◄── Voters ◄───────────────┤
//!                     routes to peers, who was removed ◄──────────────┘
//! ```
//!
//! # What is promised
//! * **One place.** [`reseed_core::cluster::Members`] is the membership; it changes by entries of
//!   the log and is stored with them. Raft's configuration, the routes to peers and whether this
//!   member is a learner are *derived* from it after each change, never stored as truth of their
//!   own. At a restart the backend holds the members as of its applied index, raft begins with the
//!   configuration that follows from them at that index, and the log replays the rest.
//! * **From the first entry on.** A new cluster's members are its first entries, the same at each
//!   of them, committed by birth: a member that joins later needs nothing but the log.
//! * **One change at a time** (Raft §4.1). A change is one server; raft takes none while another
//!   is not applied, and the leader asks it before proposing.
//! * **A refused change changes nothing**, and raft's configuration follows the members, not the
//!   entries: what apply refused never reaches it.
//!
//! How changes stand in the log is [`crate::raft::changes`]'s to know.

mod changer;
pub(crate) mod join;
mod roster;
mod rules;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use changer::Changer;
pub(crate) use roster::Roster;
