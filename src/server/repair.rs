//! A member whose backend is of no use gets the state from another member, before it takes part:
//! one that is damaged from any, one that a majority contradicts from one of those.
//!
//! The backend is a copy of what the log once said, so another member's copy is as good; the log
//! itself, with this member's votes and what it acknowledged, is not replaced by anything: a
//! damaged log is refused. The state comes as a snapshot at some index and fits the log in one of
//! two ways. If the log has that very entry, it replays what is behind it. If not (the log ends
//! earlier, or ends in entries of a term that lost), the log begins anew behind the snapshot, as
//! if raft had sent it. The unusable database is kept beside the new one, for whoever wants to
//! know what happened to it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reseed_proto::peer::ClusterMembers;
use reseed_rt::{clock, disk};
use reseed_storage::backend::{AppliedAt, replace_unusable};
use reseed_storage::wal::{self, Mark, Recovered, Wal};

use crate::boot::BootError;
use crate::config::Config;
use crate::membership::join;
use crate::peer::{Receiving, Route};

/// How long a member may take to say who is in the cluster.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often all members are asked before this one gives up.
const ROUNDS: usize = 10;
/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(1);

/// Who is asked.
pub(crate) enum Source {
    /// Whom the flags name, and whom those know.
    Flags,
    /// These.
    Members(ClusterMembers),
}

/// Fetches the state of another member, not older than the log begins, and puts it in the place of
/// the database `db`, which cannot be used because of `why`. Until it has come, that stays.
///
/// # Errors
/// No member has it to give; the disk fails.
pub(crate) async fn refetch(
    config: &Config,
    source: &Source,
    db: &Path,
    (wal, recovered): (&mut Wal, &mut Recovered),
    why: &str,
) -> Result<(), BootError> {
    tracing::error!(reason = why, "the backend cannot be used: asking the other members for it");
    for _round in 0..ROUNDS {
        let clusters = match source {
            Source::Flags => join::ask_all(config, ANSWER_MAX).await,
            Source::Members(cluster) => vec![cluster.clone()],
        };
        for cluster in clusters {
            if let Some(at) = ask_members(config, db, recovered, &cluster).await {
                begin_log_at(wal, recovered, at)?;
                replace_unusable(&disk::disk(), db)?;
                tracing::warn!(index = at.index, "the backend is another member's now");
                return Ok(());
            }
        }
        clock::sleep(PAUSE).await;
    }
    Err(BootError::Unrepaired(why.to_owned()))
}

/// The state of one of `cluster`'s members, imported beside `db`.
async fn ask_members(
    config: &Config,
    db: &Path,
    recovered: &Recovered,
    cluster: &ClusterMembers,
) -> Option<AppliedAt> {
    let me = recovered.metadata;
    if cluster.cluster_id != me.cluster_id {
        tracing::warn!("a peer is of another cluster");
        return None;
    }
    let receiving = Receiving::new(db.to_owned());
    let others = cluster.members.iter().filter(|member| member.id != me.member_id);
    let ways = others.flat_map(|one| one.peer_urls.iter().map(move |url| (one.id, url)));
    for (to, url) in ways.collect::<Vec<_>>() {
        let route = Route {
            cluster: me.cluster_id,
            from: me.member_id,
            to,
            own_urls: config.initial_advertise_peer_urls.clone(),
            urls: vec![url.clone()],
            silence_max: ANSWER_MAX,
        };
        match receiving.fetch(&route, recovered.mark.index).await {
            Ok(at) => return Some(at),
            Err(status) => {
                let from = format!("{to:x}");
                tracing::warn!(from, reason = status.message(), "a member cannot help");
            }
        }
    }
    None
}

/// Makes the log one that continues the state at `at`.
fn begin_log_at(
    wal: &mut Wal,
    recovered: &mut Recovered,
    at: AppliedAt,
) -> Result<(), wal::WalError> {
    let AppliedAt { index, term } = at;
    let mark = &recovered.mark;
    let has = (mark.index, mark.term) == (index, term)
        || recovered.entries.iter().any(|entry| (entry.index, entry.term) == (index, term));
    if has {
        return Ok(());
    }
    let found = recovered.hard_state;
    // A vote is of its term.
    let vote = if found.term < term { 0 } else { found.vote };
    let hard_state = wal::HardState { term: found.term.max(term), vote, commit: index };
    let mark = Mark { index, term, conf_state: Bytes::new() };
    wal.append(&[], Some(hard_state))?;
    wal.mark(mark.clone())?;
    wal.sync()?;
    wal.release(index)?;
    (recovered.hard_state, recovered.mark) = (hard_state, mark);
    recovered.entries.clear();
    Ok(())
}
