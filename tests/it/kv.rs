//! KV over a real socket: random requests against the oracle, and what only the wire can show.

use reseed_core::limits::LEASE_TTL_SECS_MIN;
use reseed_core::testing::generate::{Source, Step, step};
use reseed_core::testing::oracle::{self, Oracle, Reply};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request;
use reseed_proto::mvccpb::Event;
use tonic::{Code, Status};

use crate::support::api::{all_keys, assert_refused, bytes};
use crate::support::{Api, Node, wait};

/// Bytes that describe a few hundred requests; a fixed chain of hashes, so a failure repeats.
pub(crate) fn script(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(0x14057b7ef767814f);
        (state >> 33) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Whose answers are compared: what etcd 3.4 and reseed do differently on purpose is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Reseed,
    Etcd,
}

#[tokio::test]
async fn random_requests_on_the_wire_agree_with_the_oracle() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let mut oracle = Oracle::new(LEASE_TTL_SECS_MIN);
    let bytes = script(7, 6_000);
    let answered = compare(&api, &mut oracle, Source::new(&bytes), Peer::Reseed).await;
    assert!(answered > 300, "only {answered} requests were compared");
    watch_from_everywhere(&api, &oracle).await;
}

/// Watches from each revision that can still be read see what the oracle has listed, with the pairs
/// that were replaced.
async fn watch_from_everywhere(api: &Api, oracle: &Oracle) {
    let mut stream = api.watch_stream().await;
    let first = oracle.compacted().max(1);
    for start_revision in first..=oracle.revision() {
        let changes = oracle.changes_since(start_revision).expect("it can be read");
        let expected: Vec<_> = changes
            .into_iter()
            .flat_map(|(_, events)| events)
            .map(|event| Event { prev_kv: oracle.previous(&event), ..event })
            .collect();
        let everything = pb::WatchCreateRequest {
            key: bytes("\0"),
            range_end: bytes("\0"),
            start_revision,
            prev_kv: true,
            ..Default::default()
        };
        let watch_id = stream.created(everything).await.watch_id;
        let seen = stream.events(expected.len()).await;
        assert_eq!(seen, expected, "from revision {start_revision}");
        stream.cancel(watch_id).await;
        assert!(stream.next().await.canceled);
    }
}

/// Sends what `source` describes and holds every answer against the oracle's; how many there were.
pub(crate) async fn compare(
    api: &Api,
    oracle: &mut Oracle,
    mut source: Source<'_>,
    peer: Peer,
) -> usize {
    let mut answered = 0;
    while !source.is_empty() {
        let step = step(&mut source, oracle.revision());
        if peer == Peer::Etcd && differs_from_old_etcd(&step, oracle) {
            continue;
        }
        answered += usize::from(match step {
            Step::Apply(request) => apply(api, oracle, &request).await,
            Step::Range(request) => {
                let expected = oracle::check_range(&request).and_then(|()| oracle.range(&request));
                let answer = api.kv().range(request.clone()).await.map(|response| {
                    let mut response = response.into_inner();
                    anonymous(&mut response.header);
                    response
                });
                assert_same(answer, expected, &request);
                true
            }
            Step::Hash(revision) => {
                let request = pb::HashKvRequest { revision };
                let answer = api.maintenance().hash_kv(request).await;
                assert_same(
                    answer.map(|r| r.into_inner().hash),
                    oracle.hash_kv(revision),
                    &request,
                );
                true
            }
            Step::History(_) | Step::Scrub(_) | Step::Restart => false,
        });
    }
    answered
}

