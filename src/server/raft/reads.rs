//! Linearizable reads share ReadIndex rounds.
//!
//! All reads that arrive while one round is under way wait for the next: a round that began before
//! a read arrived may prove an index that is too old for it. A round costs the same for one read
//! as for hundreds, so those whom the last one served are waited for a moment: clients that have
//! their answer soon ask again. The machine is pure; the driver feeds it and raft.
//!
//! ```text
//!   arriving ──► waiting ──(no round under way, as many as last time)──► round ──► index
//! ```

use std::time::Duration;

use reseed_planted::{self as planted, Bug};
use reseed_rt::clock::Instant;
use tokio::sync::oneshot;

/// So long after a round the next one waits for as many reads as that one served. One client that
/// reads alone never waits; with 256 of them on three members a read costs a tenth less CPU.
const GATHER: Duration = Duration::from_millis(1);

/// Somebody who waits for an index that makes the read linearizable.
pub(crate) type ReadWaiter = oneshot::Sender<u64>;

/// The round under way and who waits for the next one.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Begins every context: no other member, and no earlier life of this one, asks with it. The
    /// leader keeps the questions of all members in one table.
    asker: [u8; 16],
    /// Of the last question.
    asked: u64,
    /// Of the first question of the round under way: any answer since then is good.
    began: u64,
    in_round: Vec<ReadWaiter>,
    waiting: Vec<ReadWaiter>,
    ticks_in_round: usize,
    /// How many the last round served, and when it no longer matters.
    served: usize,
    gather_until: Option<Instant>,
}

impl Reads {
    /// Rounds of member `id` in the life that drew `nonce`.
    pub(crate) fn of(id: u64, nonce: u64) -> Self {
        let mut asker = [0; 16];
        asker[..8].copy_from_slice(&id.to_be_bytes());
        asker[8..].copy_from_slice(&nonce.to_be_bytes());
        Self { asker, ..Self::default() }
    }

    /// Adds a read to the next round.
    pub(crate) fn arrive(&mut self, waiter: ReadWaiter) {
        if planted::on(Bug::RoundJoinedLate) && !self.in_round.is_empty() {
            return self.in_round.push(waiter);
        }
        self.waiting.push(waiter);
    }

