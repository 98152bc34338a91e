//! Requests, put together step by step.
//!
//! Each builder owns the wire message and hands it out through `Into`, so a method of the client
//! takes a builder or a message alike. What contradicts itself is not refused here: the server has
//! the one list of rules, and the errors to go with it.

use bytes::Bytes;
use reseed_proto::etcdserverpb::{
    Compare as CompareMessage, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    compare::{CompareTarget, TargetUnion},
    request_op::Request,
};
pub use reseed_proto::etcdserverpb::{
    compare::CompareResult,
    range_request::{SortOrder, SortTarget},
};

/// The `range_end` of all keys from `key` on.
pub const FROM_KEY_END: Bytes = Bytes::from_static(b"\0");

/// The `range_end` that makes `[prefix, end)` all keys starting with `prefix`: the prefix with its
/// last byte counted up; `\0`, no end, if there is none to count up.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    match prefix.iter().rposition(|&byte| byte < 0xff) {
        None => FROM_KEY_END,
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end.into()
        }
    }
}

/// Key and end of all keys starting with `prefix`. The empty prefix is every key, which the wire
/// spells `\0` to `\0`, as an empty key is not allowed.
fn prefix_range(prefix: Bytes) -> (Bytes, Bytes) {
    match prefix.is_empty() {
        true => (FROM_KEY_END, FROM_KEY_END),
        false => {
            let end = prefix_end(&prefix);
            (prefix, end)
        }
    }
}

/// Key and end of all keys from `key` on.
fn from_key_range(key: Bytes) -> (Bytes, Bytes) {
    match key.is_empty() {
        true => (FROM_KEY_END, FROM_KEY_END),
        false => (key, FROM_KEY_END),
    }
}

/// Writes one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Put(PutRequest);

impl Put {
    /// `key` gets `value`.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self(PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() })
    }

    /// Attaches the key to a lease; 0 detaches it.
    #[must_use]
    pub fn lease(mut self, id: i64) -> Self {
        self.0.lease = id;
        self
    }

    /// Asks for the pair as it was before.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.0.prev_kv = true;
        self
    }

    /// Keeps the value the key has; the one given must be empty.
    #[must_use]
    pub fn ignore_value(mut self) -> Self {
        self.0.ignore_value = true;
        self
    }

    /// Keeps the lease the key has; the one given must be 0.
    #[must_use]
    pub fn ignore_lease(mut self) -> Self {
        self.0.ignore_lease = true;
        self
    }
}

/// Reads one key or a range of keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Get(RangeRequest);

impl Get {
    /// One key.
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self(RangeRequest { key: key.into(), ..RangeRequest::default() })
    }

    /// All keys in `[key, end)`.
    pub fn range(key: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        let (key, range_end) = (key.into(), end.into());
        Self(RangeRequest { key, range_end, ..RangeRequest::default() })
    }

    /// All keys starting with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let (key, end) = prefix_range(prefix.into());
        Self::range(key, end)
    }

    /// All keys from `key` on.
    pub fn from_key(key: impl Into<Bytes>) -> Self {
        let (key, end) = from_key_range(key.into());
        Self::range(key, end)
    }

    /// At most so many pairs; 0 is no limit.
    #[must_use]
    pub fn limit(mut self, pairs: i64) -> Self {
        self.0.limit = pairs;
        self
    }

    /// As of this revision; 0 is now.
    #[must_use]
    pub fn revision(mut self, revision: i64) -> Self {
        self.0.revision = revision;
        self
    }

    /// Sorted by `target`.
    #[must_use]
    pub fn sort(mut self, target: SortTarget, order: SortOrder) -> Self {
        self.0.sort_target = target.into();
        self.0.sort_order = order.into();
        self
    }

    /// From this member's state as it is, possibly stale, without asking the others.
    #[must_use]
    pub fn serializable(mut self) -> Self {
        self.0.serializable = true;
        self
    }

    /// Without values.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.0.keys_only = true;
        self
    }

    /// Without pairs.
    #[must_use]
    pub fn count_only(mut self) -> Self {
        self.0.count_only = true;
        self
    }

    /// Only pairs last modified at `min` or later and at `max` or earlier; 0 is no bound.
    #[must_use]
    pub fn mod_revisions(mut self, min: i64, max: i64) -> Self {
        self.0.min_mod_revision = min;
        self.0.max_mod_revision = max;
        self
    }

    /// Only pairs created at `min` or later and at `max` or earlier; 0 is no bound.
    #[must_use]
    pub fn create_revisions(mut self, min: i64, max: i64) -> Self {
        self.0.min_create_revision = min;
        self.0.max_create_revision = max;
        self
    }
}

/// Deletes one key or a range of keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delete(DeleteRangeRequest);

impl Delete {
    /// One key.
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self(DeleteRangeRequest { key: key.into(), ..DeleteRangeRequest::default() })
    }

    /// All keys in `[key, end)`.
    pub fn range(key: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self(DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: false })
    }

    /// All keys starting with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let (key, end) = prefix_range(prefix.into());
        Self::range(key, end)
    }

    /// All keys from `key` on.
    pub fn from_key(key: impl Into<Bytes>) -> Self {
        let (key, end) = from_key_range(key.into());
        Self::range(key, end)
    }

    /// Asks for the pairs as they were before.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.0.prev_kv = true;
        self
    }
}

