//! What clients did and saw: one schema for recording, checking and files.
//!
//! An operation is two events, its invocation and its outcome; the time between them is when it
//! may have taken effect. An outcome that is unknown (a timeout, a broken connection) leaves the
//! operation open for ever. Watches record each step of their streams, locks what their holders
//! believe, and the trial when members went and came back. Times are true simulated nanoseconds,
//! so that events of different clients compare.
//!
//! Values are unique per run, which lets a checker tell from a value who wrote it.
//!
//! - [`request`]: what is asked, and with what it is answered;
//! - [`watch`]: the life of a watch;
//! - `file`: JSON lines, `edn`: Jepsen's form, in and out;
//! - `recorder`: collects while a simulation runs.

mod edn;
mod file;
mod recorder;
pub mod request;
pub mod watch;

use serde::{Deserialize, Serialize};

pub use edn::write_edn;
pub(crate) use edn::{is_ours, read_edn};
pub use file::{read, write};
pub use recorder::Recorder;
pub use request::{Body, Request, Response};
pub use watch::{Change, WatchId, WatchSpec, WatchStep};

/// Names an operation within a run.
pub type OpId = u64;

/// One line of a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// True simulated time, nanoseconds.
    pub at: u64,
    /// Who: each client does one thing at a time, except that its watches go on meanwhile.
    pub client: u32,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// Stands for a member in the history of a client that does not know which one it asks.
pub const SOME_MEMBER: u32 = u32::MAX;

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A client sends a request.
    Invoke {
        /// The operation this begins.
        op: OpId,
        /// Which member it is sent to, from 0.
        #[serde(default, skip_serializing_if = "is_default")]
        member: u32,
        /// What it asks.
        request: Request,
    },
    /// It was answered.
    Ok {
        /// The operation this ends.
        op: OpId,
        /// With what.
        response: Response,
    },
    /// It was refused and certainly had no effect.
    Fail {
        /// The operation this ends.
        op: OpId,
        /// The text of the gRPC status, such as `etcdserver: requested lease not found`.
        error: String,
    },
    /// It had its effect, or has it later, or never.
    Unknown {
        /// The operation this leaves open.
        op: OpId,
        /// What the client saw.
        error: String,
    },
    /// A step in the life of a watch.
    Watch {
        /// Which watch: one name for all the streams it resumes on.
        watch: WatchId,
        /// Which member serves it, from 0.
        #[serde(default, skip_serializing_if = "is_default")]
        member: u32,
        /// What happened.
        #[serde(flatten)]
        step: WatchStep,
    },
    /// What the holder of a lock, or the leader of an election, believes.
    Lock {
        /// Which lock.
        lock: String,
        /// What it believes from now on.
        step: LockStep,
    },
    /// Something happened to a member that promises depend on.
    Member {
        /// Which, from 0.
        member: u32,
        /// What.
        step: MemberStep,
    },
    /// No more faults from here on; liveness is due.
    Healed,
}

/// What the holder of a lock believes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "believes", rename_all = "snake_case")]
pub enum LockStep {
    /// The lock is ours.
    Acquired {
        /// The lock's key of this holder.
        key: String,
        /// Its create revision: the fencing token.
        token: i64,
        /// The lease it hangs on.
        lease: i64,
    },
    /// We are about to give it back: it is ours no more.
    Released,
    /// We may have lost it: the lease is gone or not renewed in time.
    Lost,
}

/// What happened to a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStep {
    /// Its program starts.
    Boot,
    /// It is down, by a crash or because it stopped itself.
    Down,
    /// Its tasks stand still.
    Paused,
    /// They go on.
    Resumed,
    /// It leads, the first of its term.
    Leads,
}

/// Serde's way to leave out what says nothing.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests;
