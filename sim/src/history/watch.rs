//! The life of a watch, as its client sees it.
//!
//! A watch has one name for as long as its client goes on watching: when a stream breaks, it opens
//! again under the same name, from the revision after the last it saw.

use serde::{Deserialize, Serialize};

use super::{is_default, request::Version};

/// Names a watch within a run.
pub type WatchId = u64;

/// What happens to a watch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum WatchStep {
    /// The client asks for it, or asks again after a break.
    Open {
        /// For what.
        spec: WatchSpec,
    },
    /// The server has it.
    Created {
        /// The store's revision, from the header.
        revision: i64,
    },
    /// Changes arrive.
    Events {
        /// The store's revision, from the header.
        revision: i64,
        /// In the order received.
        changes: Vec<Change>,
        /// More of the same response follows in another message.
        #[serde(default, skip_serializing_if = "is_default")]
        fragment: bool,
    },
    /// Everything up to a revision has been sent: a bookmark.
    Progress {
        /// That revision, from the header.
        revision: i64,
    },
    /// The server ends it.
    Canceled {
        /// Not 0: the start was compacted, this is the oldest revision there is.
        #[serde(default, skip_serializing_if = "is_default")]
        compact_revision: i64,
        /// The server's words.
        #[serde(default, skip_serializing_if = "is_default")]
        reason: String,
    },
    /// The stream is gone.
    Broken {
        /// What the client saw.
        error: String,
    },
    /// The client wants no more of it.
    Closed,
}

/// What a watch asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WatchSpec {
    /// The key, or the first.
    pub key: String,
    /// As in [`super::request::Range`].
    #[serde(skip_serializing_if = "is_default")]
    pub end: String,
    /// From here on; 0: from now.
    #[serde(skip_serializing_if = "is_default")]
    pub start_revision: i64,
    /// With what was there before.
    #[serde(skip_serializing_if = "is_default")]
    pub prev_kv: bool,
    /// Tell when there is nothing to tell.
    #[serde(skip_serializing_if = "is_default")]
    pub progress_notify: bool,
    /// Without puts.
    #[serde(skip_serializing_if = "is_default")]
    pub no_put: bool,
    /// Without deletions.
    #[serde(skip_serializing_if = "is_default")]
    pub no_delete: bool,
    /// Large responses may come in pieces.
    #[serde(skip_serializing_if = "is_default")]
    pub fragment: bool,
}

/// A change of a key, as a watcher is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub key: String,
    /// When.
    pub revision: i64,
    /// What it is now; `None`: deleted.
    pub now: Option<Version>,
    /// What it was, if asked for and there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prev: Option<Version>,
}
