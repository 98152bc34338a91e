//! Watches against naive models.

mod batch;
mod group;
mod index;

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use reseed_proto::mvccpb::event::EventType;
use reseed_proto::mvccpb::{Event, KeyValue};

use super::{Filters, KeyRange};

fn put(key: &[u8], revision: i64, value: Bytes) -> Event {
    let key = Bytes::copy_from_slice(key);
    let kv = KeyValue { key, value, mod_revision: revision, ..Default::default() };
    Event { r#type: EventType::Put.into(), kv: Some(kv), prev_kv: None }
}

fn delete(key: &[u8], revision: i64) -> Event {
    Event { r#type: EventType::Delete.into(), ..put(key, revision, Bytes::new()) }
}

/// Keys over a small alphabet, so that ranges and keys meet often.
fn any_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"\0abc\xff"[..]), 1..4)
}

fn any_range() -> impl Strategy<Value = KeyRange> {
    let end = prop_oneof![2 => Just(Vec::new()), 3 => any_key(), 1 => Just(vec![0])];
    (any_key(), end).prop_filter_map("empty range", |(key, end)| {
        KeyRange::new(Bytes::from(key), Bytes::from(end)).ok()
    })
}

fn any_filters() -> impl Strategy<Value = Filters> {
    (prop::bool::weighted(0.2), prop::bool::weighted(0.2))
        .prop_map(|(no_put, no_delete)| Filters { no_put, no_delete })
}
