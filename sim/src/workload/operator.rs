//! Who changes the membership: adds, promotes and removes members, and tells where one moves.
//!
//! It asks one member after the other until the change is made: a change that is made already is
//! refused with words that say so, and so may be repeated.

use std::time::Duration;

use reseed_proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, cluster_client::ClusterClient,
};
use reseed_rt::clock;
use tonic::{Status, transport::Channel};

use super::client::{connection, options};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take that a quorum agrees to.
const AGREED_MAX: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);

/// Changes the membership of a cluster of `members` members.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// Members of the cluster.
    pub members: u32,
}

/// What is to be done with a member.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Remove,
    Add { learner: bool },
    Promote,
    Readdress { to: String },
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

    /// Tells the others that member `number` moves from the first of these addresses to the second.
    pub async fn readdress(&self, number: u32, (from, to): (String, String)) {
        self.until_done(number, &from, Step::Readdress { to }).await;
    }

    /// Waits until member `number` serves a cluster of its own.
    pub async fn wait_until_alone(&self, number: u32) {
        loop {
            let mut client = ClusterClient::new(connection(number, options()));
            let list = client.member_list(MemberListRequest { linearizable: true });
            if let Ok(Ok(list)) = clock::timeout(ANSWER_MAX, list).await
                && list.into_inner().members.len() == 1
            {
                return;
            }
            clock::sleep(PAUSE).await;
        }
    }

    async fn until_done(&self, number: u32, url: &str, step: Step) {
        // The others first: what it says of itself may be old.
        let all = (1..=self.members).map(|step| (number + step) % self.members);
        let mut was_asked = false;
        for one in all.cycle() {
            let mut client = ClusterClient::new(connection(one, options()));
            match clock::timeout(ANSWER_MAX, attempt(&mut client, url, &step, &mut was_asked)).await
            {
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
///
/// A member that was added, or is expected elsewhere, may be missing for a quorum until it is
/// started there. So an answer to such a change will do, and where that got lost, what a member
/// remembers.
async fn attempt(
    client: &mut ClusterClient<Channel>,
    url: &str,
    step: &Step,
    was_asked: &mut bool,
) -> Result<bool, Status> {
    let agreed = client.member_list(MemberListRequest { linearizable: true });
    let list = match clock::timeout(AGREED_MAX, agreed).await {
        Ok(Ok(list)) => list.into_inner(),
        _ if *was_asked => {
            client.member_list(MemberListRequest { linearizable: false }).await?.into_inner()
        }
        Ok(Err(status)) => return Err(status),
        Err(elapsed) => return Err(Status::deadline_exceeded(elapsed.to_string())),
    };
    let is_it = |member: &&Member| member.peer_ur_ls.iter().any(|one| one == url);
    let found = list.members.iter().find(is_it);
    match (step, found) {
        (Step::Remove, Some(member)) => {
            client.member_remove(MemberRemoveRequest { id: member.id }).await?;
        }
        (Step::Add { learner }, None) => {
            let peer_ur_ls = vec![url.to_owned()];
            *was_asked = true;
            client.member_add(MemberAddRequest { peer_ur_ls, is_learner: *learner }).await?;
            return Ok(true);
        }
        (Step::Promote, Some(member)) if member.is_learner => {
            client.member_promote(MemberPromoteRequest { id: member.id }).await?;
        }
        // Before it has said its name it has not begun to run, and may not know itself.
        (Step::Readdress { to }, Some(member)) if !member.name.is_empty() => {
            let peer_ur_ls = vec![to.clone()];
            *was_asked = true;
            client.member_update(MemberUpdateRequest { id: member.id, peer_ur_ls }).await?;
            return Ok(true);
        }
        (Step::Remove, None)
        | (Step::Add { .. }, Some(_))
        | (Step::Promote, Some(_))
        | (Step::Readdress { .. }, None) => return Ok(true),
        (Step::Promote, None) | (Step::Readdress { .. }, Some(_)) => {}
    }
    Ok(false)
}
