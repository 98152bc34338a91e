//! Three processes that are one cluster: agreement, fail-over, and nothing acknowledged lost.

use std::collections::BTreeMap;
use std::path::Path;

use ::bytes::Bytes;
use reseed_core::port::{Batch, Read as _, Table};
use reseed_proto::etcdserverpb::{self as pb, alarm_request::AlarmAction};
use reseed_rt::disk;
use reseed_storage::backend::{Backend, BackendOptions};
use tokio_stream::StreamExt as _;

use crate::support::api::{all_keys, bytes};
use crate::support::{Api, Cluster, Node, Options, node::free_address, wait};

/// All members but this one.
pub(crate) fn others(n: usize) -> Vec<usize> {
    (0..3).filter(|other| *other != n).collect()
}

/// Puts until it works: after a leader has gone, a request may time out.
pub(crate) async fn put_until_done(cluster: &Cluster, among: &[usize], key: &str, value: &str) {
    wait::until_async("a put to work", || async {
        for n in among {
            let put = pb::PutRequest { key: bytes(key), value: bytes(value), ..Default::default() };
            if cluster.api(*n).await.kv().put(put).await.is_ok() {
                return Some(());
            }
        }
        None
    })
    .await;
}

pub(crate) async fn members(api: &Api) -> Vec<pb::Member> {
    let listed = api.cluster().member_list(pb::MemberListRequest::default()).await;
    listed.expect("a list").into_inner().members
}

#[tokio::test]
async fn what_one_member_acknowledges_every_member_reads() {
    let cluster = Cluster::start(3, &[]);
    for n in 0..3 {
        cluster.api(n).await.put(&format!("k{n}"), "v").await;
        for m in 0..3 {
            let api = cluster.api(m).await;
            assert_eq!(api.get(&format!("k{n}")).await.as_deref(), Some("v"), "{n} at {m}");
        }
    }
    assert_eq!(cluster.converged(&[0, 1, 2]).await, 4);
    let listed = members(&cluster.api(1).await).await;
    let names: BTreeMap<String, usize> =
        listed.iter().map(|member| (member.name.clone(), member.client_ur_ls.len())).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), [0, 1, 2].map(|n| (format!("m{n}"), 1)));
}

#[tokio::test]
async fn a_cluster_survives_its_leader_and_takes_it_back() {
    let mut cluster = Cluster::start(3, &[]);
    put_until_done(&cluster, &[0, 1, 2], "before", "1").await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    cluster.members[leader].kill();
    let left = others(leader);
    put_until_done(&cluster, &left, "during", "2").await;
    let next = cluster.leader(&left).await;
    assert_ne!(next, leader);
    cluster.members[leader].launch();
    cluster.wait_until_all_serve();
    let api = cluster.api(leader).await;
    assert_eq!(api.get("before").await.as_deref(), Some("1"));
    assert_eq!(api.get("during").await.as_deref(), Some("2"));
    cluster.converged(&[0, 1, 2]).await;
}

#[tokio::test]
async fn a_minority_answers_nothing_that_needs_a_quorum() {
    let mut cluster = Cluster::start(3, &["--election-timeout=500"]);
    put_until_done(&cluster, &[0, 1, 2], "k", "1").await;
    cluster.converged(&[0, 1, 2]).await;
    cluster.members[1].kill();
    cluster.members[2].kill();
    let api = cluster.api(0).await;
    let get =
        |serializable| pb::RangeRequest { key: bytes("k"), serializable, ..Default::default() };
    let linearizable = api.kv().range(get(false)).await.expect_err("nobody confirms it");
    assert_eq!(linearizable.message(), "etcdserver: request timed out");
    let local = api.kv().range(get(true)).await.expect("needs nobody").into_inner();
    assert_eq!(local.kvs.len(), 1);
    // No leader took it, so that is certain, and it stays so.
    let late = pb::PutRequest { key: bytes("late"), ..Default::default() };
    let refused = api.kv().put(late).await.expect_err("nobody takes it");
    let said = (refused.code(), refused.message());
    assert_eq!(said, (tonic::Code::DeadlineExceeded, "context deadline exceeded"));
    cluster.members[1].launch();
    put_until_done(&cluster, &[0, 1], "k", "2").await;
    assert_eq!(api.get("late").await, None);
}

