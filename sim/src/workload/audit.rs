//! A look at everything when all is quiet: the state, the changes that led to it, leases, hashes.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use reseed_proto::etcdserverpb::{
    AlarmRequest, HashKvRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest, Member,
    MemberListRequest, RangeRequest, WatchRequest, WatchResponse, cluster_client::ClusterClient,
    kv_client::KvClient, lease_client::LeaseClient, maintenance_client::MaintenanceClient,
    watch_client::WatchClient, watch_request::RequestUnion,
};
use reseed_rt::clock;
use tonic::{Status, Streaming, transport::Channel};

use super::{
    Scribe,
    client::{MESSAGE_BYTES_MAX, connection, options},
    translate,
};
use crate::{
    check::case::{Audit, AuditedLease, View},
    history::{
        Change, Response, WatchSpec,
        request::{Body, Pair},
    },
};

/// An answer takes this long at most.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// Between two attempts, while the store is not quiet yet.
const PAUSE: Duration = Duration::from_millis(500);
/// Attempts after which members that differ are believed to, and not to be on their way.
const DIFFERENT_MAX: u32 = 4;
/// A lease with more to live than this will not end before the run does.
const SOON_SECS: i64 = 600;

/// An auditor of `members` members.
#[derive(Debug)]
pub struct Auditor {
    /// Tells the time.
    pub scribe: Scribe,
    /// Members of the cluster.
    pub members: u32,
}

