//! Who changes the membership: adds, promotes and removes members, and tells where one moves.
//!
//! It asks one member after the other until the change is made: a change that is made already is
//! refused with words that say so, and so may be repeated. On its way it tries what must work (a
//! guest that only learns comes and goes while a member is down) and what must not (who has not
//! even started learning votes), and complains.

use std::time::Duration;

use reseed_proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, cluster_client::ClusterClient,
};
use reseed_rt::clock;
use tonic::{Status, transport::Channel};

use super::{
    Board,
    client::{connection, options},
};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take that a quorum agrees to.
const AGREED_MAX: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);

/// Longer than all that can stand in the way of a change: then it must be possible.
const CHANGE_MAX: Duration = Duration::from_secs(120);
/// Where nobody listens.
const GUEST_URL: &str = "http://guest:2380";

/// Changes the membership of a cluster of `members` members.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Members of the cluster.
    pub members: u32,
    /// Where it complains.
    pub board: Board,
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

    /// While member `number` is down, one that only learns is added and removed: there is a quorum,
    /// so both must be possible.
    pub async fn receive_guest(&self, number: u32) {
        self.until_done(number, GUEST_URL, Step::Add { learner: true }).await;
        self.until_done(number, GUEST_URL, Step::Remove).await;
    }

    /// Tries to make member `number`, which was added to learn and has never run, a voter: by
    /// asking for it, and by telling its address again.
    pub async fn tempt(&self, number: u32, url: &str) {
        for other in (0..self.members).filter(|other| *other != number) {
            let mut client = ClusterClient::new(connection(other, options()));
            match clock::timeout(ANSWER_MAX, tempt(&mut client, url)).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(story))) => self.board.complain("member.promoted", story),
                Ok(Err(status)) => tracing::debug!(%status, "the operator hears nothing"),
                Err(elapsed) => tracing::debug!(%elapsed, "the operator hears nothing"),
            }
        }
    }

    async fn until_done(&self, number: u32, url: &str, step: Step) {
        let change = self.attempts(number, url, &step);
        if clock::timeout(CHANGE_MAX, change).await.is_err() {
            let story = format!("{step:?} of {url} is not possible within {CHANGE_MAX:?}");
            self.board.complain("live.member", story);
        }
    }

    async fn attempts(&self, number: u32, url: &str, step: &Step) {
        // The others first: what it says of itself may be old.
        let all = (1..=self.members).map(|step| (number + step) % self.members);
        let mut was_asked = false;
        for one in all.cycle() {
            let mut client = ClusterClient::new(connection(one, options()));
            match clock::timeout(ANSWER_MAX, attempt(&mut client, url, step, &mut was_asked)).await
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

/// What must not succeed, once each; the story if something did.
async fn tempt(client: &mut ClusterClient<Channel>, url: &str) -> Result<Option<String>, Status> {
    let Some(member) = find(client, url).await? else { return Ok(None) };
    let id = member.id;
    if client.member_promote(MemberPromoteRequest { id }).await.is_ok() {
        return Ok(Some(format!("{url} may vote and has never run")));
    }
    let update = MemberUpdateRequest { id, peer_ur_ls: member.peer_ur_ls };
    client.member_update(update).await?;
    let votes = find(client, url).await?.is_some_and(|member| !member.is_learner);
    Ok(votes.then(|| format!("{url} was told its address, and may vote since")))
}

async fn find(client: &mut ClusterClient<Channel>, url: &str) -> Result<Option<Member>, Status> {
    let list = client.member_list(MemberListRequest { linearizable: true }).await?.into_inner();
    let is_it = |member: &Member| member.peer_ur_ls.iter().any(|one| one == url);
    Ok(list.members.into_iter().find(is_it))
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