/// Whether etcd 3.4 answers this otherwise than 3.7, or than reseed means to (docs/compat.md):
/// sorting before the limit, unknown sort options, hashes of a compacted store.
fn differs_from_old_etcd(step: &Step, oracle: &Oracle) -> bool {
    let range_differs = |range: &pb::RangeRequest| {
        let odd_sort =
            !(0..=2).contains(&range.sort_order) || !(0..=4).contains(&range.sort_target);
        odd_sort || range.sort_order == 0 && range.sort_target != 0 && range.limit > 0
    };
    fn any(txn: &pb::TxnRequest, odd: &dyn Fn(&pb::request_op::Request) -> bool) -> bool {
        txn.success.iter().chain(&txn.failure).filter_map(|op| op.request.as_ref()).any(|op| {
            match op {
                pb::request_op::Request::RequestTxn(nested) => any(nested, odd),
                op => odd(op),
            }
        })
    }
    match step {
        Step::Hash(revision) => *revision < 0 || oracle.compacted() > 0,
        Step::Range(range) => range_differs(range),
        Step::Apply(Request::Txn(txn)) => any(txn, &|op| match op {
            pb::request_op::Request::RequestRange(range) => range_differs(range),
            _ => false,
        }),
        _ => false,
    }
}

/// Sends one request and compares the answer; false if it is not for clients to send.
async fn apply(api: &Api, oracle: &mut Oracle, request: &Request) -> bool {
    let answer = match request.clone() {
        Request::Put(put) => api.kv().put(put).await.map(|response| {
            let mut response = response.into_inner();
            anonymous(&mut response.header);
            Reply::Put(response)
        }),
        Request::DeleteRange(delete) => api.kv().delete_range(delete).await.map(|response| {
            let mut response = response.into_inner();
            anonymous(&mut response.header);
            Reply::DeleteRange(response)
        }),
        Request::Txn(txn) => api.kv().txn(txn).await.map(|response| {
            let mut response = response.into_inner();
            anonymous(&mut response.header);
            Reply::Txn(response)
        }),
        Request::Compaction(compaction) => api.kv().compact(compaction).await.map(|response| {
            let mut response = response.into_inner();
            anonymous(&mut response.header);
            Reply::Compaction(response)
        }),
        // A short lease could expire while the script runs.
        Request::LeaseGrant(grant) if grant.ttl < 60 => return false,
        Request::LeaseGrant(grant) => api.lease().lease_grant(grant).await.map(|response| {
            let mut response = response.into_inner();
            anonymous(&mut response.header);
            Reply::LeaseGrant(response)
        }),
        Request::LeaseRevoke(revoke) => api.lease().lease_revoke(revoke).await.map(|response| {
            let mut response = response.into_inner();
            anonymous(&mut response.header);
            Reply::LeaseRevoke(response)
        }),
        _ => return false,
    };
    let expected = oracle::check(request, 128).and_then(|()| oracle.apply(request));
    assert_same(answer, expected, request);
    true
}

fn anonymous(header: &mut Option<pb::ResponseHeader>) {
    let header = header.as_mut().expect("a header");
    assert_ne!((header.cluster_id, header.member_id, header.raft_term), (0, 0, 0), "identities");
    *header = pb::ResponseHeader { revision: header.revision, ..Default::default() };
}

fn assert_same<T: PartialEq + std::fmt::Debug>(
    answer: Result<T, Status>,
    expected: Result<T, oracle::Refusal>,
    request: &dyn std::fmt::Debug,
) {
    let answer = answer.map_err(|status| status.message().to_owned());
    let expected = expected.map_err(ToOwned::to_owned);
    assert_eq!(answer, expected, "{request:?}");
}

#[tokio::test]
async fn every_answer_carries_the_same_identities() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let put = pb::PutRequest { key: bytes("k"), ..Default::default() };
    let one = api.kv().put(put).await.expect("put").into_inner().header.expect("a header");
    let two = api.everything().await.header.expect("a header");
    assert_eq!((one.cluster_id, one.member_id), (two.cluster_id, two.member_id));
    assert_eq!((one.revision, two.revision), (2, 2));
    assert!(one.raft_term > 0 && one.raft_term <= two.raft_term);
}