#[tokio::test]
async fn a_member_of_another_cluster_is_refused_and_told_why() {
    let cluster = Cluster::start(3, &[]);
    // The same names and URLs, but another token: another cluster.
    let mut options = Options::flags(&["--initial-cluster-token=another"]);
    let stranger = free_address();
    let theirs: Vec<String> = members(&cluster.api(0).await)
        .await
        .iter()
        .map(|member| format!("{}={}", member.name, member.peer_ur_ls[0]))
        .collect();
    options.flags.push(format!("--initial-cluster=x=http://{stranger},{}", theirs.join(",")));
    options.flags.push(format!("--initial-advertise-peer-urls=http://{stranger}"));
    (options.name, options.peer) = (Some("x".to_owned()), Some(stranger));
    let mut node = Node::prepare(options);
    node.launch();
    wait::until("the refusal", || node.log().contains("--initial-cluster-token").then_some(()));
    cluster.api(0).await.put("k", "still works").await;
}

#[tokio::test]
async fn a_member_that_missed_more_than_the_log_keeps_gets_the_whole_state() {
    let flags =
        ["--snapshot-count=20", "--snapshot-catchup-entries=5", "--backend-batch-interval=20ms"];
    let mut cluster = Cluster::start(3, &flags);
    let leader = cluster.leader(&[0, 1, 2]).await;
    let behind = others(leader)[0];
    cluster.api(leader).await.grant(7, 3600).await.expect("a lease");
    cluster.converged(&[0, 1, 2]).await;
    cluster.members[behind].kill();
    let api = cluster.api(leader).await;
    for round in 0..3 {
        for i in 0..100 {
            api.put(&format!("k{i}"), &format!("{round}")).await;
        }
    }
    api.put_leased("leased", 7).await;
    api.compact(150).await.expect("compaction");
    cluster.members[behind].launch();
    cluster.wait_until_all_serve();
    cluster.converged(&[0, 1, 2]).await;
    assert!(cluster.members[behind].log().contains("installed a snapshot"));
    let late = cluster.api(behind).await;
    assert_eq!(late.get("k99").await.as_deref(), Some("2"));
    // It goes on from there: with entries, after a restart, and as one of a quorum.
    late.put("after", "1").await;
    cluster.members[behind].kill();
    cluster.members[behind].launch();
    cluster.wait_until_all_serve();
    cluster.members[leader].kill();
    put_until_done(&cluster, &others(leader), "after", "2").await;
    cluster.converged(&others(leader)).await;
    let asked = pb::LeaseTimeToLiveRequest { id: 7, keys: true };
    let left = cluster.api(behind).await.lease().lease_time_to_live(asked).await;
    assert_eq!(left.expect("answered").into_inner().keys, ["leased"]);
}

/// Once the log still has what it wants, once it has not.
#[tokio::test]
async fn a_member_whose_backend_is_damaged_gets_anothers() {
    let flags =
        ["--snapshot-count=20", "--snapshot-catchup-entries=5", "--backend-batch-interval=20ms"];
    let mut cluster = Cluster::start(3, &flags);
    for (damaged, meanwhile) in [(0, 0), (1, 100)] {
        let other = cluster.api(2).await;
        for i in 0..100 {
            other.put(&format!("k{i}"), &format!("{damaged}")).await;
        }
        cluster.converged(&[0, 1, 2]).await;
        cluster.members[damaged].stop("TERM");
        for i in 0..meanwhile {
            put_until_done(&cluster, &[2], &format!("k{i}"), "missed").await;
        }
        let db = cluster.members[damaged].data_dir().join("member/snap/db");
        let mut bytes = std::fs::read(&db).expect("a database");
        let middle = bytes.len() / 2;
        for byte in &mut bytes[8192..middle] {
            *byte ^= 0x55;
        }
        std::fs::write(&db, &bytes).expect("a damaged database");
        cluster.members[damaged].launch();
        cluster.wait_until_all_serve();
        cluster.converged(&[0, 1, 2]).await;
        let log = cluster.members[damaged].log();
        assert!(log.contains("the backend is another member's now"), "{log}");
        assert_eq!(std::fs::read(db.with_extension("damaged")).expect("is kept"), bytes);
        put_until_done(&cluster, &[damaged], "after", "1").await;
    }
}

