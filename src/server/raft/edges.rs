//! What the driver takes from its neighbours, and what it hands to them: peers, and apply.

use std::path::PathBuf;

use raft::eraftpb::{Entry, Message};
use tokio::sync::oneshot;

/// What comes from other members.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// Messages arrived, checked by themselves but not yet by raft.
    Received(Vec<Message>),
    /// What was sent to this member lately was lost.
    Unreachable(u64),
    /// Nobody listens where this member did.
    Gone(u64),
    /// A snapshot arrived, and waits as a database beside the one in use.
    Snapshot {
        /// Raft's message about it.
        message: Box<Message>,
        /// The database.
        from: PathBuf,
        /// Told when it is installed, or not needed.
        done: oneshot::Sender<()>,
    },
    /// A snapshot has arrived at this member, or was given up.
    SnapshotSent {
        /// The member it was for.
        to: u64,
        /// Did it arrive?
        arrived: bool,
    },
}

/// Where messages for other members are left.
pub(crate) trait Outbound: Send {
    /// Takes the messages without waiting, in order per member; answers the members whose messages
    /// it had no room for.
    fn send(&self, messages: Vec<Message>) -> Vec<u64>;
}

/// What the driver hands to apply, in the order of the log.
#[derive(Debug)]
pub(crate) enum Committed {
    /// Entries to execute.
    Entries(Vec<Entry>),
    /// A state that stands for all entries so far.
    Install {
        /// The database, beside the one in use.
        from: PathBuf,
        /// Told when it is in place.
        done: oneshot::Sender<()>,
    },
}
