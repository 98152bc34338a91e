//! Who a member without a data directory is: a founder of a new cluster, or one that joins.
//!
//! Founders compute the same ids from the same flags. One that joins was added to a running
//! cluster before it starts, so the cluster knows it: it asks the members named by its flags and
//! finds itself by its peer URLs. A founder asks too. Whoever has been here before has lost, with
//! its data, its votes and what it had acknowledged, and may not return as if it had not.

use std::time::Duration;

use futures::future::join_all;
use reseed_core::id::MemberId;
use reseed_proto::log::MemberRecord;
use reseed_proto::peer::ClusterMembers;
use reseed_rt::clock;
use reseed_storage::wal::Metadata;

use crate::boot::BootError;
use crate::config::{Config, InitialClusterState, InitialMember};
use crate::identity;
use crate::peer::ask;

/// How long a member of a running cluster may take to say who is in it.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a founder waits for members that may have been running already; etcd's.
const FOUNDER_MAX: Duration = Duration::from_secs(1);

/// Who founds a cluster by these flags, and who this member is among them.
pub(crate) fn founders(config: &Config) -> (Metadata, Vec<MemberRecord>) {
    let token = &config.initial_cluster_token;
    let record = |member: &InitialMember| MemberRecord {
        id: identity::member_id(member, token),
        // In one order everywhere: the first entries of the log must not differ. So no names,
        // either: the flags of another member may call it otherwise.
        peer_urls: sorted(&member.peer_urls),
        ..MemberRecord::default()
    };
    let me = config.initial_cluster.iter().find(|member| member.name == config.name);
    let member_id = me.map_or(0, |me| identity::member_id(me, token));
    let records = config.initial_cluster.iter().map(record).collect();
    (Metadata { member_id, cluster_id: identity::cluster_id(config) }, records)
}

/// Who this member is, to be written into a new data directory.
///
/// # Errors
/// There is no running cluster to join, it has other members than the flags say, or this member
/// was one already and has lost its data.
pub(crate) async fn identity(config: &Config) -> Result<Metadata, BootError> {
    let (founder, _) = founders(config);
    match config.initial_cluster_state {
        InitialClusterState::New => {
            let answers = ask_all(config, FOUNDER_MAX).await;
            check_new(founder, &answers)?;
            Ok(founder)
        }
        InitialClusterState::Existing => {
            let answers = ask_all(config, ANSWER_MAX).await;
            if answers.is_empty() {
                return Err(BootError::Join(
                    "cannot fetch cluster info from peer urls: could not retrieve cluster \
                     information from the given URLs"
                        .into(),
                ));
            }
            find(config, &answers).map_err(BootError::Join)
        }
    }
}

/// Finds this member in what others say. One that is behind does not know it yet; any that does
/// will do, unless one knows that it has run before (etcd takes it back, and so may lose what it
/// had acknowledged).
pub(super) fn find(config: &Config, answers: &[ClusterMembers]) -> Result<Metadata, String> {
    let mut refused = String::new();
    let mut found = None;
    for answer in answers {
        match find_in(config, answer) {
            Ok(me) if has_run(me, answer) => {
                let id = MemberId(me.member_id);
                return Err(format!(
                    "member {id} has run before, and its data is gone: remove it from the \
                     cluster (member remove) and add it anew"
                ));
            }
            Ok(me) => found = Some(me),
            Err(why) => refused = why,
        }
    }
    found.ok_or(refused)
}

/// Whether a cluster knows that its member `me` has run: it has told its client URLs then.
fn has_run(me: Metadata, cluster: &ClusterMembers) -> bool {
    let is_me = |member: &MemberRecord| member.id == me.member_id;
    cluster.members.iter().any(|member| is_me(member) && !member.client_urls.is_empty())
}

/// A founder that the cluster knows to have run before has lost what it promised.
pub(super) fn check_new(me: Metadata, answers: &[ClusterMembers]) -> Result<(), BootError> {
    let mut of_ours = answers.iter().filter(|answer| answer.cluster_id == me.cluster_id);
    if of_ours.any(|answer| has_run(me, answer)) {
        let id = MemberId(me.member_id);
        return Err(BootError::Join(format!("member {id} has already been bootstrapped")));
    }
    Ok(())
}

/// Finds this member in a running cluster, whose members must be those of the flags.
pub(super) fn find_in(config: &Config, cluster: &ClusterMembers) -> Result<Metadata, String> {
    let refuse = |why: String| {
        let urls = cluster.members.iter().map(|member| member.peer_urls.join(","));
        let urls = urls.collect::<Vec<_>>().join(";");
        Err(format!("error validating peerURLs {urls}: {why}"))
    };
    if cluster.members.len() != config.initial_cluster.len() {
        return refuse("member count is unequal".into());
    }
    let mut found = None;
    for member in &cluster.members {
        let urls = sorted(&member.peer_urls);
        let named = config.initial_cluster.iter().find(|named| sorted(&named.peer_urls) == urls);
        let Some(named) = named else {
            let id = MemberId(member.id);
            return refuse(format!(
                "PeerURLs: no match found for existing member ({id}, [{}])",
                urls.join(" ")
            ));
        };
        if named.name == config.name {
            found = Some(member.id);
        }
    }
    match found {
        Some(member_id) => Ok(Metadata { member_id, cluster_id: cluster.cluster_id }),
        None => refuse(format!("no member has the peer URLs of {:?}", config.name)),
    }
}

/// Asks all other members, each at its first URL that answers; those that do not are left out.
pub(crate) async fn ask_all(config: &Config, patience: Duration) -> Vec<ClusterMembers> {
    let others = config.initial_cluster.iter().filter(|member| member.name != config.name);
    let asked = others.map(|member| async {
        let answer = async {
            for url in &member.peer_urls {
                match ask::members(url, patience).await {
                    Ok(answer) => return Some(answer),
                    Err(status) => {
                        tracing::debug!(url, reason = status.message(), "a peer does not answer");
                    }
                }
            }
            None
        };
        clock::timeout(patience, answer).await.ok().flatten()
    });
    join_all(asked).await.into_iter().flatten().collect()
}

fn sorted(urls: &[String]) -> Vec<String> {
    let mut urls = urls.to_vec();
    urls.sort();
    urls
}