/// Changes the last byte of the newest record in a stopped member's database, as a broken disk
/// or memory might, and nobody's checksum tells.
fn tamper(data_dir: &Path) {
    let db = data_dir.join("member/snap/db");
    let backend = Backend::open(disk::disk(), &db, BackendOptions::default()).expect("a database");
    let mut newest = None;
    let mut keep = |key: &[u8], record: &Bytes| {
        newest = Some((key.to_vec(), record.to_vec()));
        true
    };
    backend.view().scan(Table::Key, &[], None, &mut keep).expect("it can be read");
    let (key, mut record) = newest.expect("a record");
    *record.last_mut().expect("a byte") ^= 1;
    let mut batch = Batch::default();
    batch.put(Table::Key, Bytes::from(key), Bytes::from(record));
    backend.commit(batch, backend.applied()).expect("there is room");
    backend.flush_blocking().expect("it can be written");
}

/// Tampers with member 0 of three; nobody restarts it, and nobody lifts the alarm.
async fn mends_itself(cluster: &mut Cluster) {
    for i in 0..50 {
        put_until_done(cluster, &[1], &format!("k{i}"), "v").await;
    }
    cluster.converged(&[0, 1, 2]).await;
    cluster.members[0].stop("TERM");
    tamper(cluster.members[0].data_dir());
    cluster.members[0].launch();
    wait::until("the member to mend itself", || {
        cluster.members[0].log().contains("lifting its alarm").then_some(())
    });
    let lives = cluster.members[0].log().matches("starting the member again").count();
    assert_eq!(lives, 1, "{}", cluster.members[0].log());
    cluster.converged(&[0, 1, 2]).await;
    put_until_done(cluster, &[0], "after", "1").await;
    let get = pb::AlarmRequest { action: AlarmAction::Get as i32, ..Default::default() };
    let alarms = cluster.api(2).await.maintenance().alarm(get).await.expect("a list");
    assert_eq!(alarms.into_inner().alarms, []);
}

const CHECKED: [&str; 4] = [
    "--corrupt-check-time=100ms",
    "--snapshot-count=20",
    "--snapshot-catchup-entries=5",
    "--backend-batch-interval=20ms",
];

#[tokio::test]
async fn a_member_that_is_found_to_differ_while_it_runs_mends_itself() {
    mends_itself(&mut Cluster::start(3, &CHECKED)).await;
}

/// Its flags know of nobody whom it could ask.
#[tokio::test]
async fn a_founder_that_is_found_to_differ_mends_itself_too() {
    let mut cluster = Cluster::start(1, &CHECKED);
    for _ in 0..2 {
        let (n, _id) = cluster.add(0, false).await;
        cluster.members[n].launch();
        cluster.wait_until_all_serve();
    }
    mends_itself(&mut cluster).await;
}

/// There is nobody to ask, and nothing may be overwritten.
#[tokio::test]
async fn a_lone_member_refuses_a_damaged_backend() {
    let mut node = Node::start();
    Api::connect(&node).await.put("k", "1").await;
    node.stop("TERM");
    let db = node.data_dir().join("member/snap/db");
    let mut bytes = std::fs::read(&db).expect("a database");
    bytes[8192..].fill(0x55);
    std::fs::write(&db, &bytes).expect("a damaged database");
    node.launch();
    node.wait_until_stopped();
    assert!(node.log().contains("backend"), "{}", node.log());
    assert_eq!(std::fs::read(&db).expect("is there"), bytes);
}

#[tokio::test]
async fn leases_are_renewed_and_looked_up_at_any_member() {
    let cluster = Cluster::start(3, &[]);
    let leader = cluster.leader(&[0, 1, 2]).await;
    let follower = others(leader)[0];
    let api = cluster.api(follower).await;
    api.grant(7, 60).await.expect("a lease");
    api.put_leased("k", 7).await;
    for (id, ttl) in [(7, 60), (8, 0)] {
        let request = pb::LeaseKeepAliveRequest { id };
        let stream = api.lease().lease_keep_alive(tokio_stream::iter([request])).await;
        let answer = stream.expect("a stream").into_inner().message().await.expect("an answer");
        assert_eq!(answer.expect("one").ttl, ttl);
        let asked = pb::LeaseTimeToLiveRequest { id, keys: true };
        let left = api.lease().lease_time_to_live(asked).await.expect("answered").into_inner();
        assert_eq!(left.granted_ttl, ttl);
        assert_eq!(left.keys.len(), usize::from(ttl > 0));
    }
    // The leader's clock ends a lease, and every member hears of it.
    let short = api.grant(9, 2).await.expect("a lease").ttl;
    assert_eq!(short, 2);
    api.put_leased("short", 9).await;
    wait::until_async("the end of the lease", || async {
        api.get("short").await.is_none().then_some(())
    })
    .await;
    cluster.converged(&[0, 1, 2]).await;
}

