//! Who changes the membership: removes a member whose disk is gone, and adds it again, empty.
//!
//! It asks one member after the other until the change is made: a change that is made already is
//! refused with words that say so, and so may be repeated.

use std::time::Duration;

use reseed_proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    cluster_client::ClusterClient,
};
use reseed_rt::clock;
use tonic::{Status, transport::Channel};

use super::client::{connection, options};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);

/// Changes the membership of a cluster of `members` members.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// Members of the cluster.
    pub members: u32,
}

/// What is to be done with a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Remove,
    Add { learner: bool },
    Promote,
}

impl Operator {
    /// Removes member `number`, whose peers know it by `url`; returns once that is done.
    pub async fn remove(&self, number: u32, url: &str) {
        self.until_done(number, url, Step::Remove).await;
    }

    /// Adds member `number` as one that votes, or that learns first.
    pub async fn add(&self, number: u32, url: &str, learner: bool) {
        self.until_done(number, url, Step::Add { learner }).await;
    }

    /// Lets member `number` vote, once it has learnt enough.
    pub async fn promote(&self, number: u32, url: &str) {
        self.until_done(number, url, Step::Promote).await;
    }

    async fn until_done(&self, number: u32, url: &str, step: Step) {
        let others = (0..self.members).filter(|other| *other != number);
        for other in others.cycle() {
            let mut client = ClusterClient::new(connection(other, options()));
            match clock::timeout(ANSWER_MAX, attempt(&mut client, url, step)).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(status)) => tracing::debug!(?step, %status, "the operator has to wait"),
                Err(elapsed) => tracing::debug!(?step, %elapsed, "the operator has to wait"),
            }
            clock::sleep(PAUSE).await;
        }
    }
}

/// One attempt; whether it is done, which the list of members says.
async fn attempt(
    client: &mut ClusterClient<Channel>,
    url: &str,
    step: Step,
) -> Result<bool, Status> {
    let list = client.member_list(MemberListRequest { linearizable: true }).await?.into_inner();
    let is_it = |member: &&Member| member.peer_ur_ls.iter().any(|one| one == url);
    let found = list.members.iter().find(is_it);
    match (step, found) {
        (Step::Remove, Some(member)) => {
            client.member_remove(MemberRemoveRequest { id: member.id }).await?;
        }
        (Step::Add { learner }, None) => {
            let peer_ur_ls = vec![url.to_owned()];
            client.member_add(MemberAddRequest { peer_ur_ls, is_learner: learner }).await?;
        }
        (Step::Promote, Some(member)) if member.is_learner => {
            client.member_promote(MemberPromoteRequest { id: member.id }).await?;
        }
        (Step::Remove, None) | (Step::Add { .. }, Some(_)) | (Step::Promote, Some(_)) => {
            return Ok(true);
        }
        (Step::Promote, None) => {}
    }
    Ok(false)
}
