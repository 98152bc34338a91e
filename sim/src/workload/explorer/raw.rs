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

/// What one call is counted as.
type Cell = &'static str;

/// Sends one such call and complains if the answer is not of etcd's kind.
pub(super) async fn one(desk: &mut Desk) {
    let member = desk.rng.random_range(0..desk.members.max(1));
    let channel = connection(member, options());
    let limit = desk.load.answer_max;
    let number = number(&mut desk.rng);
    let (cell, answer) = match desk.rng.random_range(0..4) {
        0 => clock::timeout(limit, kv(channel, number, &mut desk.rng)).await,
        1 => clock::timeout(limit, maintenance(channel, number, &mut desk.rng)).await,
        2 => clock::timeout(limit, cluster(channel, number, &mut desk.rng)).await,
        _ => clock::timeout(limit, watch(channel, number, &mut desk.rng)).await,
    }
    .unwrap_or(("timeout", Ok(())));
    desk.board.sent(cell);
    if let Err(status) = answer
        && !is_of_etcds_kind(&status)
    {
        let (code, message) = (status.code(), status.message());
        desk.board.complain("explore.error", format!("{cell}: {code:?}: {message}"));
    }
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

async fn kv(channel: Channel, number: i64, rng: &mut ChaCha8Rng) -> (Cell, Result<(), Status>) {
    let mut kv = KvClient::new(channel);
    match rng.random_range(0..6) {
        0 => {
            let ask = pb::RangeRequest { key: NO_TEXT.into(), ..pb::RangeRequest::default() };
            ("range.key/no_text", kv.range(ask).await.map(drop))
        }
        1 => {
            let enumeral = rng.random_range(-3..100);
            let ask = pb::RangeRequest {
                key: b"wild/".as_slice().into(),
                sort_order: enumeral,
                sort_target: rng.random_range(-3..100),
                ..pb::RangeRequest::default()
            };
            ("range.sort/no_enum", kv.range(ask).await.map(drop))
        }
        2 => {
            let ask = pb::RangeRequest {
                key: b"\0".as_slice().into(),
                range_end: b"\0".as_slice().into(),
                limit: number,
                ..pb::RangeRequest::default()
            };
            ("range_stream.limit/any", drain(kv.range_stream(ask).await).await)
        }
        3 => {
            // A condition of which nobody says with what to compare.
            let compare = pb::Compare {
                key: b"wild/1".as_slice().into(),
                target: rng.random_range(-1..9),
                result: rng.random_range(-1..9),
                ..pb::Compare::default()
            };
            let ask = pb::TxnRequest { compare: vec![compare], ..pb::TxnRequest::default() };
            ("txn.compare/no_target", kv.txn(ask).await.map(drop))
        }
        4 => {
            let success = vec![pb::RequestOp { request: None }];
            let ask = pb::TxnRequest { success, ..pb::TxnRequest::default() };
            ("txn.step/none", kv.txn(ask).await.map(drop))
        }
        _ => {
            let mut nested = pb::TxnRequest::default();
            for _ in 0..rng.random_range(2..60) {
                let request = pb::request_op::Request::RequestTxn(nested);
                let success = vec![pb::RequestOp { request: Some(request) }];
                nested = pb::TxnRequest { success, ..pb::TxnRequest::default() };
            }
            ("txn.depth/huge", kv.txn(nested).await.map(drop))
        }
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
    number: i64,
    rng: &mut ChaCha8Rng,
) -> (Cell, Result<(), Status>) {
    let mut maintenance = MaintenanceClient::new(channel);
    match rng.random_range(0..4) {
        0 => ("hash/plain", maintenance.hash(pb::HashRequest {}).await.map(drop)),
        1 => {
            let target_id = number.cast_unsigned();
            let ask = pb::MoveLeaderRequest { target_id };
            ("move_leader.target/any", maintenance.move_leader(ask).await.map(drop))
        }
        2 => {
            let ask =
                pb::DowngradeRequest { action: rng.random_range(-1..4), version: "3.x".to_owned() };
            ("downgrade.action/any", maintenance.downgrade(ask).await.map(drop))
        }
        _ => {
            let ask = pb::AlarmRequest {
                action: 0,
                member_id: number.cast_unsigned(),
                alarm: rng.random_range(-1..9),
            };
            ("alarm.alarm/no_enum", maintenance.alarm(ask).await.map(drop))
        }
    }
}

async fn cluster(
    channel: Channel,
    number: i64,
    rng: &mut ChaCha8Rng,
) -> (Cell, Result<(), Status>) {
    let mut cluster = ClusterClient::new(channel);
    match rng.random_range(0..3) {
        0 => {
            let ask = pb::MemberListRequest { linearizable: rng.random() };
            ("member_list.linearizable/any", cluster.member_list(ask).await.map(drop))
        }
        1 => {
            // Removing or promoting a member that there is would be a fault and no exploration.
            let ask = pb::MemberPromoteRequest { id: number.cast_unsigned() };
            ("member_promote.id/any", cluster.member_promote(ask).await.map(drop))
        }
        _ => {
            let ask = pb::MemberUpdateRequest {
                id: number.cast_unsigned(),
                peer_ur_ls: vec!["nonsense".to_owned()],
            };
            ("member_update.urls/nonsense", cluster.member_update(ask).await.map(drop))
        }
    }
}

async fn watch(channel: Channel, number: i64, rng: &mut ChaCha8Rng) -> (Cell, Result<(), Status>) {
    let create = pb::WatchCreateRequest {
        key: b"wild/".as_slice().into(),
        watch_id: number,
        ..pb::WatchCreateRequest::default()
    };
    let (cell, asks) = match rng.random_range(0..5) {
        0 => {
            let twice = RequestUnion::CreateRequest(create.clone());
            ("watch.id/twice", vec![Some(RequestUnion::CreateRequest(create)), Some(twice)])
        }
        1 => {
            let create = pb::WatchCreateRequest { start_revision: number, ..create };
            ("watch.start/any", vec![Some(RequestUnion::CreateRequest(create))])
        }
        2 => {
            let range_end = b"a".as_slice().into();
            let create = pb::WatchCreateRequest { range_end, filters: vec![9, -1], ..create };
            ("watch.range/empty", vec![Some(RequestUnion::CreateRequest(create))])
        }
        3 => {
            let cancel = pb::WatchCancelRequest { watch_id: number };
            let progress = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
            (
                "watch.cancel/unknown",
                vec![Some(RequestUnion::CancelRequest(cancel)), Some(progress)],
            )
        }
        _ => ("watch.request/none", vec![None, Some(RequestUnion::CreateRequest(create))]),
    };
    (cell, listen(channel, asks).await)
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
}
