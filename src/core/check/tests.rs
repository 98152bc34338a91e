//! What is let in, in the words of golden traces.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request;

use crate::error::Error;
use crate::golden::parse::{self, Command};
use crate::limits::{LEASE_TTL_SECS_MAX, Limits};
use crate::mvcc::KeyRange;

const OK: &str = "ok";
const NO_KEY: &str = "etcdserver: key is not provided";
const NOT_FOUND: &str = "etcdserver: key not found";
const DUPLICATE: &str = "etcdserver: duplicate key given in txn request";
const TOO_MANY: &str = "etcdserver: too many operations in txn request";

/// Checks a request with room for three operations in a transaction.
#[track_caller]
fn check(command: &str, expected: &str) {
    let limits = Limits { txn_ops_max: 3, ..Limits::default() };
    let result = match parse::command(command) {
        Command::Apply(Request::Put(request)) => super::put(&request),
        Command::Apply(Request::DeleteRange(request)) => super::delete_range(&request),
        Command::Apply(Request::Txn(request)) => super::txn(&request, &limits),
        Command::Apply(Request::Compaction(request)) => super::compaction(&request),
        Command::Apply(Request::LeaseGrant(request)) => super::lease_grant(&request),
        Command::Range(request) => super::range(&request),
        _ => panic!("nothing to check in {command}"),
    };
    assert_eq!(text(result), expected, "{command}");
}

fn text(result: Result<(), Error>) -> String {
    result.map_or_else(|error| error.to_string(), |()| OK.into())
}

#[test]
fn single_requests() {
    check("put a \"\"", OK);
    check("put \"\" 1", NO_KEY);
    check("put \"\" 1 ignore-value", NO_KEY);
    check("put a 1 lease=5 ignore-value ignore-lease", "etcdserver: value is provided");
    check("put a \"\" lease=5 ignore-value ignore-lease", "etcdserver: lease is provided");
    check("put a \"\" ignore-value ignore-lease", OK);
    check("get \"\"", NO_KEY);
    check("get b a", OK);
    check("del \"\" ..", NO_KEY);
    check("compact -5", OK);
    check("grant 0 0", OK);
    check(&alloc::format!("grant 0 {LEASE_TTL_SECS_MAX}"), OK);
    check(&alloc::format!("grant 0 {}", LEASE_TTL_SECS_MAX + 1), "etcdserver: too large lease TTL");
}

#[test]
fn sort_options_outside_the_enums_are_refused_after_the_key() {
    let range = |key: &'static str, sort_order, sort_target| {
        let key = Bytes::from_static(key.as_bytes());
        text(super::range(&pb::RangeRequest { key, sort_order, sort_target, ..Default::default() }))
    };
    assert_eq!(range("a", 2, 4), OK);
    assert_eq!(range("a", 3, 0), "etcdserver: invalid sort option");
    assert_eq!(range("a", 0, 5), "etcdserver: invalid sort option");
    assert_eq!(range("a", -1, 0), "etcdserver: invalid sort option");
    assert_eq!(range("", 3, 0), NO_KEY);
}

#[test]
fn operations_are_counted_before_anything_else() {
    check("txn then put a 1 ; put b 1 ; put c 1 end", OK);
    check("txn then put a 1 ; put b 1 ; put c 1 ; put \"\" 1 end", TOO_MANY);
    check("txn else get a ; get a ; get a ; get a end", TOO_MANY);
    check("txn if mod a = 1 , mod a = 1 , mod a = 1 , mod a = 1 then get a end", TOO_MANY);
    // A nested transaction may spend what is left of the budget.
    check("txn then txn then put a 1 ; put b 1 end end", OK);
    check("txn then txn then put a 1 ; put b 1 ; put c 1 end end", TOO_MANY);
    check("txn then txn then txn then put a 1 end end end", OK);
    check("txn then txn then txn then txn end end end end", OK);
    check("txn then txn then txn then txn then get a end end end end", TOO_MANY);
}

#[test]
fn operations_are_checked_in_order() {
    check("txn if mod \"\" = 1 then put \"\" 1 end", NO_KEY);
    check("txn then put a 1 ignore-value ; put \"\" 1 end", "etcdserver: value is provided");
    check("txn else del \"\" end", NO_KEY);
    check("txn then put a 1 ; put a 2 ; get \"\" end", NO_KEY);
    let none = pb::TxnRequest {
        failure: alloc::vec![pb::RequestOp { request: None }],
        ..pb::TxnRequest::default()
    };
    assert_eq!(text(super::txn(&none, &Limits::default())), NOT_FOUND);
}

#[test]
fn no_key_is_written_twice_on_one_path() {
    check("txn then put a 1 ; put a 2 end", DUPLICATE);
    check("txn then put a 1 else put a 2 end", OK);
    check("txn else put a 1 ; put a 2 end", DUPLICATE);
    check("txn then put b 1 ; del a c end", DUPLICATE);
    check("txn then del a c ; put b 1 end", DUPLICATE);
    check("txn then del a c ; put c 1 ; del b end", OK);
    check("txn then del c a ; put b 1 end", OK);
    // As in etcd, a deletion of everything from a key on is not seen to cover a put.
    check("txn then del a .. ; put b 1 end", OK);
}

#[test]
fn nested_branches_may_overlap_each_other_and_nothing_else() {
    check("txn then txn then put a 1 else put a 2 end end", OK);
    check("txn then put a 0 ; txn then put a 1 end end", DUPLICATE);
    check("txn then put a 0 ; txn else put a 1 end end", DUPLICATE);
    check("txn then txn then put a 1 end ; txn else put a 1 end end", DUPLICATE);
    check("txn then del a ; txn else put a 1 end end", DUPLICATE);
    check("txn then put a 1 ; txn else del a end end", DUPLICATE);
    // Siblings: a deletion counts against later puts only.
    check("txn then txn then del a end ; txn then put a 1 end end", DUPLICATE);
    check("txn then txn then put a 1 end ; txn then del a end end", OK);
}

#[test]
fn a_large_entry_is_refused() {
    let limits = Limits::default();
    assert_eq!(text(super::request_bytes(limits.request_bytes_max, &limits)), OK);
    let one_more = super::request_bytes(limits.request_bytes_max + 1, &limits);
    assert_eq!(text(one_more), "etcdserver: request is too large");
}

#[test]
fn a_short_lease_is_raised() {
    let limits = Limits { lease_ttl_secs_min: 5, ..Limits::default() };
    assert_eq!(limits.lease_ttl_secs(-1), 5);
    assert_eq!(limits.lease_ttl_secs(6), 6);
    assert_eq!(Limits { lease_ttl_secs_min: 0, ..limits }.lease_ttl_secs(0), 2);
}

proptest! {
    /// The spans of a branch's deletions cover what its deletions cover, however they overlap.
    #[test]
    fn deletions_cover_what_each_of_them_covers(
        ranges in prop::collection::vec((0..12_u8, 0..14_u8), 0..8),
    ) {
        let keys: Vec<[u8; 1]> = (1..=16).map(|n| [n]).collect();
        let mut all = super::Deletes::default();
        let of = |(from, to): (u8, u8)| match to {
            13 => KeyRange::One(&keys[usize::from(from)]),
            _ => KeyRange::Span(&keys[usize::from(from)], &keys[usize::from(to)]),
        };
        ranges.iter().for_each(|range| all.insert(of(*range)));
        for key in &keys {
            let expected = ranges.iter().any(|range| of(*range).contains(key));
            prop_assert_eq!(all.contains(key), expected, "{:?}", key);
        }
    }
}
