//! `member`: who is in the cluster, and changing it.

use reseed_proto::etcdserverpb::{MemberAddRequest, MemberAddResponse, MemberListRequest};

use super::args::MemberVerb;
use super::print::{Answer, Changed};
use super::{CtlError, Session, kv, text, write_out};

pub(super) async fn run(session: &Session, verb: MemberVerb) -> Result<(), CtlError> {
    match verb {
        MemberVerb::List { consistency, .. } => list(session, &consistency).await,
        MemberVerb::Add { args, peer_urls, learner } => {
            add(session, &args, &peer_urls, learner).await
        }
        MemberVerb::Remove { args } => {
            let id = id(&args)?;
            let r = session.client.member_remove(id).await?;
            changed(session, "removed from", id, (r.header, r.members))
        }
        MemberVerb::Update { args, peer_urls } => {
            let id = id(&args)?;
            let urls = given(&peer_urls)?;
            let r = session.client.member_update(id, urls).await?;
            changed(session, "updated in", id, (r.header, r.members))
        }
        MemberVerb::Promote { args } => {
            let id = id(&args)?;
            let r = session.client.member_promote(id).await?;
            changed(session, "promoted in", id, (r.header, r.members))
        }
    }
}

async fn list(session: &Session, consistency: &str) -> Result<(), CtlError> {
    let linearizable = kv::is_linearizable(consistency)?;
    let response = session.client.member_list(MemberListRequest { linearizable }).await?;
    session.show(&Answer::Members(response))
}

async fn add(
    session: &Session,
    args: &[String],
    peer_urls: &str,
    is_learner: bool,
) -> Result<(), CtlError> {
    let name = match args {
        [] => return Err(CtlError::bad_args("member name not provided")),
        [name] => name,
        _ => return Err(CtlError::bad_args("too many arguments")),
    };
    let request = MemberAddRequest { peer_ur_ls: given(peer_urls)?, is_learner };
    let r = session.client.member_add(request).await?;
    let environment = environment(&r, name, peer_urls);
    let what = if is_learner { "added as learner to" } else { "added to" };
    let id = r.member.as_ref().map_or(0, |member| member.id);
    let answer = Answer::Changed(Changed {
        what,
        id,
        header: r.header,
        added: r.member,
        members: r.members,
    });
    session.show(&answer)?;
    if session.is_simple() { write_out(environment) } else { Ok(()) }
}

/// What the new member is to be started with.
fn environment(added: &MemberAddResponse, name: &str, peer_urls: &str) -> String {
    let id = added.member.as_ref().map_or(0, |member| member.id);
    let mut cluster = Vec::new();
    for member in &added.members {
        let name = if member.id == id { name } else { &member.name };
        cluster.extend(member.peer_ur_ls.iter().map(|url| format!("{name}={url}")));
    }
    let cluster = cluster.join(",");
    format!(
        "\nETCD_NAME=\"{name}\"\nETCD_INITIAL_CLUSTER=\"{cluster}\"\n\
         ETCD_INITIAL_ADVERTISE_PEER_URLS=\"{peer_urls}\"\n\
         ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n"
    )
}

fn changed(
    session: &Session,
    what: &'static str,
    id: u64,
    (header, members): (
        Option<reseed_proto::etcdserverpb::ResponseHeader>,
        Vec<reseed_proto::etcdserverpb::Member>,
    ),
) -> Result<(), CtlError> {
    session.show(&Answer::Changed(Changed { what, id, header, added: None, members }))
}

/// The one argument of a command about one member.
fn id(args: &[String]) -> Result<u64, CtlError> {
    let [id] = args else { return Err(CtlError::bad_args("member ID is not provided")) };
    text::parse_uint(id, 16).map_err(|why| {
        CtlError::bad_args(format!("bad member ID arg ({why}), expecting ID in Hex"))
    })
}

fn given(peer_urls: &str) -> Result<Vec<String>, CtlError> {
    if peer_urls.is_empty() {
        return Err(CtlError::bad_args("member peer urls not provided"));
    }
    Ok(peer_urls.split(',').map(str::to_owned).collect())
}
