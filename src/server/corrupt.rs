//! Members that hold different things, though they applied the same log: found, named, made known.
//!
//! Members are compared by the hash of their history up to one revision ([`crate::hash`]): what
//! they hold there never changes again, so members at different indices can be compared, unless
//! they have compacted to different revisions. The leader compares all of them now and then
//! (`--corrupt-check-time`) and raises the alarm CORRUPT for those that a majority contradicts, or
//! for member 0, as etcd does, where no majority agrees. While that alarm is up nothing changes
//! the data. A member can be told to compare itself with the others before it serves
//! (`InitialCorruptCheck`).
//!
//! A hash reads everything there is, so the interval is the operator's choice, off by default.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use reseed_core::error::Error;
use reseed_proto::etcdserverpb::{self as pb, AlarmType, alarm_request::AlarmAction};
use reseed_proto::log::log_entry::Request;
use reseed_rt::clock::interval;
use reseed_rt::task::{self, Stop};

use crate::hash;
use crate::peer::{Peers, ask};
use crate::propose::Proposer;
use crate::state::State;

/// Whose hash at the revision asked for, at the compact revision of who asks.
type Hashes = BTreeMap<u64, u32>;

/// What hashes of the same history say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// All are equal.
    Equal,
    /// A majority of all members agrees; these differ from it.
    Differ(Vec<u64>),
    /// They differ, and no majority of all members agrees.
    Unclear,
}

/// Judges the hashes of some of `members` members.
fn judge(members: usize, hashes: &Hashes) -> Verdict {
    let mut count: BTreeMap<u32, usize> = BTreeMap::new();
    for hash in hashes.values() {
        *count.entry(*hash).or_default() += 1;
    }
    if count.len() < 2 {
        return Verdict::Equal;
    }
    match count.into_iter().find(|(_, count)| *count > members / 2) {
        Some((right, _)) => {
            let differ = hashes.iter().filter(|(_, hash)| **hash != right);
            Verdict::Differ(differ.map(|(id, _)| *id).collect())
        }
        None => Verdict::Unclear,
    }
}

/// Compares this member with the others.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    pub(crate) state: Arc<State>,
    pub(crate) proposer: Proposer,
    pub(crate) peers: Peers,
}

impl Monitor {
    /// Compares all members every `--corrupt-check-time`, while this one leads, until `stop`.
    pub(crate) async fn run(self, stop: Stop) {
        let Some(period) = self.state.config.corrupt_check_time else { return };
        let rounds = async {
            let mut ticks = interval(period);
            loop {
                ticks.tick().await;
                if self.state.progress.leader() == self.state.member_id
                    && let Err(error) = self.round().await
                {
                    tracing::warn!(%error, "could not compare the members");
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = rounds => {}
        }
    }

    /// One comparison, and the alarms that follow from it.
    async fn round(&self) -> Result<(), Error> {
        let corrupt = match self.compare().await? {
            Verdict::Equal => return Ok(()),
            Verdict::Differ(members) => members,
            Verdict::Unclear => vec![0],
        };
        for member_id in corrupt {
            if self.is_known(member_id) {
                continue;
            }
            let member = format!("{member_id:x}");
            tracing::error!(member, "the members' data differ: raising the CORRUPT alarm");
            let alarm = pb::AlarmRequest {
                action: AlarmAction::Activate as i32,
                member_id,
                alarm: AlarmType::Corrupt as i32,
            };
            self.proposer.propose(Request::Alarm(alarm)).await?;
        }
        Ok(())
    }

    fn is_known(&self, member_id: u64) -> bool {
        let alarms = self.state.machine.read().alarms.list();
        alarms.contains(&pb::AlarmMember { member_id, alarm: AlarmType::Corrupt as i32 })
    }

    /// Before this member serves: does what it holds differ from what the others hold? Members
    /// that cannot be asked, or have not come as far, say nothing.
    ///
    /// # Errors
    /// It does differ, or who is right cannot be told; the backend cannot be read.
    pub(crate) async fn check_before_serving(&self) -> Result<(), Error> {
        let me = self.state.member_id;
        match self.compare().await? {
            Verdict::Equal => {
                tracing::info!("what this member holds is what the others hold");
                Ok(())
            }
            Verdict::Differ(members) if !members.contains(&me) => {
                let others = format!("{members:x?}");
                tracing::error!(others, "other members' data differ from the majority's");
                Ok(())
            }
            Verdict::Differ(_) | Verdict::Unclear => Err(Error::Corrupt),
        }
    }

    /// Hashes what all members that answer hold of this member's history.
    async fn compare(&self) -> Result<Verdict, Error> {
        let state = Arc::clone(&self.state);
        let mine = task::blocking(move || hash::by_revision(&state, 0)).await?;
        let me = self.state.member_id;
        let ids: Vec<u64> = self.state.machine.read().members.iter().map(|m| m.id).collect();
        let others = ids.iter().filter(|id| **id != me).filter_map(|id| self.peers.route(*id));
        let asked = others.map(async |route| {
            // A member that is down or behind is compared another time.
            match ask::hash_kv(&route, mine.hash_revision).await {
                Ok(answer) => Some((route.to, answer)),
                Err(status) => {
                    let (member, reason) = (format!("{:x}", route.to), status.message());
                    tracing::debug!(member, reason, "a member cannot be compared");
                    None
                }
            }
        });
        let answers = join_all(asked).await.into_iter().flatten();
        let comparable = answers.filter(|(_, a)| a.compact_revision == mine.compact_revision);
        let mut hashes: Hashes = comparable.map(|(id, answer)| (id, answer.hash)).collect();
        hashes.insert(me, mine.hash);
        tracing::debug!(revision = mine.hash_revision, compared = hashes.len(), "compared");
        Ok(judge(ids.len(), &hashes))
    }
}

#[cfg(test)]
mod tests;
