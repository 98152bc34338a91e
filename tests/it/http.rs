//! Plain HTTP on the client port: what probes, scrapers and operators with curl see.

use crate::support::{Api, Node, Options, http};

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

#[tokio::test]
async fn metrics_count_under_etcds_names() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    api.put("k", "v").await;
    let text = http::get(node.address(), "/metrics").expect("an answer").body;
    let metric = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.and_then(|value| value.parse::<f64>().ok())
    };
    assert_eq!(metric("etcd_server_has_leader"), Some(1.0), "{text}");
    assert_eq!(metric("etcd_server_is_leader"), Some(1.0));
    assert!(metric("etcd_server_proposals_committed_total").is_some_and(|v| v > 0.0));
    assert!(metric("etcd_disk_wal_fsync_duration_seconds_count").is_some_and(|v| v > 0.0));
    assert!(text.lines().all(|line| line.starts_with('#') || line.contains(' ')));
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
