//! Maintenance, Cluster and health over a real socket.

use reseed_proto::etcdserverpb as pb;
use reseed_proto::health::HealthCheckRequest;
use reseed_proto::health::health_check_response::ServingStatus;
use reseed_proto::health::health_client::HealthClient;
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::support::{Api, Node, wait};

async fn status(api: &Api) -> pb::StatusResponse {
    api.maintenance().status(pb::StatusRequest {}).await.expect("status").into_inner()
}

#[tokio::test]
async fn status_tells_all_fields() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    api.put("k", "v").await;
    let status = status(&api).await;
    let header = status.header.expect("a header");
    assert_eq!(header.revision, 2);
    assert_eq!(status.version, reseed_core::ETCD_VERSION);
    assert_eq!(status.leader, header.member_id);
    assert!(status.raft_index >= status.raft_applied_index && status.raft_applied_index > 0);
    assert!(status.raft_term > 0);
    assert!(status.db_size > 0 && status.db_size_in_use > 0);
    assert!(status.db_size >= status.db_size_in_use);
    assert_eq!(status.db_size_quota, 2 * 1024 * 1024 * 1024);
    assert!(status.errors.is_empty() && !status.is_learner);
    assert_eq!(status.storage_version, reseed_core::CLUSTER_VERSION);
}

#[tokio::test]
async fn the_one_member_is_listed() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let list = pb::MemberListRequest { linearizable: true };
    let list = api.cluster().member_list(list).await.expect("members").into_inner();
    let header = list.header.expect("a header");
    assert_eq!((list.members.len(), header.revision), (1, 0), "cluster answers have no revision");
    let member = &list.members[0];
    assert_eq!((member.id, member.name.as_str()), (header.member_id, "default"));
    assert_eq!(member.client_ur_ls, [node.endpoint()]);
    assert_eq!(member.peer_ur_ls.len(), 1);
}

#[tokio::test]
async fn a_snapshot_ends_with_the_hash_of_the_rest() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    for i in 0..100 {
        api.put(&format!("k{i}"), &"v".repeat(1_000)).await;
    }
    let mut stream =
        api.maintenance().snapshot(pb::SnapshotRequest {}).await.expect("a stream").into_inner();
    let mut bytes = Vec::new();
    let mut remaining = u64::MAX;
    while let Some(chunk) = stream.message().await.expect("the stream goes on") {
        assert!(chunk.blob.len() <= 32 * 1024, "a chunk of {}", chunk.blob.len());
        assert!(chunk.remaining_bytes <= remaining, "what remains only shrinks");
        assert_eq!(chunk.version, reseed_core::CLUSTER_VERSION);
        remaining = chunk.remaining_bytes;
        bytes.extend(chunk.blob);
    }
    assert_eq!(remaining, 0);
    let (content, hash) = bytes.split_at(bytes.len() - 32);
    assert_eq!(Sha256::digest(content).as_slice(), hash);
    assert_eq!(content.len() % 512, 0);
}

#[tokio::test]
async fn hashes_do_not_depend_on_how_far_removal_is() {
    let nodes = [Node::start(), Node::start()];
    let mut hashes = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        let api = Api::connect(node).await;
        for j in 0..50 {
            api.put(&format!("k{}", j % 7), &j.to_string()).await;
        }
        api.delete("k3").await;
        let physical = i == 0;
        let compaction = pb::CompactionRequest { revision: 52, physical };
        api.kv().compact(compaction).await.expect("compaction");
        let hash = api.maintenance().hash_kv(pb::HashKvRequest { revision: 0 }).await;
        let hash = hash.expect("a hash").into_inner();
        hashes.push((hash.hash, hash.compact_revision, hash.hash_revision));
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!((hashes[0].1, hashes[0].2), (52, 52));
}

#[tokio::test]
async fn defragmentation_gives_room_back_and_stops_nobody() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    for i in 0..200 {
        api.put(&format!("k{i}"), &"v".repeat(100_000)).await;
    }
    wait::until_async("the backend file to hold it", || async {
        (status(&api).await.db_size > 20_000_000).then_some(())
    })
    .await;
    let delete =
        pb::DeleteRangeRequest { key: "k".into(), range_end: "l".into(), ..Default::default() };
    api.kv().delete_range(delete).await.expect("delete");
    api.compact(202).await.expect("compaction");
    wait::until_async("the backend file to let go of it", || async {
        (status(&api).await.db_size_in_use < 1_000_000).then_some(())
    })
    .await;
    let before = status(&api).await.db_size;
    assert!(before > 5_000_000, "there is something to give back: {before}");
    let mut maintenance = api.maintenance();
    let defragment = maintenance.defragment(pb::DefragmentRequest {});
    let writes = async {
        for i in 0..20 {
            api.put("during", &i.to_string()).await;
        }
    };
    let (answer, ()) = futures::future::join(defragment, writes).await;
    assert_eq!(answer.expect("defragmented").into_inner().header, None);
    let after = status(&api).await.db_size;
    assert!(after < before / 2, "{after} after {before}");
    assert_eq!(api.get("during").await.as_deref(), Some("19"));
}

#[tokio::test]
async fn the_whole_hash_covers_everything() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let hash = |api: Api| async move {
        api.maintenance().hash(pb::HashRequest {}).await.expect("a hash").into_inner().hash
    };
    let empty = hash(api.clone()).await;
    api.put("k", "v").await;
    assert_ne!(hash(api.clone()).await, empty);
}

#[tokio::test]
async fn the_health_service_says_serving() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let mut health = HealthClient::new(api.channel());
    let all = HealthCheckRequest::default();
    let answer = health.check(all.clone()).await.expect("health").into_inner();
    assert_eq!(answer.status, ServingStatus::Serving as i32);
    let mut stream = health.watch(all).await.expect("a stream").into_inner();
    let first = stream.message().await.expect("an answer").expect("an answer");
    assert_eq!(first.status, ServingStatus::Serving as i32);
    let unknown = HealthCheckRequest { service: "nobody".into() };
    let status = health.check(unknown).await.expect_err("no such service");
    assert_eq!(status.code(), Code::NotFound);
}
