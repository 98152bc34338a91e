//! Filters and fragments.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use reseed_proto::etcdserverpb::WatchResponse;
use reseed_proto::mvccpb::Event;

use super::super::{Filters, fragments};
use super::{delete, put};

#[test]
fn filters_drop_what_they_name() {
    let events = [put(b"a", 1, Bytes::new()), delete(b"a", 2)];
    let pass = |asked: &[i32]| events.clone().map(|e| Filters::from_request(asked).pass(&e));
    assert_eq!(pass(&[]), [true, true]);
    assert_eq!(pass(&[0]), [false, true]);
    assert_eq!(pass(&[1]), [true, false]);
    assert_eq!(pass(&[0, 1]), [false, false]);
    assert_eq!(pass(&[7, -1]), [true, true]);
}

fn response(events: Vec<Event>) -> WatchResponse {
    WatchResponse { watch_id: 7, events, ..Default::default() }
}

#[test]
fn a_small_response_is_one_part() {
    let whole = response(vec![put(b"a", 1, Bytes::new()), put(b"b", 1, Bytes::new())]);
    assert_eq!(fragments(whole.clone(), 1000), [whole]);
    assert_eq!(fragments(response(vec![]), 1000), [response(vec![])]);
}

#[test]
fn one_large_event_is_not_a_fragment() {
    let whole = response(vec![put(b"a", 1, Bytes::from(vec![0; 5000]))]);
    assert_eq!(fragments(whole.clone(), 1000), [whole]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn fragments_fit_and_lose_nothing(
        sizes in prop::collection::vec(0_usize..600, 0..40),
        bytes_max in 50_usize..2000,
    ) {
        let events: Vec<_> =
            sizes.iter().map(|n| put(b"key", 9, Bytes::from(vec![b'v'; *n]))).collect();
        let parts = fragments(response(events.clone()), bytes_max);
        let (last, before) = parts.split_last().expect("at least one part");
        prop_assert!(!last.fragment);
        prop_assert!(before.iter().all(|part| part.fragment && !part.events.is_empty()));
        for part in &parts {
            prop_assert!(part.encoded_len() < bytes_max || part.events.len() <= 1);
            prop_assert_eq!(part.watch_id, 7);
        }
        let together: Vec<_> = parts.iter().flat_map(|part| part.events.clone()).collect();
        prop_assert_eq!(together, events);
    }
}