#[tokio::test]
async fn leadership_moves_when_asked_and_before_a_leader_stops() {
    let mut cluster = Cluster::start(3, &["--election-timeout=5000", "--heartbeat-interval=100"]);
    let first = cluster.leader(&[0, 1, 2]).await;
    let target = others(first)[0];
    let status = cluster.api(target).await.maintenance().status(pb::StatusRequest {}).await;
    let target_id = status.expect("a status").into_inner().header.expect("a header").member_id;
    let move_to = |target_id| pb::MoveLeaderRequest { target_id };
    let refused = cluster.api(target).await.maintenance().move_leader(move_to(target_id)).await;
    assert_eq!(refused.expect_err("it does not lead").message(), "etcdserver: not leader");
    let refused = cluster.api(first).await.maintenance().move_leader(move_to(1)).await;
    assert_eq!(refused.expect_err("a stranger").message(), "etcdserver: bad leader transferee");
    let moved = cluster.api(first).await.maintenance().move_leader(move_to(target_id)).await;
    moved.expect("it moves");
    assert_eq!(cluster.leader(&[0, 1, 2]).await, target);
    cluster.members[target].stop("TERM");
    assert!(cluster.members[target].log().contains("leadership is handed over"));
    let left = others(target);
    assert_ne!(cluster.leader(&left).await, target);
    cluster.api(left[0]).await.put("k", "v").await;
}

#[tokio::test]
async fn streams_that_require_a_leader_end_when_there_is_none_for_long() {
    let mut cluster = Cluster::start(3, &["--election-timeout=500"]);
    put_until_done(&cluster, &[0, 1, 2], "k", "1").await;
    cluster.converged(&[0, 1, 2]).await;
    let api = cluster.api(0).await;
    let mut patient = api.watch_stream().await;
    let all = all_keys();
    let (key, range_end) = (all.key, all.range_end);
    let everything = pb::WatchCreateRequest { key, range_end, ..Default::default() };
    patient.created(everything.clone()).await;
    let create = pb::watch_request::RequestUnion::CreateRequest(everything);
    let watch = pb::WatchRequest { request_union: Some(create) };
    let requests = tokio_stream::iter([watch]).chain(tokio_stream::pending());
    let mut request = tonic::Request::new(requests);
    request.metadata_mut().insert("hasleader", "true".parse().expect("ASCII"));
    let mut watch = pb::watch_client::WatchClient::new(api.channel());
    let mut demanding = watch.watch(request).await.expect("there is a leader").into_inner();
    let created = demanding.message().await.expect("an answer").expect("one");
    assert!(created.created, "{created:?}");
    cluster.members[1].kill();
    cluster.members[2].kill();
    let ended = wait::within("the end of the stream", demanding.message()).await;
    let status = ended.expect_err("there is no leader");
    assert_eq!(
        (status.code(), status.message()),
        (tonic::Code::Unavailable, "etcdserver: no leader")
    );
    // Renewals are asked of a leader, so they say that there is none.
    let request = pb::LeaseKeepAliveRequest { id: 7 };
    let renewed = api.lease().lease_keep_alive(tokio_stream::iter([request])).await;
    let refused = match renewed {
        Ok(answers) => answers.into_inner().message().await.expect_err("nobody knows"),
        Err(status) => status,
    };
    assert_eq!(refused.message(), "etcdserver: no leader");
    // Who did not ask for a leader goes on as soon as there is one.
    cluster.members[1].launch();
    put_until_done(&cluster, &[0, 1], "k", "2").await;
    let events = patient.events(1).await;
    assert_eq!(events[0].kv.as_ref().map(|kv| kv.value.as_ref()), Some(&b"2"[..]));
}
