//! Linearizable reads share ReadIndex rounds.
//!
//! All reads that arrive while one round is under way wait for the next: a round that began before
//! a read arrived may prove an index that is too old for it. The machine is pure; the driver feeds
//! it and raft.
//!
//! ```text
//!   arriving ──► waiting ──(no round under way)──► round ──(raft answers)──► index
//! ```

use reseed_planted::{self as planted, Bug};
use tokio::sync::oneshot;

/// Somebody who waits for an index that makes the read linearizable.
pub(crate) type ReadWaiter = oneshot::Sender<u64>;

/// The round under way and who waits for the next one.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Begins every context: no other member, and no earlier life of this one, asks with it. The
    /// leader keeps the questions of all members in one table.
    asker: [u8; 16],
    round: u64,
    in_round: Vec<ReadWaiter>,
    waiting: Vec<ReadWaiter>,
    ticks_in_round: usize,
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

    /// Begins a round if there is somebody to serve and none is under way; returns the context
    /// to give to raft.
    pub(crate) fn begin(&mut self) -> Option<Vec<u8>> {
        if !self.in_round.is_empty() || self.waiting.is_empty() {
            return None;
        }
        self.in_round = std::mem::take(&mut self.waiting);
        self.ticks_in_round = 0;
        Some(self.next_context())
    }

    /// A tick has passed; returns a context if the round under way should be asked for again.
    ///
    /// A round asked for again gets a context of its own: an answer to the first question proves
    /// nothing new, but it is not wrong either, so both would do; unique contexts keep an answer
    /// that a paused leader gives late from being taken for a fresh one (etcd #20418).
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
    pub(crate) fn answer(&mut self, context: &[u8], index: u64) {
        if context != self.context() && !planted::on(Bug::ReadTakesAnyAnswer) {
            return;
        }
        for waiter in self.in_round.drain(..) {
            // Whoever asked may have given up.
            let _gone: Result<(), u64> = waiter.send(index);
        }
    }

    fn next_context(&mut self) -> Vec<u8> {
        self.round += 1;
        self.context()
    }

    fn context(&self) -> Vec<u8> {
        [&self.asker[..], &self.round.to_be_bytes()].concat()
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
        let asked = one.begin().expect("somebody waits");
        let (waiter, _) = oneshot::channel();
        other.arrive(waiter);
        one.answer(&other.begin().expect("somebody waits"), 9);
        assert!(got.try_recv().is_err());
        one.answer(&asked, 8);
        assert_eq!(got.try_recv(), Ok(8));
    }

    #[test]
    fn a_read_that_arrives_during_a_round_waits_for_the_next() {
        let mut reads = Reads::default();
        let (first, mut got_first) = oneshot::channel();
        let (second, mut got_second) = oneshot::channel();
        reads.arrive(first);
        let round = reads.begin().expect("somebody waits");
        reads.arrive(second);
        assert_eq!(reads.begin(), None);
        reads.answer(&round, 7);
        assert_eq!(got_first.try_recv(), Ok(7));
        assert!(got_second.try_recv().is_err());
        let next = reads.begin().expect("the second waits");
        reads.answer(&round, 8);
        assert!(got_second.try_recv().is_err(), "a late answer to an old round is ignored");
        reads.answer(&next, 9);
        assert_eq!(got_second.try_recv(), Ok(9));
    }

    #[test]
    fn a_round_without_an_answer_is_asked_for_again_while_somebody_waits() {
        let mut reads = Reads::default();
        let (waiter, got) = oneshot::channel();
        reads.arrive(waiter);
        let first = reads.begin().expect("somebody waits");
        assert_eq!(reads.tick(2), None);
        let again = reads.tick(2).expect("two ticks without an answer");
        assert_ne!(first, again);
        drop(got);
        assert_eq!((reads.tick(2), reads.tick(2)), (None, None));
    }
}
