//! A cluster of processes under load while members are killed, stopped, restarted, replaced, full.
//!
//! Clients put new keys at whichever member answers and never try a key twice. What was
//! acknowledged to them is recorded outside the daemons and must be at every member afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::kv_client::KvClient;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::cluster::{others, put_until_done};
use crate::members::{id, promote, remove};
use crate::support::api::bytes;
use crate::support::{Cluster, Promised, SmallDisk, small_disk, tools, wait};

/// Clients that write until they are told to end.
struct Load {
    promised: Promised,
    ends: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Vec<Status>>>,
}

impl Load {
    fn start(cluster: &Cluster, name: &str, promised: &Promised) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let members = |_| -> Vec<Channel> {
            let endpoints = cluster.members.iter().map(|member| member.endpoint());
            let lazy = endpoints.map(|endpoint| {
                let endpoint = Endpoint::from_shared(endpoint).expect("a URL");
                // A stopped member accepts connections and says nothing.
                let patience = Duration::from_secs(5);
                endpoint.connect_timeout(patience).timeout(patience).connect_lazy()
            });
            lazy.collect()
        };
        let writers = (0..4).map(|writer| {
            let name = format!("{name}/{writer}");
            tokio::spawn(write(members(writer), writer, name, promised.clone(), ends.clone()))
        });
        Self { promised: promised.clone(), writers: writers.collect(), ends }
    }

    /// Waits until `count` more writes are acknowledged.
    async fn goes_on(&self, count: usize) {
        let wanted = self.promised.len() + count;
        let done = || async { (self.promised.len() >= wanted).then_some(()) };
        wait::until_async("writes to be acknowledged", done).await;
    }

    /// Ends the load; what was not acknowledged, and why.
    async fn end(self) -> Vec<Status> {
        self.ends.store(true, Ordering::Relaxed);
        let mut refused = Vec::new();
        for writer in self.writers {
            refused.extend(wait::within("a writer to end", writer).await.expect("no panic"));
        }
        refused
    }
}

async fn write(
    members: Vec<Channel>,
    mut at: usize,
    name: String,
    promised: Promised,
    ends: Arc<AtomicBool>,
) -> Vec<Status> {
    let mut refused = Vec::new();
    for i in 0.. {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{name}/{i}");
        let value = format!("value of {key}");
        let put = pb::PutRequest { key: bytes(&key), value: bytes(&value), ..Default::default() };
        match KvClient::new(members[at % members.len()].clone()).put(put).await {
            Ok(answer) => {
                let revision = answer.into_inner().header.expect("a header").revision;
                promised.keep(key, value, revision);
            }
            Err(status) => {
                refused.push(status);
                at += 1;
                wait::a_moment().await;
            }
        }
    }
    refused
}

/// All of `among` end up equal, and each keeps every promise.
async fn check(cluster: &Cluster, among: &[usize], promised: &Promised) {
    cluster.converged(among).await;
    for n in among {
        promised.check(&cluster.api(*n).await).await;
    }
}