impl Auditor {
    /// Looks at everything, again and again until it works and nothing changes meanwhile. Callers
    /// bound this: a healed store that cannot be read is a violation of its own.
    pub async fn audit(&self) -> Audit {
        let mut different = 0;
        loop {
            match self.attempt().await {
                // What is still under way makes them differ too, but not again and again.
                Ok(audit) if differ(&audit.views) && different < DIFFERENT_MAX => {
                    different += 1;
                    clock::sleep(PAUSE).await;
                }
                Ok(audit) => return audit,
                Err(status) => {
                    tracing::debug!(%status, "the audit has to wait");
                    clock::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits until every member answers a linearizable read.
    pub async fn wait_until_served(&self) {
        for member in 0..self.members {
            while read_all(&connection(member, options())).await.is_err() {
                clock::sleep(PAUSE).await;
            }
        }
    }

    /// What is wrong with who each member says the members are, all of whom vote by now.
    ///
    /// # Errors
    /// One cannot be asked.
    pub async fn odd_roster(&self) -> Result<Option<String>, Status> {
        let mut first: Option<Vec<Member>> = None;
        for member in 0..self.members {
            let mut client = ClusterClient::new(connection(member, options()));
            let list = timely(client.member_list(MemberListRequest::default())).await?;
            let roster: Vec<Member> = list.members.into_iter().map(nameless).collect();
            if roster.len() != self.members as usize || roster.iter().any(|one| one.is_learner) {
                return Ok(Some(format!("the members are {roster:?} at member {member}")));
            }
            if first.get_or_insert(roster.clone()) != &roster {
                return Ok(Some(format!("others are members at member {member} than at 0")));
            }
        }
        Ok(None)
    }

    /// Waits until no lease is left that would end soon.
    pub async fn wait_until_leases_settle(&self) {
        loop {
            let channel = connection(0, options());
            let leases = leases(&channel).await;
            if leases.is_ok_and(|leases| leases.iter().all(|lease| lease.ttl > SOON_SECS)) {
                return;
            }
            clock::sleep(PAUSE).await;
        }
    }

    async fn attempt(&self) -> Result<Audit, Status> {
        let channel = connection(0, options());
        let (revision, state) = read_all(&channel).await?;
        let at = u64::try_from(self.scribe.now().as_nanos()).unwrap_or(u64::MAX);
        let hash = hash(&channel, revision).await?;
        let Body::Hash { compact_revision: bound, .. } = hash.body else {
            return Err(Status::internal("no hash"));
        };
        // Nothing was compacted: the server says -1 or 0.
        let compact_revision = bound.max(0);
        let changes_from = if compact_revision == 0 { 1 } else { compact_revision + 1 };
        let changes = changes(&channel, changes_from, revision).await?;
        let leases = leases(&channel).await?;
        let mut hashes = Vec::new();
        for member in 0..self.members {
            let answer = self::hash(&connection(member, options()), revision).await?;
            let Body::Hash { hash, compact_revision, .. } = answer.body else { continue };
            // Another bound, another hash: automatic compaction does not wait for the audit.
            if compact_revision != bound {
                return Err(Status::aborted("the store is compacted meanwhile"));
            }
            hashes.push(hash);
        }
        let mut views = Vec::new();
        for member in 0..self.members {
            views.push(view(&connection(member, options())).await?);
        }
        // Did anything happen meanwhile? Unknown requests may still have been on their way.
        if read_all(&channel).await?.0 != revision {
            return Err(Status::aborted("the store is not quiet yet"));
        }
        Ok(Audit {
            at,
            changes,
            changes_from,
            state,
            revision,
            compact_revision,
            leases,
            hashes,
            views,
        })
    }
}

fn differ(views: &[View]) -> bool {
    let Some((first, rest)) = views.split_first() else { return false };
    rest.iter().any(|other| !first.lasting().eq(other.lasting()) || first.alarms != other.alarms)
}

/// What the member has of leases and alarms, once it has applied all that is committed by now.
async fn view(channel: &Channel) -> Result<View, Status> {
    let mut kv = KvClient::new(channel.clone());
    let key = translate::bytes(translate::EVERYTHING.0);
    timely(kv.range(RangeRequest { key, ..RangeRequest::default() })).await?;
    let leases = leases(channel).await?;
    let mut maintenance = MaintenanceClient::new(channel.clone());
    let listed = timely(maintenance.alarm(AlarmRequest::default())).await?;
    let Body::Alarms { mut alarms } = translate::alarms(&listed).body else {
        return Err(Status::internal("no alarms"));
    };
    alarms.sort_by(|a, b| (a.member, &a.alarm).cmp(&(b.member, &b.alarm)));
    Ok(View { leases, alarms })
}

/// A member without what it tells of itself when it starts.
fn nameless(member: Member) -> Member {
    Member { name: String::new(), client_ur_ls: Vec::new(), ..member }
}

async fn timely<T>(
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match clock::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(elapsed) => Err(Status::deadline_exceeded(elapsed.to_string())),
    }
}

async fn read_all(channel: &Channel) -> Result<(i64, Vec<Pair>), Status> {
    let (key, end) = translate::EVERYTHING;
    let mut kv = KvClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let ask = RangeRequest {
        key: translate::bytes(key),
        range_end: translate::bytes(end),
        ..RangeRequest::default()
    };
    let answer = timely(kv.range(ask)).await?;
    let Response { revision, body: Body::Range { kvs, .. } } = translate::range(&answer) else {
        return Err(Status::internal("no range"));
    };
    Ok((revision, kvs))
}

async fn hash(channel: &Channel, revision: i64) -> Result<Response, Status> {
    let mut maintenance = MaintenanceClient::new(channel.clone());
    let answer = timely(maintenance.hash_kv(HashKvRequest { revision })).await?;
    Ok(translate::hash(&answer))
}

async fn leases(channel: &Channel) -> Result<Vec<AuditedLease>, Status> {
    let mut client = LeaseClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let all = timely(client.lease_leases(LeaseLeasesRequest {})).await?;
    let mut leases = Vec::new();
    for lease in &all.leases {
        let ask = LeaseTimeToLiveRequest { id: lease.id, keys: true };
        let answer = timely(client.lease_time_to_live(ask)).await?;
        let Body::TimeToLive { ttl, granted, keys } = translate::time_to_live(&answer).body else {
            continue;
        };
        if ttl >= 0 {
            leases.push(AuditedLease { id: lease.id, ttl, granted, keys });
        }
    }
    leases.sort_by_key(|lease| lease.id);
    Ok(leases)
}

/// Every change from `from` to `to`, with what was there before.
async fn changes(channel: &Channel, from: i64, to: i64) -> Result<Vec<Change>, Status> {
    let mut changes = Vec::new();
    // Revision 1 is the empty store: it has no event.
    if from.max(2) > to {
        return Ok(changes);
    }
    let mut incoming = clock::timeout(ANSWER_MAX, open(channel, from))
        .await
        .map_err(|elapsed| Status::deadline_exceeded(elapsed.to_string()))??;
    let mut done = false;
    while !done {
        let message = clock::timeout(ANSWER_MAX, incoming.message())
            .await
            .map_err(|elapsed| Status::deadline_exceeded(elapsed.to_string()))??;
        let message = message.ok_or_else(|| Status::unavailable("the stream ended"))?;
        if message.canceled {
            return Err(Status::aborted(message.cancel_reason));
        }
        changes.extend(message.events.iter().filter_map(translate::change));
        done = changes.last().is_some_and(|change| change.revision >= to);
    }
    Ok(changes)
}

/// Opens a watch of everything; the request side stays open, as a client's does.
async fn open(channel: &Channel, start_revision: i64) -> Result<Streaming<WatchResponse>, Status> {
    let (key, end) = translate::EVERYTHING;
    let spec = WatchSpec {
        key: key.to_owned(),
        end: end.to_owned(),
        start_revision,
        prev_kv: true,
        ..WatchSpec::default()
    };
    let create = RequestUnion::CreateRequest(translate::create(&spec, 1));
    let requests = stream::iter([WatchRequest { request_union: Some(create) }]);
    let mut client = WatchClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(client.watch(requests.chain(stream::pending())).await?.into_inner())
}
