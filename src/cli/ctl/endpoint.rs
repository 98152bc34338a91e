//! What is asked of endpoints one by one: health, status, hashkv, defrag, move-leader.

use std::time::Duration;

use reseed_client::{Client, Error, Get};
use reseed_proto::etcdserverpb::{AlarmRequest, AlarmType, MemberListRequest};
use reseed_rt::clock;

use super::{
    CtlError, Session, connect,
    print::{Answer, Health},
    text, warn, write_out,
};

/// The endpoints to ask, each with a client of its own.
async fn each(session: &Session, is_cluster: bool) -> Result<Vec<(String, Client)>, CtlError> {
    let endpoints = match is_cluster {
        false => session.global.endpoints.clone(),
        true => {
            let request = MemberListRequest { linearizable: true };
            let members = session.client.member_list(request).await?.members;
            members.into_iter().flat_map(|member| member.client_ur_ls).collect()
        }
    };
    endpoints
        .into_iter()
        .map(|endpoint| {
            let client = connect(&session.global, std::slice::from_ref(&endpoint))?;
            Ok((endpoint, client))
        })
        .collect()
}

pub(super) async fn health(session: &Session, is_cluster: bool) -> Result<(), CtlError> {
    let mut found = Vec::new();
    for (endpoint, client) in each(session, is_cluster).await? {
        let started = clock::Instant::now();
        let error = check(&client).await.err();
        found.push(Health { endpoint, took: started.elapsed(), error });
    }
    let sick: Vec<_> =
        found.iter().filter_map(|h| Some((&h.endpoint, h.error.as_ref()?))).collect();
    if session.is_simple() {
        for (endpoint, error) in &sick {
            warn(format!("{endpoint} is unhealthy: failed to commit proposal: {error}"));
        }
    }
    let is_healthy = sick.is_empty();
    session.show(&Answer::Health(found))?;
    match is_healthy {
        true => Ok(()),
        false => Err(CtlError::general("unhealthy cluster")),
    }
}

/// A linearizable read must work, and no alarm be raised.
async fn check(client: &Client) -> Result<(), String> {
    match client.get(Get::key("health")).await {
        // To be refused, the request had to be understood.
        Ok(_) | Err(Error::Etcd(reseed_core::error::Error::PermissionDenied)) => {}
        Err(error) => return Err(error.to_string()),
    }
    let alarms = client
        .alarm(AlarmRequest::default())
        .await
        .map_err(|_| "Unable to fetch the alarm list".to_owned())?
        .alarms;
    let names: Vec<_> = alarms
        .iter()
        .filter(|alarm| alarm.alarm() != AlarmType::None)
        .map(|alarm| alarm.alarm().as_str_name())
        .collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(format!("Active Alarm(s): {}", names.join(", "))),
    }
}

pub(super) async fn status(session: &Session, is_cluster: bool) -> Result<(), CtlError> {
    let mut found = Vec::new();
    let mut has_failed = false;
    for (endpoint, client) in each(session, is_cluster).await? {
        match client.status().await {
            Ok(status) => found.push((endpoint, status)),
            Err(error) => {
                has_failed = true;
                warn(format!("Failed to get the status of endpoint {endpoint} ({error})"));
            }
        }
    }
    session.show(&Answer::Status(found))?;
    match has_failed {
        false => Ok(()),
        true => Err(CtlError::general("")),
    }
}

pub(super) async fn hash_kv(
    session: &Session,
    is_cluster: bool,
    revision: i64,
) -> Result<(), CtlError> {
    let mut found = Vec::new();
    let mut failure = None;
    for (endpoint, client) in each(session, is_cluster).await? {
        match client.hash_kv(revision).await {
            Ok(hash) => found.push((endpoint, hash)),
            Err(error) => {
                warn(format!("Failed to get the hash of endpoint {endpoint} ({error})"));
                failure = Some(error);
            }
        }
    }
    session.show(&Answer::HashKv(found))?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}

pub(super) async fn defragment(session: &Session, is_cluster: bool) -> Result<(), CtlError> {
    let mut has_failed = false;
    for (endpoint, client) in each(session, is_cluster).await? {
        let started = clock::Instant::now();
        match client.defragment().await {
            Ok(_) => write_out(format!(
                "Finished defragmenting etcd member[{endpoint}]. took {}\n",
                text::go_duration(started.elapsed())
            ))?,
            Err(error) => {
                has_failed = true;
                warn(format!("Failed to defragment etcd member[{endpoint}] ({error})"));
            }
        }
    }
    match has_failed {
        false => Ok(()),
        true => Err(CtlError::general("")),
    }
}

pub(super) async fn move_leader(session: &Session, args: &[String]) -> Result<(), CtlError> {
    let [target] = args else {
        return Err(CtlError::bad_args("move-leader command needs 1 argument"));
    };
    let to = text::parse_uint(target, 16).map_err(CtlError::bad_args)?;
    for (_, client) in each(session, false).await? {
        let status = client.status().await?;
        let from = status.header.map_or(0, |header| header.member_id);
        if from != status.leader {
            continue;
        }
        // The transfer polls for the new leader; give it as long as any command.
        let client = client.with_timeout(Some(session.global.command_timeout.max(ONE_SECOND)));
        let response = client.move_leader(to).await?;
        return session.show(&Answer::MoveLeader { from, to, response });
    }
    let endpoints = session.global.endpoints.join(" ");
    Err(CtlError::bad_args(format!("no leader endpoint given at [{endpoints}]")))
}

const ONE_SECOND: Duration = Duration::from_secs(1);
