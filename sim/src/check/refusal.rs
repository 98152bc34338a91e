//! Errors that are answers.

/// Text of a read or compaction above the current revision.
pub(super) const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
