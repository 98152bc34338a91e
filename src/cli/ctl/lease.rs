//! lease grant, revoke, timetolive, list, keep-alive.

use reseed_proto::etcdserverpb::LeaseTimeToLiveRequest;

use super::{CtlError, Session, args::LeaseVerb, lease_id, print::Answer, text, write_out};

pub(super) async fn run(session: &Session, verb: LeaseVerb) -> Result<(), CtlError> {
    match verb {
        LeaseVerb::Grant { args } => grant(session, &args).await,
        LeaseVerb::Revoke { args } => revoke(session, &args).await,
        LeaseVerb::Timetolive { args, keys } => time_to_live(session, &args, keys).await,
        LeaseVerb::List => {
            let response = session.client.leases().await?;
            session.show(&Answer::Leases(response))
        }
        LeaseVerb::KeepAlive { args, once } => keep_alive(session, &args, once).await,
    }
}

async fn grant(session: &Session, args: &[String]) -> Result<(), CtlError> {
    let [ttl] = args else {
        return Err(CtlError::bad_args("lease grant command needs TTL argument"));
    };
    let ttl =
        text::parse_int(ttl, 10).map_err(|why| CtlError::bad_args(format!("bad TTL ({why})")))?;
    let failed = |error| CtlError::general(format!("failed to grant lease ({error})"));
    let response = session.client.lease_grant(ttl, 0).await.map_err(failed)?;
    session.show(&Answer::Grant(response))
}

async fn revoke(session: &Session, args: &[String]) -> Result<(), CtlError> {
    let id = one_id(args, "lease revoke command needs 1 argument")?;
    let failed = |error| CtlError::general(format!("failed to revoke lease ({error})"));
    let response = session.client.lease_revoke(id).await.map_err(failed)?;
    session.show(&Answer::Revoke(id, response))
}

async fn time_to_live(session: &Session, args: &[String], keys: bool) -> Result<(), CtlError> {
    let id = one_id(args, "lease timetolive command needs lease ID as argument")?;
    let request = LeaseTimeToLiveRequest { id, keys };
    let failed = |error: reseed_client::Error| CtlError::bad_connection(error.to_string());
    let response = session.client.lease_time_to_live(request).await.map_err(failed)?;
    session.show(&Answer::TimeToLive { response, with_keys: keys })
}

async fn keep_alive(session: &Session, args: &[String], is_once: bool) -> Result<(), CtlError> {
    let id = one_id(args, "lease keep-alive command needs lease ID as argument")?;
    let failed = |error: reseed_client::Error| CtlError::bad_connection(error.to_string());
    if is_once {
        let response = session.client.lease_keep_alive_once(id).await.map_err(failed)?;
        // etcd's client makes an error of what is an answer on the wire.
        if response.ttl <= 0 {
            return Err(CtlError::bad_connection("etcdserver: requested lease not found"));
        }
        return session.show(&Answer::KeepAlive(response));
    }
    let mut shown = Ok(());
    let show = |response: &_| {
        if shown.is_ok() {
            shown = session.show(&Answer::KeepAlive(*response));
        }
    };
    session.client.lease_keep_alive(id).run(show).await.map_err(failed)?;
    shown?;
    if session.is_simple() {
        write_out(format!("lease {id:016x} expired or revoked.\n"))?;
    }
    Ok(())
}

fn one_id(args: &[String], needs: &str) -> Result<i64, CtlError> {
    match args {
        [id] => lease_id(id, "lease ID arg"),
        _ => Err(CtlError::bad_args(needs)),
    }
}
