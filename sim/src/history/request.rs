//! Requests and their answers, field by field as etcd has them, in strings.
//!
//! Keys and values are text; `"\0"` has the meaning etcd gives it in ranges. What is left out in a
//! file has its default, which is etcd's.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::is_default;

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Reads keys.
    Range(Range),
    /// Writes a key.
    Put(Put),
    /// Deletes keys.
    Delete(Delete),
    /// Compares, and does one thing or the other.
    Txn(Txn),
    /// Forgets history below a revision.
    Compact {
        /// Below which.
        revision: i64,
        /// Answer when it is gone from disk.
        #[serde(default, skip_serializing_if = "is_default")]
        physical: bool,
    },
    /// Makes a lease.
    Grant {
        /// Its id; 0: the server draws one.
        #[serde(default, skip_serializing_if = "is_default")]
        id: i64,
        /// Seconds it shall live.
        ttl: i64,
    },
    /// Ends a lease, with its keys.
    Revoke {
        /// Which.
        id: i64,
    },
    /// Renews a lease.
    KeepAlive {
        /// Which.
        id: i64,
    },
    /// Asks how long a lease still lives.
    TimeToLive {
        /// Which.
        id: i64,
        /// Its keys too.
        #[serde(default, skip_serializing_if = "is_default")]
        keys: bool,
    },
    /// Lists all leases.
    Leases,
    /// What a member says of itself.
    Status,
    /// A hash of a member's keys at a revision.
    HashKv {
        /// Which; 0: now.
        #[serde(default, skip_serializing_if = "is_default")]
        revision: i64,
    },
    /// Makes the backend's file small again.
    Defragment,
    /// Streams everything.
    Snapshot,
    /// Lists, raises or ends alarms.
    Alarm {
        /// `get`, `activate` or `deactivate`.
        action: String,
        /// `none`, `nospace` or `corrupt`.
        alarm: String,
        /// Whose; 0 names nobody's, or in a list everybody's.
        #[serde(default, skip_serializing_if = "is_default")]
        member: u64,
    },
}

impl Request {
    /// Whether it reads or writes keys.
    #[must_use]
    pub const fn is_about_keys(&self) -> bool {
        matches!(self, Self::Range(_) | Self::Put(_) | Self::Delete(_) | Self::Txn(_))
    }
}

/// A read of one key or many.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Range {
    /// The key, or the first.
    pub key: String,
    /// After the last; empty: just `key`; `"\0"`: to the very end.
    #[serde(skip_serializing_if = "is_default")]
    pub end: String,
    /// As it was then; 0: as it is.
    #[serde(skip_serializing_if = "is_default")]
    pub revision: i64,
    /// So many at most; 0: all.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: i64,
    /// In which order, and by what.
    #[serde(skip_serializing_if = "is_default")]
    pub sort: Sort,
    /// As the member knows it, which may be old.
    #[serde(skip_serializing_if = "is_default")]
    pub serializable: bool,
    /// Without values.
    #[serde(skip_serializing_if = "is_default")]
    pub keys_only: bool,
    /// Without keys.
    #[serde(skip_serializing_if = "is_default")]
    pub count_only: bool,
    /// Mod revisions from; 0: no bound, as below.
    #[serde(skip_serializing_if = "is_default")]
    pub min_mod: i64,
    /// Mod revisions to.
    #[serde(skip_serializing_if = "is_default")]
    pub max_mod: i64,
    /// Create revisions from.
    #[serde(skip_serializing_if = "is_default")]
    pub min_create: i64,
    /// Create revisions to.
    #[serde(skip_serializing_if = "is_default")]
    pub max_create: i64,
}

/// The order of a range's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// Which way.
    pub order: SortOrder,
}

/// By what a range's answer is sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "etcd's own words")]
pub enum SortBy {
    #[default]
    Key,
    Version,
    Create,
    Mod,
    Value,
}

/// Which way a range's answer is sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "etcd's own words")]
pub enum SortOrder {
    #[default]
    None,
    Ascend,
    Descend,
}

/// A write of one key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Put {
    /// Where.
    pub key: String,
    /// A value nobody else writes, or none with `ignore_value`.
    pub value: String,
    /// The lease it hangs on; 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub lease: i64,
    /// Answer with what was there.
    #[serde(skip_serializing_if = "is_default")]
    pub prev_kv: bool,
    /// Keep the value.
    #[serde(skip_serializing_if = "is_default")]
    pub ignore_value: bool,
    /// Keep the lease.
    #[serde(skip_serializing_if = "is_default")]
    pub ignore_lease: bool,
}

