//! What a watch asks for, on the wire.

use reseed_proto::etcdserverpb::{WatchCreateRequest, watch_create_request::FilterType};

use super::bytes;
use crate::history::WatchSpec;

/// The request for `spec`, under `watch_id` on its stream.
pub(in crate::workload) fn create(spec: &WatchSpec, watch_id: i64) -> WatchCreateRequest {
    let filters = [(spec.no_put, FilterType::Noput), (spec.no_delete, FilterType::Nodelete)];
    WatchCreateRequest {
        key: bytes(&spec.key),
        range_end: bytes(&spec.end),
        start_revision: spec.start_revision,
        progress_notify: spec.progress_notify,
        filters: filters.iter().filter(|(on, _)| *on).map(|(_, kind)| (*kind).into()).collect(),
        prev_kv: spec.prev_kv,
        watch_id,
        fragment: spec.fragment,
    }
}
