//! What golden traces do not show: every small history of a key, damaged bytes, races between a
//! plan and physical compaction.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request;
use reseed_proto::mvccpb::KeyValue;

use super::index::{Index, Step};
use super::key_index::{KeyIndex, Left, Live};
use super::key_range::KeyRange;
use super::record::{self, Peek};
use super::revision::{self, Change};
use super::{HistoryLimits, Span, events_between};
use crate::error::{Error, Fate};
use crate::harness::Host;
use crate::id::Revision;
use crate::machine::Machine;
use crate::port::{Batch, Table};

fn put(host: &mut Host, key: &str, value: &str) {
    let put = pb::PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..pb::PutRequest::default()
    };
    host.apply(Request::Put(put)).expect("applies").response.expect("is accepted");
}

fn compact(host: &mut Host, revision: i64) {
    let request = pb::CompactionRequest { revision, physical: false };
    host.apply(Request::Compaction(request)).expect("applies").response.expect("is accepted");
}

fn get(key: &str, revision: i64) -> pb::RangeRequest {
    let key = Bytes::copy_from_slice(key.as_bytes());
    pb::RangeRequest { key, revision, ..pb::RangeRequest::default() }
}

/// A key's history told naively: at each revision from 2 on, put (`true`), deleted (`false`), or
/// neither.
type Told = [Option<bool>];

fn changes(told: &Told) -> Vec<Change> {
    let change = |(main, put): (i64, &Option<bool>)| {
        put.map(|put| Change { at: Revision::new(main, 0), is_tombstone: !put })
    };
    (2..).zip(told).filter_map(change).collect()
}

/// The put visible at `main`.
fn visible(told: &Told, main: i64) -> Option<Revision> {
    let last = changes(told).into_iter().rfind(|change| change.at.main <= main)?;
    (!last.is_tombstone).then_some(last.at)
}

/// What the key is at the end: creation and version of its present life.
fn live(told: &Told) -> Option<Live> {
    let all = changes(told);
    let life: Vec<_> = all.iter().rev().take_while(|change| !change.is_tombstone).collect();
    let version = life.len().try_into().expect("short");
    Some(Live { at: life.first()?.at, created: life.last()?.at.main, version })
}

fn build(told: &Told) -> Option<KeyIndex> {
    let mut index: Option<KeyIndex> = None;
    for change in changes(told) {
        match &mut index {
            None => index = Some(KeyIndex::new(change.at)),
            Some(index) if change.is_tombstone => index.delete(change.at),
            Some(index) => _ = index.put(change.at),
        }
    }
    index
}

/// Every history of six revisions in which nothing absent is deleted.
fn every_history() -> Vec<Vec<Option<bool>>> {
    let mut all = alloc::vec![Vec::new()];
    for _ in 0..6 {
        let longer = all.iter().flat_map(|told: &Vec<Option<bool>>| {
            let is_live = live(told).is_some();
            let next = [None, Some(true), Some(false)];
            let allowed = next.into_iter().filter(move |n| is_live || *n != Some(false));
            allowed.map(|n| told.iter().copied().chain([n]).collect::<Vec<_>>())
        });
        all = longer.collect();
    }
    all
}

#[test]
fn every_small_history_reads_as_told() {
    let all = every_history();
    assert!(all.len() > 200, "{} histories", all.len());
    for told in all {
        let Some(index) = build(&told) else { continue };
        assert_eq!(index.live(), live(&told), "{told:?}");
        for main in 0..9 {
            assert_eq!(index.at(main), visible(&told, main), "{told:?} at {main}");
        }
    }
}

#[test]
fn every_compaction_keeps_what_can_still_be_asked_for() {
    for told in every_history() {
        for first in 0..8 {
            // A second compaction must not care that the first has happened.
            for second in [first, first + 1, 8] {
                check_compact(&told, &[first, second]);
            }
        }
    }
}

fn check_compact(told: &Told, compactions: &[i64]) {
    let Some(mut index) = build(told) else { return };
    let mut kept = changes(told);
    let mut is_left = true;
    for &main in compactions {
        if !is_left {
            break;
        }
        let mut removed = Vec::new();
        let left = index.compact(main, usize::MAX, |change| removed.push(change));
        is_left = left != Left::Nothing;
        let is_kept = |c: &Change| c.at.main >= main || visible(told, main) == Some(c.at);
        let expected: Vec<Change> = kept.iter().copied().filter(|c| !is_kept(c)).collect();
        assert_eq!(removed, expected, "{told:?} compacted to {main}");
        kept.retain(is_kept);
        assert_eq!(is_left, !kept.is_empty(), "{told:?} compacted to {main}");
        if is_left {
            assert_eq!(index.live(), live(told), "{told:?} compacted to {main}");
            for at in main..9 {
                assert_eq!(index.at(at), visible(told, at), "{told:?}: {main}, at {at}");
            }
            // A restart that finds these records finds the same.
            assert_eq!(KeyIndex::restore(&kept, live(told)), Some(index.clone()));
        }
    }
}