    /// When a round may begin; `None` if there is nobody to serve, or one is under way.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        if !self.in_round.is_empty() || self.waiting.is_empty() {
            return None;
        }
        let gathers = self.waiting.len() < self.served;
        Some(self.gather_until.filter(|_| gathers).map_or(now, |until| until.max(now)))
    }

    /// Begins a round if one is due; returns the context to give to raft.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.due(now)? > now {
            return None;
        }
        self.in_round = std::mem::take(&mut self.waiting);
        self.ticks_in_round = 0;
        let context = self.next_context();
        self.began = self.asked;
        Some(context)
    }

    /// A tick has passed; returns a context if the round under way should be asked for again.
    ///
    /// A round asked for again gets a context of its own. An answer to any question of it will do,
    /// or a leader further away than the questions are apart would never be heard; the answer to
    /// a question of an earlier round will not: it may be too old for those who came since, however
    /// late a paused leader gives it (etcd #20418).
    pub(crate) fn tick(&mut self, ticks_to_retry: usize) -> Option<Vec<u8>> {
        if self.in_round.is_empty() {
            return None;
        }
        self.in_round.retain(|waiter| !waiter.is_closed());
        self.ticks_in_round += 1;
        if self.in_round.is_empty() || self.ticks_in_round < ticks_to_retry {
            return None;
        }
        self.ticks_in_round = 0;
        Some(self.next_context())
    }

    /// Raft answered the round with `context`: everybody in it may read at `index`.
    pub(crate) fn answer(&mut self, context: &[u8], index: u64, now: Instant) {
        let is_of_round =
            (self.began..=self.asked).any(|question| context == self.context(question));
        if !is_of_round && !planted::on(Bug::ReadTakesAnyAnswer) {
            return;
        }
        if !self.in_round.is_empty() {
            self.served = self.in_round.len();
            self.gather_until = Some(now + GATHER);
        }
        for waiter in self.in_round.drain(..) {
            // Whoever asked may have given up.
            let _gone: Result<(), u64> = waiter.send(index);
        }
    }

    fn next_context(&mut self) -> Vec<u8> {
        self.asked += 1;
        self.context(self.asked)
    }

    fn context(&self, question: u64) -> Vec<u8> {
        [&self.asker[..], &question.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_another_members_question_is_nobodys() {
        let (mut one, mut other) = (Reads::of(1, 7), Reads::of(2, 7));
        let (waiter, mut got) = oneshot::channel();
        one.arrive(waiter);
        let asked = one.begin(Instant::now()).expect("somebody waits");
        let (waiter, _) = oneshot::channel();
        other.arrive(waiter);
        one.answer(&other.begin(Instant::now()).expect("somebody waits"), 9, Instant::now());
        assert!(got.try_recv().is_err());
        one.answer(&asked, 8, Instant::now());
        assert_eq!(got.try_recv(), Ok(8));
    }

    #[test]
    fn a_read_that_arrives_during_a_round_waits_for_the_next() {
        let mut reads = Reads::default();
        let (first, mut got_first) = oneshot::channel();
        let (second, mut got_second) = oneshot::channel();
        reads.arrive(first);
        let round = reads.begin(Instant::now()).expect("somebody waits");
        reads.arrive(second);
        assert_eq!(reads.begin(Instant::now()), None);
        reads.answer(&round, 7, Instant::now());
        assert_eq!(got_first.try_recv(), Ok(7));
        assert!(got_second.try_recv().is_err());
        let next = reads.begin(Instant::now()).expect("the second waits");
        reads.answer(&round, 8, Instant::now());
        assert!(got_second.try_recv().is_err(), "a late answer to an old round is ignored");
        reads.answer(&next, 9, Instant::now());
        assert_eq!(got_second.try_recv(), Ok(9));
    }

    #[test]
    fn a_round_without_an_answer_is_asked_for_again_while_somebody_waits() {
        let mut reads = Reads::default();
        let (waiter, got) = oneshot::channel();
        reads.arrive(waiter);
        let first = reads.begin(Instant::now()).expect("somebody waits");
        assert_eq!(reads.tick(2), None);
        let again = reads.tick(2).expect("two ticks without an answer");
        assert_ne!(first, again);
        drop(got);
        assert_eq!((reads.tick(2), reads.tick(2)), (None, None));
    }

    #[test]
    fn those_whom_the_last_round_served_are_waited_for_but_not_for_long() {
        let mut reads = Reads::default();
        let arrive = |reads: &mut Reads| reads.arrive(oneshot::channel().0);
        let now = Instant::now();
        (0..3).for_each(|_| arrive(&mut reads));
        let round = reads.begin(now).expect("the first round waits for nobody");
        reads.answer(&round, 7, now);
        arrive(&mut reads);
        assert_eq!((reads.begin(now), reads.due(now)), (None, Some(now + GATHER)));
        (0..2).for_each(|_| arrive(&mut reads));
        let round = reads.begin(now).expect("all three are back");
        reads.answer(&round, 8, now);
        arrive(&mut reads);
        let round = reads.begin(now + GATHER).expect("one of them, a while later");
        reads.answer(&round, 9, now + GATHER);
        arrive(&mut reads);
        assert!(reads.begin(now + GATHER).is_some(), "who is alone waits for nobody");
    }

    #[test]
    fn a_late_answer_serves_the_round_it_was_asked_for_and_no_later_one() {
        let (mut reads, now) = (Reads::default(), Instant::now());
        let (waiter, mut got) = oneshot::channel();
        reads.arrive(waiter);
        let first = reads.begin(now).expect("somebody waits");
        let again = reads.tick(1).expect("a tick without an answer");
        reads.answer(&first, 7, now);
        assert_eq!(got.try_recv(), Ok(7));
        let (waiter, mut got) = oneshot::channel();
        reads.arrive(waiter);
        let next = reads.begin(now).expect("somebody waits");
        reads.answer(&again, 8, now);
        assert!(got.try_recv().is_err());
        reads.answer(&next, 9, now);
        assert_eq!(got.try_recv(), Ok(9));
    }
}