/// One condition of a transaction.
///
/// ```
/// use reseed_client::{Compare, op::CompareResult};
/// let absent = Compare::version("key", CompareResult::Equal, 0);
/// # drop(absent);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Compare(CompareMessage);

impl Compare {
    fn new(
        key: impl Into<Bytes>,
        result: CompareResult,
        (target, union): (CompareTarget, TargetUnion),
    ) -> Self {
        Self(CompareMessage {
            result: result.into(),
            target: target.into(),
            key: key.into(),
            range_end: Bytes::new(),
            target_union: Some(union),
        })
    }

    /// The number of writes since the key was created; 0 for an absent key.
    pub fn version(key: impl Into<Bytes>, result: CompareResult, version: i64) -> Self {
        Self::new(key, result, (CompareTarget::Version, TargetUnion::Version(version)))
    }

    /// The revision that created the key; 0 for an absent key.
    pub fn create_revision(key: impl Into<Bytes>, result: CompareResult, revision: i64) -> Self {
        Self::new(key, result, (CompareTarget::Create, TargetUnion::CreateRevision(revision)))
    }

    /// The revision that last modified the key; 0 for an absent key.
    pub fn mod_revision(key: impl Into<Bytes>, result: CompareResult, revision: i64) -> Self {
        Self::new(key, result, (CompareTarget::Mod, TargetUnion::ModRevision(revision)))
    }

    /// The value; never true of an absent key.
    pub fn value(key: impl Into<Bytes>, result: CompareResult, value: impl Into<Bytes>) -> Self {
        Self::new(key, result, (CompareTarget::Value, TargetUnion::Value(value.into())))
    }

    /// The lease the key is attached to; 0 for none.
    pub fn lease(key: impl Into<Bytes>, result: CompareResult, id: i64) -> Self {
        Self::new(key, result, (CompareTarget::Lease, TargetUnion::Lease(id)))
    }

    /// Asks the same of every key in `[key, end)`.
    #[must_use]
    pub fn range_end(mut self, end: impl Into<Bytes>) -> Self {
        self.0.range_end = end.into();
        self
    }
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Op(RequestOp);

/// Reads, writes and deletes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Txn(TxnRequest);

impl Txn {
    /// A transaction without conditions (it succeeds) and without operations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds conditions: it succeeds if all of them hold.
    #[must_use]
    pub fn when(mut self, conditions: impl IntoIterator<Item = Compare>) -> Self {
        self.0.compare.extend(conditions.into_iter().map(|condition| condition.0));
        self
    }

    /// Adds operations for success.
    #[must_use]
    pub fn then<O: Into<Op>>(mut self, ops: impl IntoIterator<Item = O>) -> Self {
        self.0.success.extend(ops.into_iter().map(|op| op.into().0));
        self
    }

    /// Adds operations for failure.
    #[must_use]
    pub fn or_else<O: Into<Op>>(mut self, ops: impl IntoIterator<Item = O>) -> Self {
        self.0.failure.extend(ops.into_iter().map(|op| op.into().0));
        self
    }
}

macro_rules! hands_out {
    ($($builder:ty => $message:ty),* $(,)?) => {$(
        impl From<$builder> for $message {
            fn from(builder: $builder) -> Self {
                builder.0
            }
        }
    )*};
}

impl From<RequestOp> for Op {
    fn from(message: RequestOp) -> Self {
        Self(message)
    }
}

impl From<RangeRequest> for Op {
    fn from(request: RangeRequest) -> Self {
        Get(request).into()
    }
}

hands_out! {
    Put => PutRequest,
    Get => RangeRequest,
    Delete => DeleteRangeRequest,
    Compare => CompareMessage,
    Op => RequestOp,
    Txn => TxnRequest,
}

macro_rules! is_an_op {
    ($($builder:ty => $variant:ident),* $(,)?) => {$(
        impl From<$builder> for Op {
            fn from(builder: $builder) -> Self {
                Self(RequestOp { request: Some(Request::$variant(builder.0)) })
            }
        }
    )*};
}

is_an_op! {
    Put => RequestPut,
    Get => RequestRange,
    Delete => RequestDeleteRange,
    Txn => RequestTxn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends() {
        assert_eq!(prefix_end(b"a"), "b");
        assert_eq!(prefix_end(b"a\xff"), "b");
        assert_eq!(prefix_end(b"ab"), "ac");
        assert_eq!(prefix_end(b"\xff\xff"), FROM_KEY_END);
        assert_eq!(prefix_end(b""), FROM_KEY_END);
    }

    #[test]
    fn the_empty_prefix_is_every_key() {
        let request = RangeRequest::from(Get::prefix(""));
        assert_eq!((request.key, request.range_end), (FROM_KEY_END, FROM_KEY_END));
        let request = DeleteRangeRequest::from(Delete::from_key(""));
        assert_eq!((request.key, request.range_end), (FROM_KEY_END, FROM_KEY_END));
    }

    #[test]
    fn a_transaction_nests() {
        let inner = Txn::new().then([Get::key("a")]);
        let ops = [Op::from(inner), Op::from(Put::new("b", "c"))];
        let request = TxnRequest::from(
            Txn::new().when([Compare::version("k", CompareResult::Equal, 0)]).or_else(ops),
        );
        assert_eq!((request.compare.len(), request.success.len()), (1, 0));
        assert!(matches!(request.failure[0].request, Some(Request::RequestTxn(_))));
    }
}