#[test]
fn a_version_beyond_the_short_form_goes_on_counting() {
    let version = i64::from(u32::MAX);
    let mut index = KeyIndex::from_put(Live { at: Revision::new(7, 0), created: 2, version });
    assert_eq!(index.put(Revision::new(8, 0)).version, version + 1);
    assert_eq!(index.compact(8, usize::MAX, |_| ()), Left::Kept);
    assert_eq!(index.live().map(|live| live.version), Some(version + 1));
    assert_eq!(index.put(Revision::new(9, 0)).version, version + 2);
}

#[test]
fn a_plan_overtaken_by_compaction_says_compacted() {
    let mut host = Host::default();
    put(&mut host, "a", "1");
    put(&mut host, "a", "2");
    let plan = host.machine.mvcc.plan_range(&get("a", 2)).expect("readable");
    compact(&mut host, 3);
    // Not removed yet: the plan may still be finished.
    assert_eq!(plan.clone().finish(&host.memory).expect("is there").kvs[0].value, "1");
    host.scrub(10);
    assert_eq!(plan.finish(&host.memory), Err(Error::Compacted));
}

#[test]
fn apply_halts_where_a_record_is_missing() {
    let mut host = Host::default();
    put(&mut host, "a", "1");
    let mut damage = Batch::default();
    damage.delete(Table::Key, revision::put_key(Revision::new(2, 0)));
    host.memory.commit(damage);
    let op = pb::request_op::Request::RequestRange(get("a", 0));
    let success = alloc::vec![pb::RequestOp { request: Some(op) }];
    let txn = Request::Txn(pb::TxnRequest { success, ..pb::TxnRequest::default() });
    let error = host.apply(txn).expect_err("cannot answer");
    assert_eq!(error.fate(), Fate::Halt, "{error}");
}

#[test]
fn what_no_member_wrote_is_refused_at_start() {
    let kv = |key: &str, create_revision, version| {
        let key = Bytes::copy_from_slice(key.as_bytes());
        record::encode(&KeyValue { key, create_revision, version, ..KeyValue::default() })
    };
    let check = |key: &[u8], value: Bytes, expected: bool| {
        let mut host = Host::default();
        let mut batch = Batch::default();
        batch.put(Table::Key, Bytes::copy_from_slice(key), value.clone());
        host.memory.commit(batch);
        let outcome = Machine::restore(&host.memory);
        assert_eq!(outcome.is_ok(), expected, "{key:02x?} {value:02x?}");
    };
    let at = revision::encode(Revision::new(5, 0));
    check(&at, kv("a", 5, 1), true);
    check(&at, kv("a", 2, 3), true);
    check(&at, kv("", 5, 1), false);
    check(&at, kv("a", 6, 1), false);
    check(&at, kv("a", 0, 1), false);
    check(&at, kv("a", 5, 0), false);
    check(&at, Bytes::from_static(&[0xff]), false);
    check(&at[1..], kv("a", 5, 1), false);
    check(&[&at[..], b"x"].concat(), kv("a", 5, 1), false);
    check(&revision::encode(Revision::new(0, 0)), kv("a", 5, 1), false);
}

#[test]
fn history_comes_in_whole_revisions() {
    let mut host = Host::default();
    for n in 2..8 {
        put(&mut host, "a", &n.to_string());
    }
    let read = |from, to, revisions_max, bytes_max| -> String {
        let limits = HistoryLimits { revisions_max, bytes_max };
        let found = events_between(&host.memory, Span { from, to }, limits).expect("reads");
        found.iter().map(|one| format!("{}x{} ", one.revision, one.events.len())).collect()
    };
    assert_eq!(read(0, 7, 9, 9999), "2x1 3x1 4x1 5x1 6x1 7x1 ");
    assert_eq!(read(3, 6, 2, 9999), "3x1 4x1 ");
    assert_eq!(read(3, 6, 9, 1), "3x1 ");
    assert_eq!(read(7, 6, 9, 9999), "");
}

