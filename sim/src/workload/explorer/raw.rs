//! Calls that the history has no words for. Whatever they are answered must be of etcd's kind.

use futures::stream::{self, StreamExt as _};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use reseed_proto::etcdserverpb::{
    self as pb, cluster_client::ClusterClient, kv_client::KvClient,
    maintenance_client::MaintenanceClient, watch_client::WatchClient, watch_request::RequestUnion,
};
use reseed_rt::clock;
use tonic::{Code, Status, transport::Channel};

use super::super::{
    Desk,
    client::{connection, options},
};

/// Bytes that are no text.
const NO_TEXT: &[u8] = b"wild/\xff\xfe\x80";
/// Answers of a watch that are waited for.
const WATCH_ANSWERS_MAX: usize = 3;

/// Every such call, as it is counted: each is as likely as any other.
pub(in crate::workload) const CELLS: &[&str] = &[
    "range.key/no_text",
    "range.sort/no_enum",
    "range_stream.limit/any",
    "txn.compare/no_target",
    "txn.step/none",
    "txn.depth/huge",
    "hash/plain",
    "move_leader.target/any",
    "downgrade.action/any",
    "alarm.alarm/no_enum",
    "member_list.linearizable/no",
    "member_list.linearizable/yes",
    "member_add.urls/nonsense",
    "member_remove.id/nobody",
    "member_promote.id/nobody",
    "member_update.id/nobody",
    "member_update.urls/nonsense",
    "watch.id/twice",
    "watch.filters/no_enum",
    "watch.cancel/unknown",
    "watch.request/none",
];

/// What etcd says to changes of the membership that cannot be made, whoever is asked: it makes
/// sense, it is wise, it is possible, in this order.
const URLS_ARE_BAD: &str = "etcdserver: given member URLs are invalid";
const NOBODY: [&str; 3] = [
    "etcdserver: member not found",
    "etcdserver: re-configuration failed due to not enough started members",
    "etcdserver: unhealthy cluster",
];

/// Sends one such call and complains if the answer is not of etcd's kind, or is none that etcd
/// gives to it.
pub(super) async fn one(desk: &mut Desk) {
    let member = desk.rng.random_range(0..desk.members.max(1));
    let channel = connection(member, options());
    let limit = desk.load.answer_max;
    let number = number(&mut desk.rng);
    let cell = CELLS[desk.rng.random_range(0..CELLS.len())];
    desk.board.sent(cell);
    let rng = &mut desk.rng;
    let family = cell.split(['.', '/']).next().unwrap_or_default();
    let answer = match family {
        "range" | "range_stream" | "txn" => {
            clock::timeout(limit, kv(channel, cell, number, rng)).await
        }
        "watch" => clock::timeout(limit, watch(channel, cell, number)).await,
        _ if family.starts_with("member") => {
            clock::timeout(limit, cluster(channel, cell, number)).await
        }
        _ => clock::timeout(limit, maintenance(channel, cell, number, rng)).await,
    };
    let Ok(answer) = answer else { return };
    if let Some(story) = wrong(cell, answer.as_ref().err()) {
        desk.board.complain("explore.error", format!("{cell}: {story}"));
    }
}

/// What is wrong with how a call was answered, if it was refused or succeeded.
fn wrong(cell: &str, refusal: Option<&Status>) -> Option<String> {
    let due: &[&str] = match cell {
        "member_add.urls/nonsense" | "member_update.urls/nonsense" => &[URLS_ARE_BAD],
        "member_remove.id/nobody" | "member_promote.id/nobody" | "member_update.id/nobody" => {
            &NOBODY
        }
        _ => &[],
    };
    let Some(status) = refusal else {
        return (!due.is_empty()).then(|| format!("succeeded, though {due:?} was due"));
    };
    let (code, message) = (status.code(), status.message());
    // Whoever cannot be reached, or has no leader, cannot say what is wrong.
    let is_of_due = due.is_empty()
        || due.contains(&message)
        || !matches!(code, Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition);
    let is_right = is_of_etcds_kind(status) && is_of_due;
    (!is_right).then(|| format!("{code:?}: {message}"))
}

fn number(rng: &mut ChaCha8Rng) -> i64 {
    [0, 1, 7, -1, i64::MAX, i64::MIN][rng.random_range(0..6)]
}

