//! The KV service: one method per request, under the rules of [`crate::retry`].

use futures::StreamExt;
use reseed_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse, kv_client::KvClient,
};

use crate::{Client, Connection, Error, retry::Twice};

/// A stub that takes answers of any size: the server knows no limit on them either.
fn stub(connection: Connection) -> KvClient<Connection> {
    KvClient::new(connection).max_decoding_message_size(usize::MAX)
}

impl Client {
    /// Reads.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn get(&self, get: impl Into<RangeRequest>) -> Result<RangeResponse, Error> {
        self.unary(Twice::Harmless, get.into(), async |c, r| stub(c).range(r).await).await
    }

    /// Reads a range in pieces, each handed to `take` as it comes, header and counts in the last.
    ///
    /// # Errors
    /// Any [`Error`]; pieces may have come before it. Not repeated.
    pub async fn get_stream(
        &self,
        get: impl Into<RangeRequest>,
        mut take: impl FnMut(RangeResponse),
    ) -> Result<(), Error> {
        let mut answers = stub(self.connection()).range_stream(get.into()).await?.into_inner();
        while let Some(answer) = answers.next().await {
            if let Some(piece) = answer?.range_response {
                take(piece);
            }
        }
        Ok(())
    }

    /// Writes a key.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn put(&self, put: impl Into<PutRequest>) -> Result<PutResponse, Error> {
        self.unary(Twice::Harmful, put.into(), async |c, r| stub(c).put(r).await).await
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn delete(
        &self,
        delete: impl Into<DeleteRangeRequest>,
    ) -> Result<DeleteRangeResponse, Error> {
        self.unary(Twice::Harmful, delete.into(), async |c, r| stub(c).delete_range(r).await).await
    }

    /// Carries out a transaction. Not repeated, even if it only reads.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn txn(&self, txn: impl Into<TxnRequest>) -> Result<TxnResponse, Error> {
        self.unary(Twice::Harmful, txn.into(), async |c, r| stub(c).txn(r).await).await
    }

    /// Forgets all revisions before `revision`; with `physical`, returns only when they are gone
    /// from the disk too.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::may_have_happened`].
    pub async fn compact(&self, request: CompactionRequest) -> Result<CompactionResponse, Error> {
        self.unary(Twice::Harmful, request, async |c, r| stub(c).compact(r).await).await
    }
}
