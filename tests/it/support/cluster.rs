//! Several daemons that are one cluster, on loopback.

use std::net::SocketAddr;
use std::path::PathBuf;

use reseed_proto::etcdserverpb as pb;

use super::node::free_address;
use super::{Api, Node, Options, wait};

/// How member `mN` at `peer` is started to join `members`, itself among them.
pub(crate) fn joining(n: usize, peer: SocketAddr, members: &[pb::Member]) -> Options {
    let own = format!("http://{peer}");
    let named = members.iter().map(|member| {
        let url = &member.peer_ur_ls[0];
        if *url == own { format!("m{n}={url}") } else { format!("x{:x}={url}", member.id) }
    });
    let initial_cluster = named.collect::<Vec<_>>().join(",");
    let flags = [
        "--initial-cluster-state=existing".to_owned(),
        format!("--initial-advertise-peer-urls={own}"),
        format!("--initial-cluster={initial_cluster}"),
    ];
    Options {
        flags: flags.to_vec(),
        name: Some(format!("m{n}")),
        peer: Some(peer),
        ..Options::default()
    }
}

/// Why a member may not be asked for a change yet.
const NOT_YET: [&str; 2] =
    ["etcdserver: unhealthy cluster", "etcdserver: rpc not supported for learner"];

/// Members `m0`, `m1`, ….
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) members: Vec<Node>,
    /// What all are started with, also those that are added.
    flags: Vec<String>,
}

impl Cluster {
    /// Starts `size` members, each with these flags too, and waits until all serve.
    pub(crate) fn start(size: usize, flags: &[&str]) -> Self {
        Self::start_in(&vec![None; size], flags)
    }

    /// Starts a member for each of `dirs`, its data there, or anywhere.
    pub(crate) fn start_in(dirs: &[Option<PathBuf>], flags: &[&str]) -> Self {
        let options = |dir: &Option<PathBuf>| Options {
            data_dir: dir.clone(),
            peer: Some(free_address()),
            ..Options::flags(flags)
        };
        let started = Self::start_with(dirs.iter().map(options).collect());
        Self { flags: Options::flags(flags).flags, ..started }
    }

    /// Starts a member for each of these options, which say where its peers reach it.
    pub(crate) fn start_with(options: Vec<Options>) -> Self {
        let peers: Vec<SocketAddr> =
            options.iter().map(|one| one.peer.expect("a place to listen")).collect();
        let named = peers.iter().enumerate().map(|(n, peer)| format!("m{n}=http://{peer}"));
        let initial_cluster = named.collect::<Vec<_>>().join(",");
        let member = |(n, mut options): (usize, Options)| {
            let peer_url = format!("http://{}", peers[n]);
            for (flag, value) in [
                ("--initial-cluster", initial_cluster.as_str()),
                ("--initial-advertise-peer-urls", peer_url.as_str()),
            ] {
                options.flags.push(format!("{flag}={value}"));
            }
            options.name = Some(format!("m{n}"));
            Node::prepare(options)
        };
        let members = options.into_iter().enumerate().map(member).collect();
        let mut cluster = Self { members, flags: Vec::new() };
        for member in &mut cluster.members {
            member.launch();
        }
        cluster.wait_until_all_serve();
        cluster
    }

    /// Adds a member by asking member `at`, and prepares its process; its number and id.
    pub(crate) async fn add(&mut self, at: usize, is_learner: bool) -> (usize, u64) {
        let (peer, n) = (free_address(), self.members.len());
        let peer_ur_ls = vec![format!("http://{peer}")];
        let cluster = self.api(at).await.cluster();
        let added = wait::until_async("a member to be added", || async {
            let request = pb::MemberAddRequest { peer_ur_ls: peer_ur_ls.clone(), is_learner };
            match cluster.clone().member_add(request).await {
                Ok(added) => Some(added.into_inner()),
                // Members must have been connected for a while; one that was promoted may not have
                // heard of it.
                Err(status) if NOT_YET.contains(&status.message()) => None,
                Err(status) => panic!("{status}"),
            }
        })
        .await;
        let id = added.member.expect("the new member").id;
        let mut options = joining(n, peer, &added.members);
        options.flags.extend(self.flags.iter().cloned());
        self.members.push(Node::prepare(options));
        (n, id)
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