#[tokio::test]
async fn serializable_and_linearizable_reads_see_what_was_acknowledged() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    for round in 0..50 {
        let value = round.to_string();
        api.put("k", &value).await;
        let range = pb::RangeRequest { key: bytes("k"), ..Default::default() };
        for serializable in [true, false] {
            let range = pb::RangeRequest { serializable, ..range.clone() };
            let response = api.kv().range(range).await.expect("range").into_inner();
            assert_eq!(response.kvs[0].value, bytes(&value), "serializable {serializable}");
        }
    }
}

#[tokio::test]
async fn requests_up_to_the_limit_pass_and_larger_ones_are_refused() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let put = |bytes_count: usize| pb::PutRequest {
        key: bytes("big"),
        value: vec![b'x'; bytes_count].into(),
        ..Default::default()
    };
    api.kv().put(put(1_500_000)).await.expect("below 1.5 MiB");
    let refused = api.kv().put(put(1_600_000)).await;
    assert_refused(refused, Code::InvalidArgument, "etcdserver: request is too large");
    // Beyond limit + 512 KiB the transport itself refuses, in words of its own.
    let refused = api.kv().put(put(4_000_000)).await.expect_err("beyond the transport's limit");
    assert!(matches!(refused.code(), Code::ResourceExhausted | Code::OutOfRange), "{refused:?}");
    assert_eq!(api.everything().await.kvs[0].value.len(), 1_500_000);
}

#[tokio::test]
async fn a_stream_of_ranges_adds_up_to_the_range() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    for i in 0..300 {
        api.put(&format!("k{i:04}"), &"v".repeat(2_000)).await;
    }
    let whole = api.everything().await;
    let mut stream = api.kv().range_stream(all_keys()).await.expect("a stream").into_inner();
    let mut kvs = Vec::new();
    let mut last = None;
    let mut chunks = 0;
    while let Some(chunk) = stream.message().await.expect("the stream goes on") {
        let response = chunk.range_response.expect("a part of the range");
        kvs.extend(response.kvs.clone());
        last = Some(response);
        chunks += 1;
    }
    let last = last.expect("at least one chunk");
    assert_eq!(kvs, whole.kvs);
    assert_eq!((last.count, last.more), (whole.count, whole.more));
    assert_eq!(last.header.expect("the last has a header").revision, 301);
    assert!(chunks > 2, "{chunks} chunks: the first has ten keys");
    for request in [
        pb::RangeRequest { sort_order: 2, ..all_keys() },
        pb::RangeRequest { min_mod_revision: 1, ..all_keys() },
    ] {
        let refused = match api.kv().range_stream(request).await {
            Err(status) => status,
            Ok(stream) => stream.into_inner().message().await.expect_err("a refusal"),
        };
        assert_eq!(refused.code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn physical_compaction_makes_room() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let value = "x".repeat(10_000);
    for i in 0..300 {
        api.put("k", &format!("{i}{value}")).await;
    }
    let in_use = || async {
        let status = api.maintenance().status(pb::StatusRequest {}).await.expect("status");
        status.into_inner().db_size_in_use
    };
    wait::until_async("the backend to hold it all", || async {
        (in_use().await > 2_900_000).then_some(())
    })
    .await;
    api.compact(301).await.expect("compaction");
    wait::until_async("the backend to let go of it", || async {
        (in_use().await < 1_000_000).then_some(())
    })
    .await;
    let old = pb::RangeRequest { revision: 200, ..all_keys() };
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    assert_refused(api.kv().range(old).await, Code::OutOfRange, compacted);
    assert!(api.get("k").await.is_some_and(|value| value.starts_with("299")));
}

#[tokio::test]
async fn many_writers_get_as_many_revisions() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let writers = (0..64).map(|writer| {
        let api = api.clone();
        async move {
            let mut revisions = Vec::new();
            for i in 0..10 {
                revisions.push(api.put(&format!("{writer}/{i}"), "v").await);
            }
            assert!(revisions.is_sorted(), "a writer's revisions grow: {revisions:?}");
            revisions
        }
    });
    let mut all: Vec<i64> = futures::future::join_all(writers).await.concat();
    all.sort_unstable();
    assert_eq!(all, (2..642).collect::<Vec<_>>());
}
