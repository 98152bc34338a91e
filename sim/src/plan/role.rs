//! What a client's machine does in a run: the catalogue of workloads.
//!
//! A plan lists one role per client machine; `workload` has a file for each. All roles record into
//! one history, share one key space cut by prefix, and never write a value twice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a client does.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Puts, gets, deletes and compare-and-swaps single keys.
    Register,
    /// Appends to lists with read-then-guarded transactions over several keys.
    Append,
    /// Moves money between accounts in transactions; the sum stays.
    Bank,
    /// Behaves like Kubernetes: lists, watches from the list's revision, creates, updates and
    /// deletes guarded by mod revision, some keys on leases.
    Kubernetes,
    /// Watches: past, now, future; filters, prev_kv, fragments; resumes after every break.
    Watcher,
    /// Watches and reads its stream slowly.
    SlowWatcher,
    /// Grants, renews, revokes leases and lets them expire; attaches keys.
    Lease,
    /// Renews leases of others at every member, also those that are gone.
    Keeper,
    /// Takes and gives back locks of the client crate's recipes.
    Lock,
    /// Campaigns, proclaims, observes and resigns, by the client crate's recipes.
    Election,
    /// Compacts, defragments, hashes, takes snapshots, asks for status.
    Maintenance,
    /// Fills the store up to its quota, and makes room again when the alarm is raised.
    Quota,
    /// Sends requests from the whole input space of every field.
    Explorer,
    /// Reads serializably and at past revisions.
    PastReader,
    /// Reads what registers have written now, by a quorum.
    Reader,
    /// The same as `Register` through the client crate of the repository, which retries.
    Library,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Register,
        Self::Append,
        Self::Bank,
        Self::Kubernetes,
        Self::Watcher,
        Self::SlowWatcher,
        Self::Lease,
        Self::Keeper,
        Self::Lock,
        Self::Election,
        Self::Maintenance,
        Self::Quota,
        Self::Explorer,
        Self::PastReader,
        Self::Reader,
        Self::Library,
    ];

    /// Whether it changes anything that others could see.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(
            self,
            Self::Watcher
                | Self::SlowWatcher
                | Self::Keeper
                | Self::PastReader
                | Self::Reader
                | Self::Maintenance
        )
    }
}
