//! `KV.RangeStream`: a range in chunks, all of the same revision (etcd 3.7).
//!
//! Each chunk is a range of its own at the revision that the first one saw, so that no chunk holds
//! anything up; a compaction past that revision ends the stream with `ErrCompacted`. The first
//! chunk is small, then their number of keys doubles or halves to keep the encoded chunk between
//! half of and twice the request limit.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use prost::Message as _;
use reseed_proto::etcdserverpb as pb;
use tonic::Status;

use super::Services;

/// Keys of the first chunk (etcd's).
const FIRST_CHUNK_KEYS: i64 = 10;

/// Refuses what etcd does not stream.
pub(super) fn supported(request: &pb::RangeRequest) -> Result<(), Status> {
    let key_ascending = request.sort_target == pb::range_request::SortTarget::Key as i32
        && request.sort_order != pb::range_request::SortOrder::Descend as i32;
    let unsorted = request.sort_order == pb::range_request::SortOrder::None as i32
        && request.sort_target == pb::range_request::SortTarget::Key as i32;
    if !(key_ascending || unsorted) {
        return Err(Status::unimplemented("range stream does not support sorting"));
    }
    let filtered = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if filtered.iter().any(|bound| *bound != 0) {
        return Err(Status::unimplemented("range stream does not support revision filters"));
    }
    Ok(())
}

/// Where the next chunk begins.
struct Cursor {
    services: Services,
    request: pb::RangeRequest,
    chunk_keys: i64,
    /// Keys still wanted, if the client set a limit.
    left: Option<i64>,
    /// Keys in the range at the pinned revision, known from the first chunk.
    count: Option<i64>,
    sent: i64,
}

/// The chunks of `request`.
pub(super) fn start(
    services: Services,
    request: pb::RangeRequest,
) -> BoxStream<'static, Result<pb::RangeStreamResponse, Status>> {
    let left = (request.limit > 0).then_some(request.limit);
    let cursor =
        Cursor { services, request, chunk_keys: FIRST_CHUNK_KEYS, left, count: None, sent: 0 };
    stream::unfold(Some(cursor), |cursor| async {
        let mut cursor = cursor?;
        match cursor.next() {
            Ok((chunk, last)) => Some((Ok(chunk), (!last).then_some(cursor))),
            Err(status) => Some((Err(status), None)),
        }
    })
    .boxed()
}

impl Cursor {
    fn next(&mut self) -> Result<(pb::RangeStreamResponse, bool), Status> {
        let limit = self.left.unwrap_or(i64::MAX).min(self.chunk_keys);
        let request = pb::RangeRequest { limit, ..self.request.clone() };
        let range = self.services.state.range(&request);
        let mut chunk = range.map_err(|error| self.services.refuse(error))?;
        if self.request.revision <= 0 {
            self.request.revision = chunk.header.as_ref().map_or(0, |header| header.revision);
        }
        let keys = i64::try_from(chunk.kvs.len()).unwrap_or(i64::MAX);
        self.sent += keys;
        if let Some(left) = &mut self.left {
            *left -= keys;
        }
        let count = *self.count.get_or_insert(chunk.count);
        let last = !chunk.more || self.left == Some(0) || self.request.count_only;
        if last {
            chunk.count = count;
            chunk.more = self.left.is_some() && self.sent < count;
        } else {
            self.resize(chunk.encoded_len());
            if let Some(kv) = chunk.kvs.last() {
                // The smallest key after the last one sent.
                self.request.key = [kv.key.as_ref(), b"\0"].concat().into();
            }
            chunk.header = None;
            chunk.count = 0;
            chunk.more = false;
        }
        Ok((pb::RangeStreamResponse { range_response: Some(chunk) }, last))
    }

    /// Aims at chunks between half of and twice the request limit.
    fn resize(&mut self, encoded: usize) {
        let target = self.services.state.config.max_request_bytes;
        if encoded < target / 2 {
            self.chunk_keys = self.chunk_keys.saturating_mul(2);
        } else if encoded > target.saturating_mul(2) {
            self.chunk_keys = (self.chunk_keys / 2).max(1);
        }
    }
}