/// Rounds of killing in one test; `RESEED_KILLS` raises it.
fn rounds() -> usize {
    std::env::var("RESEED_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_of_leader_follower_and_all_loses_nothing_acknowledged() {
    let mut cluster = Cluster::start(3, &["--snapshot-count=50"]);
    let promised = Promised::default();
    for round in 0..rounds() {
        let load = Load::start(&cluster, &round.to_string(), &promised);
        load.goes_on(100).await;
        let leader = cluster.leader(&[0, 1, 2]).await;
        let victims = match round % 3 {
            0 => vec![leader],
            1 => vec![0, 1, 2],
            _ => vec![others(leader)[0]],
        };
        for victim in &victims {
            cluster.members[*victim].kill();
        }
        if victims.len() < 2 {
            load.goes_on(100).await;
        }
        for victim in &victims {
            cluster.members[*victim].launch();
        }
        cluster.wait_until_all_serve();
        load.goes_on(100).await;
        load.end().await;
        check(&cluster, &[0, 1, 2], &promised).await;
    }
}

/// As etcd's #20418: a leader that was stopped, and was asked before it ran again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_leader_is_replaced_and_never_reads_what_is_old() {
    let cluster = Cluster::start(3, &[]);
    let leader = cluster.leader(&[0, 1, 2]).await;
    let followers = others(leader);
    for round in 0..3 {
        let asked = cluster.api(leader).await;
        put_until_done(&cluster, &[leader], "k", &format!("old {round}")).await;
        cluster.members[leader].signal("STOP");
        let new = format!("new {round}");
        put_until_done(&cluster, &followers, "k", &new).await;
        let reader = tokio::spawn(async move {
            asked.kv().range(pb::RangeRequest { key: bytes("k"), ..<_>::default() }).await
        });
        wait::a_moment().await;
        cluster.members[leader].signal("CONT");
        let read = wait::within("an answer", reader).await.expect("no panic");
        // To refuse is allowed; to answer what was before is not.
        if let Ok(read) = read {
            assert_eq!(read.into_inner().kvs[0].value, bytes(&new));
        }
        cluster.converged(&[0, 1, 2]).await;
        let api = cluster.api(followers[0]).await;
        let target_id = id(&cluster, leader).await;
        let moved = api.maintenance().move_leader(pb::MoveLeaderRequest { target_id }).await;
        if cluster.leader(&[0, 1, 2]).await != leader {
            let at = cluster.api(cluster.leader(&[0, 1, 2]).await).await;
            let again = at.maintenance().move_leader(pb::MoveLeaderRequest { target_id }).await;
            assert!(again.is_ok(), "{moved:?} {again:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_only_what_may_be_tried_again() {
    let mut cluster = Cluster::start(3, &[]);
    let promised = Promised::default();
    let load = Load::start(&cluster, "rolling", &promised);
    for n in 0..3 {
        load.goes_on(50).await;
        assert!(cluster.members[n].stop("TERM").success());
        load.goes_on(50).await;
        cluster.members[n].launch();
        cluster.wait_until_all_serve();
        cluster.leader(&[0, 1, 2]).await;
    }
    load.goes_on(50).await;
    for status in load.end().await {
        // A connection that breaks has no code of its own; clients take it for `Unavailable`.
        let broke = std::error::Error::source(&status).is_some();
        assert!(broke || status.code() == Code::Unavailable, "{status:?}");
    }
    check(&cluster, &[0, 1, 2], &promised).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_replaced_under_load() {
    let mut cluster = Cluster::start(3, &["--snapshot-count=50"]);
    let promised = Promised::default();
    let load = Load::start(&cluster, "replace", &promised);
    load.goes_on(200).await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    let (new, new_id) = cluster.add(leader, true).await;
    cluster.members[new].launch();
    assert!(cluster.members[new].wait_until_serving());
    load.goes_on(50).await;
    promote(&cluster, leader, new_id).await;
    load.goes_on(50).await;
    let at = others(leader)[0];
    let gone = id(&cluster, leader).await;
    wait::until_async("the old leader to be removed", || async {
        remove(&cluster, at, gone).await.ok()
    })
    .await;
    load.goes_on(50).await;
    load.end().await;
    let mut left = others(leader);
    left.push(new);
    check(&cluster, &left, &promised).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_a_full_disk_holds_up_nobody_and_catches_up() {
    let Some(disk) = SmallDisk::mount(700) else {
        let test = "a_member_with_a_full_disk_holds_up_nobody_and_catches_up";
        tools::skip_unprivileged(test, small_disk::REFUSED);
        return;
    };
    // Room, once it is freed, for what the others log meanwhile, twice.
    let dirs = [None, None, Some(disk.path().join("data"))];
    let cluster = Cluster::start_in(&dirs, &[]);
    let target_id = id(&cluster, 0).await;
    let leader = cluster.leader(&[0, 1, 2]).await;
    if leader != 0 {
        let request = pb::MoveLeaderRequest { target_id };
        let moved = cluster.api(leader).await.maintenance().move_leader(request).await;
        moved.expect("leadership moves");
    }
    disk.fill();
    let api = cluster.api(0).await;
    let value = "x".repeat(1 << 20);
    for i in 0..100 {
        let key = bytes(&format!("big{}", i % 8));
        let put = pb::PutRequest { key, value: bytes(&value), ..Default::default() };
        wait::within("an answer", api.kv().put(put)).await.expect("two of three have room");
    }
    let behind = pb::RangeRequest { key: bytes("big5"), serializable: true, ..<_>::default() };
    let full = cluster.api(2).await;
    let seen = full.kv().range(behind).await.expect("reads go on").into_inner();
    let newest = api.get("big5").await.map(|_| seen.header.expect("a header").revision);
    assert!(newest.is_some_and(|revision| revision < 101), "it took everything: {newest:?}");
    disk.free();
    cluster.converged(&[0, 1, 2]).await;
    put_until_done(&cluster, &[2], "after", "1").await;
}
