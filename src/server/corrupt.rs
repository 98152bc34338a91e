//! Members that hold different things, though they applied the same log: found, named, made known.
//!
//! Members are compared by the hash of their history up to one revision ([`crate::hash`]): what
//! they hold there never changes again, so members at different indices can be compared, unless
//! they have compacted to different revisions. The leader compares all of them now and then
//! (`--corrupt-check-time`) and raises the alarm CORRUPT for those that a majority contradicts, or
//! for member 0, as etcd does, where no majority agrees. While that alarm is up nothing changes
//! the data. A member can be told to compare itself with the others before it serves
//! (`InitialCorruptCheck`), and does so whenever the alarm names it, also while it runs; if it is
//! in the wrong, it begins anew with the others' data ([`crate::repair`]).
//!
//! A hash reads everything there is, so the interval is the operator's choice, off by default.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join, join_all};
use reseed_core::error::Error;
use reseed_core::id::MemberId;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb::{self as pb, AlarmType, alarm_request::AlarmAction};
use reseed_proto::log::log_entry::Request;
use reseed_rt::clock::{self, Instant, interval};
use reseed_rt::task::{self, Stop};

use crate::boot::BootError;
use crate::hash;
use crate::peer::{Peers, ask};
use crate::propose::Proposer;
use crate::state::State;

/// Between two looks whether the alarm names this member.
const LOOK: Duration = Duration::from_secs(1);

/// A member that the alarm names compares itself for at most one part in so many of its time.
const COMPARE_SHARE: u32 = 10;

/// Whose hash at the revision asked for, at the compact revision of who asks.
type Hashes = BTreeMap<u64, u32>;

/// What hashes of the same history say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// None differs, of so many.
    Equal(usize),
    /// A majority of all members agrees, the `right`; the `wrong` differ from it.
    Differ { wrong: Vec<u64>, right: Vec<u64> },
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
        return Verdict::Equal(hashes.len());
    }
    match count.into_iter().find(|(_, count)| *count > members / 2) {
        Some((right, _)) => {
            let ids = |is_right| {
                let these = hashes.iter().filter(move |(_, hash)| (**hash == right) == is_right);
                these.map(|(id, _)| *id).collect()
            };
            Verdict::Differ { wrong: ids(false), right: ids(true) }
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
    /// Until `stop`: answers the alarm that names this member; and compares all members every
    /// `--corrupt-check-time`, while this one leads.
    pub(crate) async fn run(self, stop: Stop) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            ((), ()) = join(self.rounds(), self.answer_alarm()) => {}
        }
    }

    async fn rounds(&self) {
        let Some(period) = self.state.config.corrupt_check_time else { return };
        self.state.progress.ready().await;
        let mut ticks = interval(period);
        loop {
            ticks.tick().await;
            if self.state.progress.leader() == self.state.member_id
                && let Err(error) = self.round().await
            {
                tracing::warn!(%error, "could not compare the members");
            }
        }
    }

    /// An alarm that names this member has its answer when a majority holds what it holds, or when
    /// it begins anew because a majority holds something else. What was raised while it ran and is
    /// not true is its raiser's to lift.
    async fn answer_alarm(&self) {
        self.state.progress.ready().await;
        let (me, mut is_old) = (self.state.member_id, true);
        loop {
            let began = Instant::now();
            if self.is_known(me) {
                let members = self.state.machine.read().members.iter().len();
                match self.compare().await {
                    Ok(Verdict::Differ { wrong, .. }) if wrong.contains(&me) => {
                        self.state.halt.begin_anew();
                        return;
                    }
                    Ok(Verdict::Equal(agree)) if is_old && agree > members / 2 => self.lift().await,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "could not compare the members"),
                }
            } else {
                is_old = false;
            }
            clock::sleep(LOOK.max(began.elapsed() * COMPARE_SHARE)).await;
        }
    }

    async fn lift(&self) {
        tracing::warn!("this member holds what the others hold: lifting its alarm");
        let lifted = self.set_alarm(self.state.member_id, AlarmAction::Deactivate).await;
        if let Err(error) = lifted {
            tracing::warn!(%error, "could not lift the alarm yet");
        }
    }

    async fn set_alarm(&self, member_id: u64, action: AlarmAction) -> Result<(), Error> {
        let alarm = AlarmType::Corrupt as i32;
        let request = pb::AlarmRequest { action: action as i32, member_id, alarm };
        self.proposer.propose(Request::Alarm(request)).await.map(drop)
    }

    /// One comparison, and the alarms that follow from it.
    async fn round(&self) -> Result<(), Error> {
        let corrupt = match self.compare().await? {
            Verdict::Equal(_) => return Ok(()),
            Verdict::Differ { wrong, .. } => wrong,
            Verdict::Unclear => vec![0],
        };
        for member_id in corrupt {
            if self.is_known(member_id) {
                continue;
            }
            let member = format!("{member_id:x}");
            tracing::error!(member, "the members' data differ: raising the CORRUPT alarm");
            self.set_alarm(member_id, AlarmAction::Activate).await?;
        }
        Ok(())
    }

    fn is_known(&self, member_id: u64) -> bool {
        let alarms = self.state.machine.read().alarms.list();
        alarms.contains(&pb::AlarmMember { member_id, alarm: AlarmType::Corrupt as i32 })
    }

    /// Before this member serves: does what it holds differ from what the others hold? Asked if it
    /// is told to, or if the alarm names it. Members that cannot be asked, or have not come as
    /// far, say nothing.
    ///
    /// # Errors
    /// It does differ, or who is right cannot be told; the backend cannot be read.
    pub(crate) async fn check_before_serving(&self) -> Result<(), BootError> {
        let me = self.state.member_id;
        if !self.state.config.initial_corrupt_check && !self.is_known(me) {
            return Ok(());
        }
        match self.compare().await? {
            Verdict::Equal(_) => {
                tracing::info!("what this member holds is what the others hold");
                Ok(())
            }
            Verdict::Differ { wrong, right } if wrong.contains(&me) => {
                let machine = self.state.machine.read();
                let right = right.iter().filter_map(|id| machine.members.get(MemberId(*id)));
                Err(BootError::Outvoted(right.cloned().collect()))
            }
            Verdict::Differ { wrong, .. } => {
                let others = format!("{wrong:x?}");
                tracing::error!(others, "other members' data differ from the majority's");
                Ok(())
            }
            Verdict::Unclear => Err(BootError::Inconsistent),
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
        let comparable = answers.filter(|(_, a)| {
            let equal = a.compact_revision == mine.compact_revision;
            equal || planted::on(Bug::HashesOfAllCompared)
        });
        let mut hashes: Hashes = comparable.map(|(id, answer)| (id, answer.hash)).collect();
        hashes.insert(me, mine.hash);
        tracing::debug!(revision = mine.hash_revision, compared = hashes.len(), "compared");
        Ok(judge(ids.len(), &hashes))
    }
}

#[cfg(test)]
mod tests;
