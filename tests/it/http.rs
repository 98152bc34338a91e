//! Plain HTTP on the client port: what probes, scrapers and operators with curl see.

use crate::members::id;
use crate::support::{Api, Cluster, Node, Options, http, wait};

#[test]
fn health_probes_answer_as_etcds() {
    let node = Node::start();
    let health = http::get(node.address(), "/health").expect("an answer");
    assert_eq!(health.status, 200);
    let json: serde_json::Value = serde_json::from_str(&health.body).expect("JSON");
    assert_eq!(json["health"], "true");
    for path in ["/livez", "/readyz"] {
        let answer = http::get(node.address(), path).expect("an answer");
        assert_eq!((answer.status, answer.body.trim()), (200, "ok"), "{path}");
        let verbose = http::get(node.address(), &format!("{path}?verbose")).expect("an answer");
        assert_eq!(verbose.status, 200);
        assert!(verbose.body.contains("[+]"), "{path}?verbose: {}", verbose.body);
    }
}

#[test]
fn version_names_what_clients_compare() {
    let node = Node::start();
    let answer = http::get(node.address(), "/version").expect("an answer");
    let json: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(json["etcdserver"], reseed_core::ETCD_VERSION);
    assert_eq!(json["etcdcluster"], reseed_core::CLUSTER_VERSION);
}

/// What the text says of a metric, labels included in its name.
fn metric(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line?.rsplit(' ').next()?.parse().ok()
}

/// What a member says of one of its metrics; 0 if nothing.
fn sampled(node: &Node, name: &str) -> f64 {
    let answer = http::get(node.address(), "/metrics");
    answer.and_then(|answer| metric(&answer.body, name)).unwrap_or(0.0)
}

#[tokio::test]
async fn metrics_count_under_etcds_names() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    api.put("k", &"v".repeat(10_000)).await;
    api.get("k").await;
    let text = http::get(node.address(), "/metrics").expect("an answer").body;
    let metric = |name: &str| metric(&text, name);
    assert_eq!(metric("etcd_server_leader_changes_seen_total"), Some(1.0));
    for direction in ["received", "sent"] {
        let name = format!("etcd_network_client_grpc_{direction}_bytes_total");
        assert!(metric(&name).is_some_and(|v| v > 10_000.0), "{direction}: {text}");
    }
    assert_eq!(metric("etcd_server_has_leader"), Some(1.0), "{text}");
    assert_eq!(metric("etcd_server_is_leader"), Some(1.0));
    assert!(metric("etcd_server_proposals_committed_total").is_some_and(|v| v > 0.0));
    assert!(metric("etcd_disk_wal_fsync_duration_seconds_count").is_some_and(|v| v > 0.0));
    assert!(text.lines().all(|line| line.starts_with('#') || line.contains(' ')));
}

#[tokio::test]
async fn what_members_say_to_each_other_is_counted_under_etcds_names() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.api(0).await.put("k", "v").await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    let follower = (leader + 1) % 3;
    let (me, peer) = (id(&cluster, leader).await, id(&cluster, follower).await);
    let of_peer = format!("{{Local=\"{me:x}\",Remote=\"{peer:x}\"}}");
    let at_leader = |cluster: &Cluster, name: &str| sampled(&cluster.members[leader], name);
    let is_there = |cluster: &Cluster, name: &str| (at_leader(cluster, name) > 0.0).then_some(());
    for name in [
        format!("etcd_network_known_peers{of_peer}"),
        format!("etcd_network_active_peers{of_peer}"),
        format!("etcd_network_peer_sent_bytes_total{{To=\"{peer:x}\"}}"),
        format!("etcd_network_peer_received_bytes_total{{From=\"{peer:x}\"}}"),
        format!("etcd_network_peer_round_trip_time_seconds_count{{To=\"{peer:x}\"}}"),
    ] {
        wait::until(&name, || is_there(&cluster, &name));
    }
    cluster.members[follower].kill();
    for name in [
        format!("etcd_network_peer_sent_failures_total{{To=\"{peer:x}\"}}"),
        format!("etcd_network_disconnected_peers_total{of_peer}"),
    ] {
        wait::until(&name, || is_there(&cluster, &name));
    }
    let active = format!("etcd_network_active_peers{of_peer}");
    assert_eq!(at_leader(&cluster, &active), 0.0);
}

#[test]
fn what_is_not_there_is_not_found() {
    let node = Node::start();
    for path in ["/", "/nothing", "/v2/keys", "/health/more"] {
        let answer = http::get(node.address(), path).expect("an answer");
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}

#[test]
fn probes_have_a_listener_of_their_own_where_asked_for() {
    let address = crate::support::node::free_address();
    let flag = format!("--listen-metrics-urls=http://{address}");
    let _node = Node::start_with(Options::flags(&[&flag]));
    for path in ["/health", "/livez", "/readyz", "/metrics"] {
        assert_eq!(http::get(address, path).map(|answer| answer.status), Some(200), "{path}");
    }
}
