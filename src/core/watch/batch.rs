//! What of an event a watcher gets, and in how many messages.
//!
//! Filters drop whole events; fragments cut one answer into several that fit a receiver. Neither
//! changes an event or the order of events.

use alloc::vec::Vec;

use prost::Message;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb::WatchResponse;
use reseed_proto::etcdserverpb::watch_create_request::FilterType;
use reseed_proto::mvccpb::Event;
use reseed_proto::mvccpb::event::EventType;

/// Which events a watcher does not want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// No puts.
    pub no_put: bool,
    /// No deletes.
    pub no_delete: bool,
}

impl Filters {
    /// The filters of a create request; numbers that mean nothing are ignored, as etcd does.
    pub fn from_request(filters: &[i32]) -> Self {
        let asks = |filter: FilterType| filters.contains(&i32::from(filter));
        Self { no_put: asks(FilterType::Noput), no_delete: asks(FilterType::Nodelete) }
    }

    /// Whether the event is wanted.
    pub fn pass(self, event: &Event) -> bool {
        let dropped = match event.r#type() {
            EventType::Put => self.no_put,
            EventType::Delete => self.no_delete,
        };
        !dropped
    }
}

/// Cuts a response so that each part is smaller than `bytes_max`, as far as whole events allow.
///
/// All parts but the last say `fragment`. A part holds at least one event, however large. etcd:
/// `sendFragments`; a response that is small enough or has one event only is not touched.
pub fn fragments(mut response: WatchResponse, bytes_max: usize) -> Vec<WatchResponse> {
    let events = core::mem::take(&mut response.events);
    let base_bytes = WatchResponse { fragment: true, ..response.clone() }.encoded_len();
    let mut parts = Vec::with_capacity(1);
    let mut part = response.clone();
    let mut bytes = base_bytes;
    for event in events {
        let event_bytes = event_bytes(&event);
        if !part.events.is_empty() && bytes + event_bytes >= bytes_max {
            part.fragment = true;
            parts.push(core::mem::replace(&mut part, response.clone()));
            bytes = base_bytes;
            if planted::on(Bug::FragmentDropsEvent) {
                continue;
            }
        }
        bytes += event_bytes;
        part.events.push(event);
    }
    parts.push(part);
    parts
}

/// What an event adds to a response: itself, its length and the field's tag.
fn event_bytes(event: &Event) -> usize {
    const TAG_BYTES: usize = 1;
    let bytes = event.encoded_len();
    TAG_BYTES + prost::length_delimiter_len(bytes) + bytes
}
