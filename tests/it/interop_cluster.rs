//! Debian's etcdctl against three members of reseed and three of Debian's etcd, side by side.
//!
//! As in `interop`: the same commands on both, in the same order; what must differ is masked.

use reseed_proto::etcdserverpb as pb;

use crate::interop::{in_order, without_ids};
use crate::support::cluster::joining;
use crate::support::ctl::run;
use crate::support::node::free_address;
use crate::support::{Cluster, Node, Options, tools, wait};

/// Three members of reseed and three of etcd, if etcd and etcdctl are installed.
fn both(test: &str) -> Option<[Cluster; 2]> {
    let member = |etcd| move |_| Options { etcd, peer: Some(free_address()), ..Options::default() };
    let start = |etcd| Cluster::start_with((0..3).map(member(etcd)).collect());
    tools::present(test, &["etcd", "etcdctl"]).then(|| [start(false), start(true)])
}

/// What etcdctl says to one member, without ids and with names for addresses.
fn say(cluster: &Cluster, at: &Node, args: &[&str]) -> String {
    let mask = |mut text: String| {
        for (n, member) in cluster.members.iter().enumerate() {
            text = text.replace(&member.address().to_string(), &format!("CLIENTS-{n}"));
            text = text.replace(&member.peer_address().to_string(), &format!("PEERS-{n}"));
        }
        text
    };
    let said = in_order(&mask(without_ids(&run(at, args, ""))));
    format!("{}\n{said}", mask(format!("{args:?}")))
}

/// The rows of a command about every endpoint, of these columns, sorted.
fn rows(at: &Node, args: &[&str], columns: &[usize]) -> Vec<Vec<String>> {
    let said = run(at, args, "");
    let lines = said.lines().filter(|line| line.contains(", "));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(", ").collect();
        columns.iter().map(|at| cells.get(*at).map_or("none", |cell| *cell).to_owned()).collect()
    };
    let mut rows: Vec<Vec<String>> = lines.map(row).collect();
    rows.sort();
    assert!(said.ends_with("[ok]"), "{said}");
    rows
}

/// The id of member `mN`, as etcdctl prints it.
fn id(cluster: &Cluster, at: &Node, n: usize) -> String {
    let listed = run(at, &["member", "list"], "");
    let url = cluster.members[n].peer_address().to_string();
    let line = listed.lines().find(|line| line.contains(&url)).expect("the member");
    line.split(',').next().expect("its id").to_owned()
}

#[tokio::test]
async fn endpoints_of_a_cluster() {
    let Some(clusters) = both("endpoints_of_a_cluster") else { return };
    let mut said = Vec::new();
    for cluster in &clusters {
        let at = &cluster.members[0];
        for i in 0..5 {
            assert!(run(at, &["put", "k", &i.to_string()], "").starts_with("OK"));
        }
        cluster.leader(&[0, 1, 2]).await;
        cluster.converged(&[0, 1, 2]).await;
        // Who leads, who learns; how many columns there are.
        let status = rows(at, &["endpoint", "status", "--cluster"], &[4, 5, 9, 10]);
        assert_eq!(status.iter().filter(|row| row[0] == "true").count(), 1, "{status:?}");
        let hashes = rows(at, &["endpoint", "hashkv", "--cluster"], &[1, 2]);
        assert!(hashes.len() == 3 && hashes.iter().all(|row| *row == hashes[0]), "{hashes:?}");
        let health = say(cluster, at, &["endpoint", "health", "--cluster"]);
        // How long it took is nobody's business.
        let health: Vec<_> = health.lines().filter_map(|line| line.split("took").next()).collect();
        said.push((status, hashes.len(), health.join("\n"), say(cluster, at, &["member", "list"])));
    }
    assert_eq!(said[0], said[1]);
}

#[tokio::test]
async fn leadership_moved() {
    let Some(clusters) = both("leadership_moved") else { return };
    let mut said = Vec::new();
    for cluster in &clusters {
        let leader = cluster.leader(&[0, 1, 2]).await;
        let next = (leader + 1) % 3;
        let (at, other) = (&cluster.members[leader], &cluster.members[next]);
        let to = id(cluster, at, next);
        let mask = |text: String| without_ids(&text.replace(&to, "NEXT"));
        let not_leader = format!("{other:?}", other = other.address());
        said.push([
            mask(run(other, &["move-leader", &to], "").replace(&not_leader, "FOLLOWER")),
            mask(run(at, &["move-leader", "99"], "")),
            mask(run(at, &["move-leader", "zz"], "")),
            mask(run(at, &["move-leader", &to], "")),
        ]);
        wait::until_async("the other to lead", || async {
            (cluster.leader(&[0, 1, 2]).await == next).then_some(())
        })
        .await;
    }
    assert_eq!(said[0], said[1]);
}

#[tokio::test]
async fn a_fourth_member_and_a_snapshot() {
    let Some(clusters) = both("a_fourth_member_and_a_snapshot") else { return };
    let mut said = Vec::new();
    for (mut cluster, etcd) in clusters.into_iter().zip([false, true]) {
        said.push(add_and_remove(&mut cluster, etcd).await);
    }
    for (ours, theirs) in said[0].iter().zip(&said[1]) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(said[0].len(), said[1].len());
}

/// Adds a learner, promotes it, takes a snapshot, removes the member.
async fn add_and_remove(cluster: &mut Cluster, etcd: bool) -> Vec<String> {
    cluster.leader(&[0, 1, 2]).await;
    let mut said = Vec::new();
    let peer = free_address();
    let url = format!("--peer-urls=http://{peer}");
    let add = ["member", "add", "m3", "--learner", url.as_str()];
    // Members must have been connected for a while.
    let added = wait::until("a member to be added", || {
        let text = run(&cluster.members[0], &add, "");
        (!text.contains("unhealthy cluster")).then_some(text)
    });
    said.push(without_ids(added.lines().next().unwrap_or_default()));
    let listed = cluster.api(0).await.cluster().member_list(pb::MemberListRequest::default()).await;
    let members = listed.expect("a list").into_inner().members;
    let joiner = Options { etcd, ..joining(3, peer, &members) };
    cluster.members.push(Node::prepare(joiner));
    let new = id(cluster, &cluster.members[0], 3);
    let at = &cluster.members[0];
    said.push(say(cluster, at, &["member", "list"]));
    said.push(say(cluster, at, &["member", "promote", &new]).replace(&new, "NEW"));
    cluster.members[3].launch();
    let at = &cluster.members[0];
    wait::until("the learner to run", || {
        (!run(at, &["member", "list"], "").contains("unstarted")).then_some(())
    });
    said.push(say(cluster, at, &["member", "list"]));
    said.push(wait::until("the learner to be in sync", || {
        let text = say(cluster, at, &["member", "promote", &new]).replace(&new, "NEW");
        (!text.contains("in sync with leader")).then_some(text)
    }));
    said.push(say(cluster, at, &["member", "list"]));
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("snapshot.db");
    let path = file.to_str().expect("UTF-8");
    said.push(say(cluster, at, &["snapshot", "save", path]).replace(path, "FILE"));
    let saved = std::fs::metadata(&file).expect("the snapshot").len();
    assert_eq!(saved % 512, 32, "whole sectors and a SHA-256: {saved} bytes");
    said.push(wait::until("all to be connected for a while", || {
        let text = say(cluster, at, &["member", "remove", &new]).replace(&new, "NEW");
        (!text.contains("unhealthy cluster")).then_some(text)
    }));
    said.push(say(cluster, at, &["member", "list"]));
    said
}
