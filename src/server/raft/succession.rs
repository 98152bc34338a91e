//! A leader whose disk stands still hands over (etcd's leads on: etcd #13527).
//!
//! The driver waits for its disk and neither hears nor sends anything meanwhile, so its followers
//! would elect another leader by themselves, one to two election timeouts later. This watch runs
//! beside the driver and is sooner and surer: it tells the voter whose log was furthest to campaign
//! at once (`TimeoutNow`, Raft thesis §3.10), then the next one if that was not enough. Any member
//! may campaign at any time, so nothing depends on the watch being right.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft::eraftpb::{Message, MessageType};
use reseed_planted::{self as planted, Bug};
use reseed_rt::clock::{self, Instant};
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::Stop;

use super::Outbound;
use crate::progress::Progress;

/// Looks per election timeout. A driver that has been still for one look less than the timeout is
/// given up: about when the first follower might campaign anyhow.
const LOOKS: u32 = 4;
/// Marks the watch's calls: raft sends the same when somebody asked for another leader.
const CALL: &[u8] = b"stall";

/// Whether a member that stood still itself, that long ago, should follow this message. Members
/// that share a disk stand still together: then none of them would lead better.
pub(crate) fn heeds(
    message: &Message,
    woke: impl FnOnce() -> Option<Duration>,
    election_timeout: Duration,
) -> bool {
    let is_call = message.msg_type == MessageType::MsgTimeoutNow as i32 && message.context == CALL;
    !is_call || woke().is_none_or(|ago| ago > election_timeout)
}

/// Watches the driver of one member.
pub(crate) struct Succession<O> {
    /// This member.
    pub(crate) id: u64,
    pub(crate) progress: Arc<Progress>,
    pub(crate) peers: O,
    pub(crate) election_timeout: Duration,
}

impl<O: Outbound> Succession<O> {
    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: Stop) {
        let look = self.election_timeout / LOOKS;
        let mut watch = Watch { look, looked: Instant::now(), since: Instant::now(), asked: 0 };
        let mut looks = clock::interval(look);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            let leads = self.progress.leader() == self.id && !self.progress.leads_alone();
            let still = if leads { self.progress.since_tick() } else { Duration::ZERO };
            if let Some(attempt) = watch.look(still, Instant::now()) {
                self.tell(attempt);
            }
        }
    }

    /// Tells a successor to campaign.
    fn tell(&self, attempt: usize) {
        let successors = self.progress.successors();
        let unwatched = || planted::on(Bug::StallUnwatched) || planted::on(Bug::StalledLeaderHolds);
        if successors.is_empty() || unwatched() {
            return;
        }
        let to = successors[attempt % successors.len()];
        tracing::warn!(
            to = format_args!("{to:x}"),
            "the disk stands still: handing leadership over"
        );
        probe::hit(Probe::RaftSucceeded);
        let (msg_type, from) = (MessageType::MsgTimeoutNow as i32, self.id);
        let (term, context) = (self.progress.term(), Bytes::from_static(CALL));
        let call = Message { msg_type, to, from, term, context, ..Message::default() };
        // A queue without room is tried again with the next attempt.
        let _lost = self.peers.send(vec![call]);
    }
}

/// When to tell whom, from how long the driver has been still.
struct Watch {
    look: Duration,
    /// When it last looked, and since when it has looked in time: a process that stood still as a
    /// whole says nothing of its disk.
    looked: Instant,
    since: Instant,
    asked: usize,
}

impl Watch {
    /// Which attempt to make now, if one is due.
    fn look(&mut self, still: Duration, now: Instant) -> Option<usize> {
        if now - self.looked > self.look * 2 {
            self.since = now;
        }
        self.looked = now;
        let still = still.min(now - self.since);
        if still < self.look {
            self.asked = 0;
        }
        // The first at three looks, another at every second one.
        let due = self.look * (LOOKS - 1) + self.look * 2 * u32::try_from(self.asked).ok()?;
        if still < due {
            return None;
        }
        self.asked += 1;
        Some(self.asked - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(250);

    /// Attempts at looks that find the driver still for so many looks.
    fn attempts(still: &[u32]) -> Vec<Option<usize>> {
        let began = Instant::now();
        let mut watch = Watch { look: LOOK, looked: began, since: began, asked: 0 };
        let looks = (10..).zip(still);
        // Ten looks in time come first.
        (1..10).for_each(|n| assert_eq!(watch.look(Duration::ZERO, began + LOOK * n), None));
        looks.map(|(n, still)| watch.look(LOOK * *still, began + LOOK * n)).collect()
    }

    #[test]
    fn who_stood_still_too_is_no_successor_for_a_while() {
        let (ago, timeout) = (Duration::from_millis, Duration::from_secs(1));
        let msg_type = MessageType::MsgTimeoutNow as i32;
        let asked = Message { msg_type, ..Message::default() };
        let call = Message { context: Bytes::from_static(CALL), ..asked.clone() };
        assert!(heeds(&call, || None, timeout) && heeds(&call, || Some(ago(1001)), timeout));
        assert!(!heeds(&call, || Some(ago(1000)), timeout));
        assert!(heeds(&asked, || Some(ago(0)), timeout), "an operator knows better");
    }

    #[test]
    fn one_after_another_is_asked_while_the_driver_stands_still() {
        let told = attempts(&[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]);
        let none = [None; 3];
        let first = [Some(0), None, Some(1), None, Some(2)];
        assert_eq!(told, [&none[..], &first, &none, &[Some(0)]].concat());
    }

    #[test]
    fn a_process_that_stood_still_as_a_whole_keeps_its_leadership() {
        let began = Instant::now();
        let mut watch = Watch { look: LOOK, looked: began, since: began, asked: 0 };
        assert_eq!(watch.look(LOOK * 9, began + LOOK * 9), None);
        assert_eq!(watch.look(LOOK * 10, began + LOOK * 10), None);
        assert_eq!(watch.look(LOOK * 12, began + LOOK * 12), Some(0), "but the disk does, too");
    }
}
