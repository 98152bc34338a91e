//! Several daemons that are one cluster, on loopback.

use std::net::SocketAddr;

use reseed_proto::etcdserverpb as pb;

use super::node::free_address;
use super::{Api, Node, Options, wait};

/// Members `m0`, `m1`, ….
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) members: Vec<Node>,
}

impl Cluster {
    /// Starts `size` members, each with these flags too, and waits until all serve.
    pub(crate) fn start(size: usize, flags: &[&str]) -> Self {
        let peers: Vec<SocketAddr> = (0..size).map(|_| free_address()).collect();
        let named = peers.iter().enumerate().map(|(n, peer)| format!("m{n}=http://{peer}"));
        let initial_cluster = named.collect::<Vec<_>>().join(",");
        let member = |(n, peer): (usize, &SocketAddr)| {
            let mut options = Options::flags(flags);
            let peer_url = format!("http://{peer}");
            for (flag, value) in [
                ("--initial-cluster", initial_cluster.as_str()),
                ("--initial-advertise-peer-urls", peer_url.as_str()),
            ] {
                options.flags.push(format!("{flag}={value}"));
            }
            (options.name, options.peer) = (Some(format!("m{n}")), Some(*peer));
            Node::prepare(options)
        };
        let mut cluster = Self { members: peers.iter().enumerate().map(member).collect() };
        for member in &mut cluster.members {
            member.launch();
        }
        cluster.wait_until_all_serve();
        cluster
    }

    pub(crate) fn wait_until_all_serve(&mut self) {
        for member in &mut self.members {
            assert!(member.wait_until_serving(), "a member has stopped:\n{}", member.log());
        }
    }

    /// A client of member `n`.
    pub(crate) async fn api(&self, n: usize) -> Api {
        Api::connect(&self.members[n]).await
    }

    /// The number of the member that leads, once those of `among` agree on one of them.
    pub(crate) async fn leader(&self, among: &[usize]) -> usize {
        wait::until_async("a leader", || async {
            let mut leaders = Vec::new();
            for n in among {
                let status = self.api(*n).await.maintenance().status(pb::StatusRequest {}).await;
                let status = status.ok()?.into_inner();
                let own = status.header?.member_id;
                leaders.push((*n, own, status.leader));
            }
            let (_, _, leader) = *leaders.first()?;
            let agreed = leaders.iter().all(|(_, _, other)| *other == leader);
            let leads = leaders.iter().find(|(_, own, _)| *own == leader);
            leads.filter(|_| agreed).map(|(n, _, _)| *n)
        })
        .await
    }

    /// Waits until all of `among` have the same keys at the same revision; returns that revision.
    pub(crate) async fn converged(&self, among: &[usize]) -> i64 {
        wait::until_async("equal hashes", || async {
            let mut hashes = Vec::new();
            for n in among {
                let api = self.api(*n).await;
                let hash = api.maintenance().hash_kv(pb::HashKvRequest::default()).await;
                let hash = hash.ok()?.into_inner();
                hashes.push((hash.hash, hash.compact_revision, hash.hash_revision));
            }
            let first = *hashes.first()?;
            hashes.iter().all(|hash| *hash == first).then_some(first.2)
        })
        .await
    }
}
