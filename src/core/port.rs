//! The port between the pure machines and whatever keeps their bytes.
//!
//! Core defines it, storage implements it: so core never sees a file, and a test needs nothing but
//! a `BTreeMap`. Reading is [`Read`]; writing is a value, [`Batch`], that the caller persists
//! together with the applied index.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

/// The tables of the backend; the numbers are the file format (docs/formats.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Revision key (17 or 18 bytes) → `mvccpb.KeyValue`.
    Key = 1,
    /// Applied index, term, conf state, compaction marks, cluster version.
    Meta = 2,
    /// Lease id (8 bytes, big endian) → `reseed.log.LeaseRecord`.
    Lease = 3,
    /// Member id and alarm type (8 + 1 bytes) → nothing.
    Alarm = 4,
    /// Member id (8 bytes, big endian) → `reseed.log.MemberRecord`.
    Members = 5,
    /// Member id (8 bytes, big endian) of a member that may never return → nothing.
    MembersRemoved = 6,
    /// Auth switches and revision.
    Auth = 7,
    /// User name → `authpb.User`.
    AuthUsers = 8,
    /// Role name → `authpb.Role`.
    AuthRoles = 9,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Key,
        Self::Meta,
        Self::Lease,
        Self::Alarm,
        Self::Members,
        Self::MembersRemoved,
        Self::Auth,
        Self::AuthUsers,
        Self::AuthRoles,
    ];
}

/// The backend could not answer: the member must halt (`Fate::Halt`), never reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(pub String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backend: {}", self.0)
    }
}

impl core::error::Error for ReadError {}

/// Called for each pair of a scan; `false` ends it.
pub type Visit<'a> = dyn FnMut(&[u8], &Bytes) -> bool + 'a;

/// A consistent view of the backend.
pub trait Read {
    /// The value of one key.
    ///
    /// # Errors
    /// The backend cannot be read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ReadError>;

    /// Visits pairs with `from <= key`, and `key < to` where `to` is given, in ascending order.
    ///
    /// # Errors
    /// The backend cannot be read.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReadError>;

    /// The values of many keys: `result[i]` belongs to `keys[i]`. Backends override it where one
    /// pass is cheaper than many look-ups.
    ///
    /// # Errors
    /// The backend cannot be read.
    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, ReadError> {
        keys.iter().map(|key| self.get(table, key)).collect()
    }
}

/// One change of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Where.
    pub table: Table,
    /// Which key.
    pub key: Bytes,
    /// The new value, or `None` to delete the key.
    pub value: Option<Bytes>,
}

/// Changes to persist together, in order; a later change of the same key wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    ops: Vec<Op>,
}

impl Batch {
    /// Sets `key` to `value`.
    pub fn put(&mut self, table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.ops.push(Op { table, key: key.into(), value: Some(value.into()) });
    }

    /// Removes `key`; removing what is not there is not an error.
    pub fn delete(&mut self, table: Table, key: impl Into<Bytes>) {
        self.ops.push(Op { table, key: key.into(), value: None });
    }

    /// The changes, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The changes, in order, taken out.
    pub fn into_ops(self) -> Vec<Op> {
        self.ops
    }

    /// Whether there is nothing to persist.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Appends the changes of `later`.
    pub fn extend(&mut self, later: Self) {
        self.ops.extend(later.ops);
    }
}
