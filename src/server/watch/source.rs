//! What watches read of the member: a port, so that the hub can be tested without one.

use bytes::Bytes;
use reseed_core::error::Error;
use reseed_core::mvcc::{HistoryLimits, RevisionEvents};
use reseed_proto::{etcdserverpb as pb, mvccpb};

/// The store behind the watches.
pub(crate) trait Source: Send + Sync + std::fmt::Debug {
    /// The store's revision; everything up to it has been published when this returns.
    fn revision(&self) -> i64;

    /// The revision below which history is gone.
    fn compact_revision(&self) -> i64;

    /// Events from `from` on.
    ///
    /// # Errors
    /// [`Error::Compacted`] if `from` is below the compact revision by now; one that must halt the
    /// member, which the source has seen to.
    fn history(&self, from: i64, limits: HistoryLimits) -> Result<Vec<RevisionEvents>, Error>;

    /// The pair `key` at `revision`; nothing if there was none or it is compacted.
    ///
    /// # Errors
    /// One that must halt the member, which the source has seen to: it is not known whether there
    /// was a pair, so nobody may be told that there was none.
    fn pair_at(&self, key: &Bytes, revision: i64) -> Result<Option<mvccpb::KeyValue>, Error>;

    /// A response header with this revision.
    fn header_at(&self, revision: i64) -> pb::ResponseHeader;
}