/// A deletion of one key or many.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// The key, or the first.
    pub key: String,
    /// As in [`Range`].
    #[serde(skip_serializing_if = "is_default")]
    pub end: String,
    /// Answer with what was there.
    #[serde(skip_serializing_if = "is_default")]
    pub prev_kv: bool,
}

/// A transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Txn {
    /// All of these must hold.
    pub compare: Vec<Compare>,
    /// Then this is done.
    pub then: Vec<Step>,
    /// Otherwise this.
    #[serde(rename = "else")]
    pub otherwise: Vec<Step>,
}

/// A condition of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Compare {
    /// The key, or the first.
    pub key: String,
    /// As in [`Range`]: holds if it holds for every key there is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub end: String,
    /// How.
    pub is: Relation,
    /// What, and with what.
    pub target: Target,
}

/// How a condition compares: the key's property on the left, the given one on the right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "etcd's own words")]
pub enum Relation {
    Equal,
    NotEqual,
    Greater,
    Less,
}

/// The property a condition is about. Of a key that is not there all numbers are 0; a value
/// compares with nothing, and the condition does not hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "etcd's own words")]
pub enum Target {
    Version(i64),
    Create(i64),
    Mod(i64),
    Value(String),
    Lease(i64),
}

/// A step of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in Request")]
pub enum Step {
    Range(Range),
    Put(Put),
    Delete(Delete),
    Txn(Txn),
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Response {
    /// The store's revision, from the header; 0 if there was no header (defragment).
    pub revision: i64,
    /// What was asked for.
    #[serde(flatten)]
    pub body: Body,
}

/// What an answer holds besides its header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Body {
    /// Of a range.
    Range {
        /// Keys, in the order of the answer.
        kvs: Vec<Pair>,
        /// Keys in the range, however many were asked for.
        count: i64,
        /// Were there more than the limit?
        #[serde(default, skip_serializing_if = "is_default")]
        more: bool,
    },
    /// Of a put.
    Put {
        /// What was there, if asked for.
        #[serde(default, skip_serializing_if = "is_default")]
        prev: Option<Pair>,
    },
    /// Of a deletion.
    Delete {
        /// Keys deleted.
        deleted: i64,
        /// What was there, if asked for.
        #[serde(default, skip_serializing_if = "is_default")]
        prev: Vec<Pair>,
    },
    /// Of a transaction.
    Txn {
        /// Did all conditions hold?
        succeeded: bool,
        /// One for each step.
        steps: Vec<Body>,
    },
    /// Of a grant or a keep-alive.
    Lease {
        /// Which lease.
        id: i64,
        /// Seconds it has; 0 after a keep-alive: there is no such lease.
        ttl: i64,
    },
    /// Of a question for the time to live.
    TimeToLive {
        /// Seconds left; -1: there is no such lease.
        ttl: i64,
        /// Seconds it was granted.
        granted: i64,
        /// Its keys, if asked for, sorted.
        #[serde(default, skip_serializing_if = "is_default")]
        keys: Vec<String>,
    },
    /// All leases, sorted by id.
    Leases {
        /// Their ids.
        ids: Vec<i64>,
    },
    /// Of a hash.
    Hash {
        /// The hash.
        hash: u32,
        /// Compacted below.
        compact_revision: i64,
        /// The revision it is of.
        hash_revision: i64,
    },
    /// Of a snapshot.
    Snapshot {
        /// Its length.
        bytes: u64,
        /// Does its checksum match?
        whole: bool,
    },
    /// Of a list of alarms.
    Alarms {
        /// Active ones.
        alarms: Vec<Alarm>,
    },
    /// Of the rest: done.
    Done,
}

/// An active alarm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alarm {
    /// Whose.
    pub member: u64,
    /// Such as `nospace`.
    pub alarm: String,
}

/// A key and what it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// What it is.
    #[serde(flatten)]
    pub version: Version,
}

/// A key as it was at some revision.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Its value.
    pub value: String,
    /// Written at.
    #[serde(rename = "mod")]
    pub mod_revision: i64,
    /// Came into being at.
    #[serde(rename = "create")]
    pub create_revision: i64,
    /// Written this many times since.
    pub version: i64,
    /// The lease it hangs on; 0: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lease: i64,
}

impl fmt::Debug for Version {
    /// Short: stories are told in these, and a value is known by its beginning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, mod_revision, create_revision, version, lease } = self;
        let begin: String = value.chars().take(12).collect();
        let dots = if begin.len() < value.len() { ".." } else { "" };
        write!(f, "{begin:?}{dots} (mod {mod_revision}, create {create_revision}, #{version}")?;
        if *lease != 0 {
            write!(f, ", lease {lease}")?;
        }
        f.write_str(")")
    }
}