#[test]
fn previous_pairs_end_at_the_compact_revision() {
    let mut host = Host::default();
    put(&mut host, "a", "1");
    put(&mut host, "a", "2");
    put(&mut host, "a", "3");
    let previous = |host: &Host, revision| {
        let kv = host.machine.mvcc.previous(b"a", revision, &host.memory).expect("reads");
        kv.map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    };
    assert_eq!(previous(&host, 2), None);
    assert_eq!(previous(&host, 3).as_deref(), Some("1"));
    compact(&mut host, 3);
    assert_eq!(previous(&host, 3), None);
    assert_eq!(previous(&host, 4).as_deref(), Some("2"));
}

/// Writes to the keys 0 to 3, one revision each: a put, or else a delete of what exists.
fn write_all(index: &mut Index, writes: &[(u8, bool)], first: i64) {
    for (main, (key, is_put)) in (first..).zip(writes) {
        let key = [key % 4];
        let at = Revision::new(main, 0);
        if *is_put {
            index.put(&key, at);
        } else {
            index.delete(KeyRange::One(&key), at);
        }
    }
}

proptest! {
    #[test]
    fn compaction_in_steps_ends_where_one_step_does(
        before in prop::collection::vec((0..4_u8, any::<bool>()), 0..60),
        between in prop::collection::vec((0..4_u8, any::<bool>()), 0..30),
        compact_at in 2..64_i64,
        budget in 1..6_usize,
    ) {
        let after = 2 + i64::try_from(before.len()).expect("short");
        let main = compact_at.min(after - 1);
        let mut steps = Index::default();
        write_all(&mut steps, &before, 2);
        let mut whole = steps.clone();
        let mut expected = Vec::new();
        let all = Step { next: None, budget: usize::MAX, main };
        prop_assert_eq!(whole.compact(all, |change| expected.push(change)), None);
        let mut removed = Vec::new();
        let mut next: Option<alloc::boxed::Box<[u8]>> = None;
        // Writes go on between the steps: one step, one write.
        let mut writes = (after..).zip(&between);
        loop {
            let step = Step { next: next.as_deref(), budget, main };
            let already = removed.len();
            next = steps.compact(step, |change| removed.push(change));
            prop_assert!(removed.len() - already <= budget, "one step drops too much");
            for (key, main) in (0..4_u8).flat_map(|key| (main..after).map(move |at| (key, at))) {
                let at = |index: &Index| index.get(&[key]).and_then(|one| one.at(main));
                prop_assert_eq!(at(&steps), at(&whole), "key {} at {}", key, main);
            }
            if let Some((main, write)) = writes.next() {
                write_all(&mut steps, &[*write], main);
                write_all(&mut whole, &[*write], main);
            }
            if next.is_none() {
                break;
            }
            prop_assert!(removed.len() <= expected.len(), "steps without end");
        }
        prop_assert_eq!(removed, expected);
        prop_assert_eq!(steps, whole);
    }

    #[test]
    fn revision_keys_come_back_and_sort_like_revisions(
        a in (1..i64::MAX, any::<u32>(), any::<bool>()),
        b in (1..i64::MAX, any::<u32>(), any::<bool>()),
    ) {
        let change = |(main, sub, is_tombstone)| {
            Change { at: Revision { main, sub }, is_tombstone }
        };
        let (a, b) = (change(a), change(b));
        prop_assert_eq!(revision::decode(&revision::key(a)), Some(a));
        prop_assume!(a.at != b.at);
        prop_assert_eq!(revision::key(a).cmp(&revision::key(b)), a.at.cmp(&b.at));
    }

    #[test]
    fn only_revision_keys_decode(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        if let Some(change) = revision::decode(&bytes) {
            prop_assert_eq!(revision::key(change), bytes);
        }
    }

    #[test]
    fn a_peek_sees_what_a_decoder_sees(
        key: Vec<u8>, value: Vec<u8>, create_revision: i64, mod_revision: i64, version: i64,
        lease: i64,
    ) {
        let (key, value) = (Bytes::from(key), Bytes::from(value));
        let kv = KeyValue { key, value, create_revision, mod_revision, version, lease };
        let bytes = record::encode(&kv);
        let expected = Peek { key: &kv.key, create_revision, version, lease };
        prop_assert_eq!(Peek::of(&bytes), Some(expected));
        prop_assert_eq!(record::decode(&bytes), Some(kv.clone()));
    }

    #[test]
    fn a_peek_at_anything_does_not_panic(bytes: Vec<u8>) {
        if let (Some(peek), Ok(kv)) = (Peek::of(&bytes), KeyValue::decode(bytes.as_slice())) {
            prop_assert_eq!(peek.key, kv.key.as_ref());
            prop_assert_eq!(peek.version, kv.version);
        }
    }
}
