//! Verdicts, and three members of which one has been tampered with.

use bytes::Bytes;
use reseed_core::port::{Batch, Read as _, Table};
use reseed_rt::net::Listener;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, InitialMember};
use crate::halt::Cause;
use crate::node::Server;

fn hashes(of: &[u32]) -> Hashes {
    (1..).zip(of.iter().copied()).collect()
}

fn differ(wrong: &[u64], right: &[u64]) -> Verdict {
    Verdict::Differ { wrong: wrong.to_vec(), right: right.to_vec() }
}

#[test]
fn a_majority_of_all_members_is_right() {
    for (members, of, expected) in [
        (1, &[7][..], Verdict::Equal(1)),
        (3, &[7, 7, 7], Verdict::Equal(3)),
        (3, &[7], Verdict::Equal(1)),
        (3, &[7, 7, 8], differ(&[3], &[1, 2])),
        (3, &[8, 7, 7], differ(&[1], &[2, 3])),
        (3, &[7, 8], Verdict::Unclear),
        (3, &[7, 8, 9], Verdict::Unclear),
        (2, &[7, 8], Verdict::Unclear),
        (4, &[7, 7, 8, 8], Verdict::Unclear),
        (5, &[7, 7, 8, 8], Verdict::Unclear),
        (5, &[7, 7, 8, 7], differ(&[3], &[1, 2, 4])),
        (5, &[7, 8, 9, 7, 7], differ(&[2, 3], &[1, 4, 5])),
    ] {
        assert_eq!(judge(members, &hashes(of)), expected, "{of:?} of {members}");
    }
}

/// Three members on loopback, as they would run.
async fn three(dir: &TempDir) -> Vec<Server> {
    // An address that nobody connects from, or a connection may take a port that is free now.
    let free = join_all((0..3).map(|_| Listener::bind("127.0.0.2:0"))).await;
    let held: Vec<_> = free.into_iter().map(|port| port.expect("a port")).collect();
    let url = |n: usize| format!("http://{}", held[n].local_addr().expect("bound"));
    let member = |n| InitialMember { name: format!("m{n}"), peer_urls: vec![url(n)] };
    let initial_cluster: Vec<_> = (0..3).map(member).collect();
    let configs = (0..3).map(|n| Config {
        name: format!("m{n}"),
        data_dir: dir.path().join(format!("m{n}")),
        listen_client_urls: vec!["http://127.0.0.1:0".into()],
        listen_peer_urls: vec![url(n)],
        initial_advertise_peer_urls: vec![url(n)],
        initial_cluster: initial_cluster.clone(),
        ..Config::default()
    });
    let configs: Vec<_> = configs.collect();
    drop(held);
    let mut members = Vec::new();
    for config in configs {
        members.push(Server::start(config).await.expect("starts"));
    }
    members
}

fn monitor(member: &Server) -> Monitor {
    let (state, proposer) = (Arc::clone(member.state()), member.proposer().clone());
    Monitor { state, proposer, peers: member.peers().clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_tampered_with_is_found_and_mended() {
    let dir = TempDir::new().expect("a directory");
    let members = three(&dir).await;
    let put = pb::PutRequest { key: "k".into(), value: "v".into(), ..pb::PutRequest::default() };
    let put = members[0].proposer().propose(Request::Put(put)).await;
    put.expect("a leader is found");
    let index = members[0].state().progress.applied();
    for member in &members {
        member.state().progress.wait_applied(index).await;
    }
    for member in &members {
        assert_eq!(monitor(member).compare().await, Ok(Verdict::Equal(3)));
    }
    // What disks do.
    let damaged = members[2].state();
    let mut batch = Batch::default();
    let stored = |state: &State| {
        let mut found = Vec::new();
        let mut visit = |key: &[u8], value: &Bytes| {
            found.push((key.to_vec(), value.to_vec()));
            true
        };
        state.backend.view().scan(Table::Key, &[], None, &mut visit).expect("memory");
        found
    };
    let (key, mut value) = stored(damaged).pop().expect("one change");
    *value.last_mut().expect("a record") ^= 1;
    batch.put(Table::Key, Bytes::from(key), Bytes::from(value));
    damaged.backend.commit(batch, damaged.backend.applied()).expect("memory");

    let mut right: Vec<u64> = members[..2].iter().map(|one| one.state().member_id).collect();
    right.sort_unstable();
    let differs = differ(&[damaged.member_id], &right);
    for member in &members {
        assert_eq!(monitor(member).compare().await, Ok(differs.clone()));
    }
    monitor(&members[1]).round().await.expect("the alarm is raised");
    assert!(monitor(&members[1]).is_known(damaged.member_id));
    let put = pb::PutRequest { key: "k".into(), ..pb::PutRequest::default() };
    let refused = members[1].proposer().propose(Request::Put(put)).await;
    assert_eq!(refused.expect_err("nothing changes the data"), Error::Corrupt);

    // It wants to be started again, and then it has what the others have.
    let config = damaged.config.clone();
    let mut members = members;
    let outvoted = members.pop().expect("three");
    assert_eq!(outvoted.halted().await.cause, Cause::Outvoted);
    outvoted.stop().await;
    members.push(Server::start(config).await.expect("is mended"));
    members[2].state().progress.wait_applied(members[0].state().progress.applied()).await;
    assert_eq!(monitor(&members[2]).compare().await, Ok(Verdict::Equal(3)));
    assert_eq!(stored(members[2].state()), stored(members[0].state()));
    let lifted = async {
        while monitor(&members[0]).is_known(members[2].state().member_id) {
            clock::sleep(Duration::from_millis(10)).await;
        }
    };
    clock::timeout(Duration::from_secs(60), lifted).await.expect("the alarm is lifted");
    for member in members {
        member.stop().await;
    }
}
