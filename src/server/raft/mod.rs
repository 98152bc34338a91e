//! Consensus: how one proposal becomes one entry, durable and in the same place everywhere.
//!
//! # The shape
//!
//! [`driver`] is the loop: one task, one closed enum of events, the only writer of the WAL. It
//! feeds [`node`], a pure step around raft-rs, and carries out what comes back: append, sync,
//! send, apply. [`log_view`] is the part of the log that raft may read. [`reads`] batches
//! linearizable reads into one ReadIndex round. [`succession`] hands over when the driver stands
//! still; [`hurry`] makes the election sooner when the leader's process is gone.
//!
//! # What is promised
//!
//! * **Nothing is answered before it is durable.** Entries are synced before raft is told that
//!   they are; raft commits them only then; only committed entries are applied and answered
//!   (etcd's one-member bug #14370 was the other order).
//! * **One sync for many.** While a sync runs, proposals gather in the queue; all of them share
//!   the next one. No timer is involved.
//! * **A failed sync is final.** What the kernel did with the dirty pages is unknown, so the
//!   member halts and recovers from what the disk really holds.
//! * **Reads are never stale.** A linearizable read waits for an index that a quorum confirmed
//!   after the read arrived (Raft §6.4), then for that index to be applied.
//!
//! # Options of raft-rs
//!
//! Pre-vote and check-quorum are on. ReadIndex is `Safe`, never lease-based: a paused leader's
//! clock proves nothing. A proposal batch is one `MsgPropose` with many entries.
//!
//! # Caveats
//!
//! raft-rs drops a ReadIndex when the leader has not committed in its term; [`reads`] asks again
//! on the tick.

pub(crate) mod changes;
pub(crate) mod driver;
mod edges;
pub(crate) mod hurry;
pub(crate) mod log_view;
pub(crate) mod node;
pub(crate) mod read_queue;
pub(crate) mod reads;
pub(crate) mod succession;
pub(crate) mod voters;

pub(crate) use edges::{Committed, Outbound, PeerEvent};

#[cfg(test)]
mod tests;