/// Nothing that a request can cause is an internal error or a loss of data.
fn is_of_etcds_kind(status: &Status) -> bool {
    match status.code() {
        Code::Internal => {
            // A message that cannot be decoded is one in grpc-go too.
            let message = status.message();
            is_of_the_connection(message) || message.starts_with("failed to decode")
        }
        Code::DataLoss | Code::Aborted | Code::AlreadyExists => false,
        _ => true,
    }
}

/// tonic calls broken connections internal errors.
fn is_of_the_connection(message: &str) -> bool {
    ["h2", "http2", "stream", "transport", "connection"].iter().any(|word| message.contains(word))
}

async fn kv(channel: Channel, cell: &str, number: i64, rng: &mut ChaCha8Rng) -> Result<(), Status> {
    let mut kv = KvClient::new(channel);
    match cell {
        "range.key/no_text" => {
            let ask = pb::RangeRequest { key: NO_TEXT.into(), ..pb::RangeRequest::default() };
            kv.range(ask).await.map(drop)
        }
        "range.sort/no_enum" => {
            let enumeral = rng.random_range(-3..100);
            let ask = pb::RangeRequest {
                key: b"wild/".as_slice().into(),
                sort_order: enumeral,
                sort_target: rng.random_range(-3..100),
                ..pb::RangeRequest::default()
            };
            kv.range(ask).await.map(drop)
        }
        "range_stream.limit/any" => {
            let ask = pb::RangeRequest {
                key: b"\0".as_slice().into(),
                range_end: b"\0".as_slice().into(),
                limit: number,
                ..pb::RangeRequest::default()
            };
            drain(kv.range_stream(ask).await).await
        }
        "txn.compare/no_target" => {
            // A condition of which nobody says with what to compare.
            let compare = pb::Compare {
                key: b"wild/1".as_slice().into(),
                target: rng.random_range(-1..9),
                result: rng.random_range(-1..9),
                ..pb::Compare::default()
            };
            let ask = pb::TxnRequest { compare: vec![compare], ..pb::TxnRequest::default() };
            kv.txn(ask).await.map(drop)
        }
        "txn.step/none" => {
            let success = vec![pb::RequestOp { request: None }];
            let ask = pb::TxnRequest { success, ..pb::TxnRequest::default() };
            kv.txn(ask).await.map(drop)
        }
        "txn.depth/huge" => {
            let mut nested = pb::TxnRequest::default();
            for _ in 0..rng.random_range(2..60) {
                let request = pb::request_op::Request::RequestTxn(nested);
                let success = vec![pb::RequestOp { request: Some(request) }];
                nested = pb::TxnRequest { success, ..pb::TxnRequest::default() };
            }
            kv.txn(nested).await.map(drop)
        }
        other => unreachable!("{other} is not of the KV service"),
    }
}

