//! The small numbers of a member, each with its own type: nothing here can be mistaken for another.
//!
//! What the wire calls `int64` stays `i64` where a whole protobuf message passes through; a type of
//! its own begins where code decides something. No identifier is ever drawn here: chance is an
//! argument.

use core::fmt;
use core::time::Duration;

/// A place in the history of the store: which write transaction, and which change inside it.
///
/// `main` is what clients call *the revision* (the first write of an empty store makes 2); `sub`
/// counts the changes inside one transaction from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The write transaction, from 1.
    pub main: i64,
    /// The change inside the transaction, from 0.
    pub sub: u32,
}

impl Revision {
    /// The revision `main.sub`.
    pub const fn new(main: i64, sub: u32) -> Self {
        Self { main, sub }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.main, self.sub)
    }
}

/// Milliseconds on the member's monotonic clock, from an arbitrary start; a span, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The span of `secs` seconds; negative counts as 0.
    pub fn from_secs(secs: i64) -> Self {
        Self(u64::try_from(secs).unwrap_or(0).saturating_mul(1000))
    }

    /// The span in whole seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        (self.0 / 1000).cast_signed()
    }

    /// Later by `span`; stops at the end of time.
    #[must_use]
    pub const fn saturating_add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span since `earlier`, 0 if that lies ahead.
    #[must_use]
    pub const fn saturating_sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl From<Duration> for Millis {
    fn from(span: Duration) -> Self {
        Self(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Millis> for Duration {
    fn from(span: Millis) -> Self {
        Self::from_millis(span.0)
    }
}

/// A lease. Any `int64` but 0, which means "no lease"; printed as etcd prints it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// No lease at all.
    pub const NONE: Self = Self(0);

    /// Whether this is no lease at all.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Its key in `Table::Lease`.
    pub const fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A member of the cluster; printed in lower-case hex as etcd does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

impl MemberId {
    /// Its key in `Table::Members` and `Table::MembersRemoved`.
    pub const fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
