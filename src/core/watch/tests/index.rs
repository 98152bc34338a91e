//! Key ranges by etcd's rules, and the index against a list.

use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::{Index, KeyRange, RangeEmpty, WatcherId};
use super::{any_key, any_range};

fn range(key: &'static [u8], end: &'static [u8]) -> Result<KeyRange, RangeEmpty> {
    KeyRange::new(Bytes::from_static(key), Bytes::from_static(end))
}

#[test]
fn ranges_are_read_as_etcd_reads_them() {
    let key = Bytes::from_static;
    assert_eq!(range(b"a", b""), Ok(KeyRange::Key(key(b"a"))));
    assert_eq!(range(b"", b""), Ok(KeyRange::Key(key(b"\0"))));
    assert_eq!(range(b"a", b"b"), Ok(KeyRange::Span { from: key(b"a"), to: key(b"b") }));
    assert_eq!(range(b"", b"b"), Ok(KeyRange::Span { from: key(b"\0"), to: key(b"b") }));
    assert_eq!(range(b"a", b"\0"), Ok(KeyRange::From(key(b"a"))));
    assert_eq!(range(b"", b"\0"), Ok(KeyRange::From(key(b"\0"))));
    assert_eq!(range(b"a", b"a"), Err(RangeEmpty));
    assert_eq!(range(b"b", b"a"), Err(RangeEmpty));
    assert_eq!(range(b"b", b"\0\0"), Err(RangeEmpty));
}

#[derive(Clone, Debug)]
enum Op {
    Insert(KeyRange),
    Remove(prop::sample::Index),
    Visit(Vec<u8>),
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any_range().prop_map(Op::Insert),
        2 => any::<prop::sample::Index>().prop_map(Op::Remove),
        3 => any_key().prop_map(Op::Visit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn index_finds_what_a_list_finds(ops in prop::collection::vec(any_op(), 1..120)) {
        let mut index = Index::default();
        let mut list: Vec<(WatcherId, KeyRange)> = Vec::new();
        for (number, op) in ops.into_iter().enumerate() {
            match op {
                Op::Insert(range) => {
                    let id = WatcherId { slot: number as u32, age: 0 };
                    index.insert(&range, id);
                    list.push((id, range));
                }
                Op::Remove(which) if !list.is_empty() => {
                    let (id, range) = list.swap_remove(which.index(list.len()));
                    index.remove(&range, id);
                }
                Op::Remove(_) => {}
                Op::Visit(key) => {
                    let mut found = Vec::new();
                    index.visit(&key, |id| found.push(id));
                    found.sort();
                    let mut want: Vec<_> =
                        list.iter().filter(|(_, r)| r.contains(&key)).map(|(id, _)| *id).collect();
                    want.sort();
                    prop_assert_eq!(found, want);
                }
            }
        }
        let mut ranges: Vec<_> = list.iter().map(|(_, range)| range).collect();
        ranges.sort();
        ranges.dedup();
        prop_assert_eq!(index.range_count(), ranges.len());
    }
}

#[test]
fn many_nested_ranges_are_found_from_inside_and_not_from_outside() {
    let mut index = Index::default();
    let key = |n: u32| Bytes::copy_from_slice(&n.to_be_bytes());
    for n in 0..1000_u32 {
        let range = KeyRange::new(key(n + 1), key(3000 - n)).expect("not empty");
        index.insert(&range, WatcherId { slot: n, age: 0 });
    }
    let count = |n: u32| {
        let mut hits = 0;
        index.visit(&key(n), |_| hits += 1);
        hits
    };
    assert_eq!(count(0), 0);
    assert_eq!(count(1), 1);
    assert_eq!(count(500), 500);
    assert_eq!(count(1500), 1000);
    assert_eq!(count(2999), 1);
    assert_eq!(count(3000), 0);
}