async fn drain<T>(
    answers: Result<tonic::Response<tonic::Streaming<T>>, Status>,
) -> Result<(), Status> {
    let mut answers = answers?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

async fn maintenance(
    channel: Channel,
    cell: &str,
    number: i64,
    rng: &mut ChaCha8Rng,
) -> Result<(), Status> {
    let mut maintenance = MaintenanceClient::new(channel);
    match cell {
        "hash/plain" => maintenance.hash(pb::HashRequest {}).await.map(drop),
        "move_leader.target/any" => {
            let target_id = number.cast_unsigned();
            let ask = pb::MoveLeaderRequest { target_id };
            maintenance.move_leader(ask).await.map(drop)
        }
        "downgrade.action/any" => {
            let ask =
                pb::DowngradeRequest { action: rng.random_range(-1..4), version: "3.x".to_owned() };
            maintenance.downgrade(ask).await.map(drop)
        }
        "alarm.alarm/no_enum" => {
            let ask = pb::AlarmRequest {
                action: 0,
                member_id: number.cast_unsigned(),
                alarm: rng.random_range(-1..9),
            };
            maintenance.alarm(ask).await.map(drop)
        }
        other => unreachable!("{other} is not of the maintenance service"),
    }
}

/// Nothing here changes the cluster: the urls are none, and so are the members.
async fn cluster(channel: Channel, cell: &str, number: i64) -> Result<(), Status> {
    let mut cluster = ClusterClient::new(channel);
    let id = number.cast_unsigned();
    let nonsense = || vec!["nonsense".to_owned()];
    match cell {
        "member_list.linearizable/no" | "member_list.linearizable/yes" => {
            let ask = pb::MemberListRequest { linearizable: cell.ends_with("yes") };
            cluster.member_list(ask).await.map(drop)
        }
        "member_add.urls/nonsense" => {
            let ask = pb::MemberAddRequest { peer_ur_ls: nonsense(), is_learner: number > 0 };
            cluster.member_add(ask).await.map(drop)
        }
        "member_remove.id/nobody" => {
            cluster.member_remove(pb::MemberRemoveRequest { id }).await.map(drop)
        }
        "member_promote.id/nobody" => {
            cluster.member_promote(pb::MemberPromoteRequest { id }).await.map(drop)
        }
        "member_update.id/nobody" => {
            let peer_ur_ls = vec!["http://nobody:2380".to_owned()];
            cluster.member_update(pb::MemberUpdateRequest { id, peer_ur_ls }).await.map(drop)
        }
        "member_update.urls/nonsense" => {
            let ask = pb::MemberUpdateRequest { id, peer_ur_ls: nonsense() };
            cluster.member_update(ask).await.map(drop)
        }
        other => unreachable!("{other} is not of the cluster service"),
    }
}

async fn watch(channel: Channel, cell: &str, number: i64) -> Result<(), Status> {
    let create = pb::WatchCreateRequest {
        key: b"wild/".as_slice().into(),
        watch_id: number,
        ..pb::WatchCreateRequest::default()
    };
    let asks = match cell {
        "watch.id/twice" => {
            let twice = RequestUnion::CreateRequest(create.clone());
            vec![Some(RequestUnion::CreateRequest(create)), Some(twice)]
        }
        "watch.filters/no_enum" => {
            let create = pb::WatchCreateRequest { filters: vec![9, -1], ..create };
            vec![Some(RequestUnion::CreateRequest(create))]
        }
        "watch.cancel/unknown" => {
            let cancel = pb::WatchCancelRequest { watch_id: number };
            let progress = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
            vec![Some(RequestUnion::CancelRequest(cancel)), Some(progress)]
        }
        "watch.request/none" => vec![None, Some(RequestUnion::CreateRequest(create))],
        other => unreachable!("{other} is no watch"),
    };
    listen(channel, asks).await
}

/// Sends `asks` on one stream and takes the first answers; a silent server is no failure here.
async fn listen(channel: Channel, asks: Vec<Option<RequestUnion>>) -> Result<(), Status> {
    let asks = asks.into_iter().map(|request_union| pb::WatchRequest { request_union });
    let asks = stream::iter(asks.collect::<Vec<_>>()).chain(stream::pending());
    let patience = std::time::Duration::from_millis(600);
    let mut client = WatchClient::new(channel);
    let Ok(opened) = clock::timeout(patience, client.watch(asks)).await else { return Ok(()) };
    let mut answers = opened?.into_inner();
    for _ in 0..WATCH_ANSWERS_MAX {
        match clock::timeout(patience, answers.message()).await {
            Ok(answer) => _ = answer?,
            Err(_) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internal_error_is_not_of_etcds_kind_unless_the_connection_broke() {
        let is_fine = |code, message| is_of_etcds_kind(&Status::new(code, message));
        assert!(is_fine(Code::InvalidArgument, "etcdserver: key is not provided"));
        assert!(is_fine(Code::Unimplemented, ""));
        assert!(is_fine(Code::Internal, "h2 protocol error: http2 error"));
        assert!(!is_fine(Code::Internal, "index out of bounds"));
        assert!(!is_fine(Code::DataLoss, "etcdserver: corrupt cluster"));
    }

    #[test]
    fn a_change_of_nobody_must_be_refused_in_etcds_words() {
        let told = |cell, code, message| wrong(cell, Some(&Status::new(code, message)));
        let (remove, add) = ("member_remove.id/nobody", "member_add.urls/nonsense");
        assert_eq!(told(remove, Code::NotFound, "etcdserver: member not found"), None);
        assert_eq!(told(remove, Code::Unavailable, "etcdserver: no leader"), None);
        assert_eq!(told(add, Code::InvalidArgument, URLS_ARE_BAD), None);
        assert!(told(add, Code::NotFound, "etcdserver: member not found").is_some());
        assert!(wrong(remove, None).is_some() && wrong(add, None).is_some());
        assert_eq!(wrong("hash/plain", None), None);
        assert!(CELLS.iter().all(|cell| cell.contains('/')));
    }
}
