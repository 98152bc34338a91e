//! Reads that wait for a round: where those who serve clients and the driver meet.
//!
//! Hundreds of reads share a round (`reads.rs`), so the way to the driver and back is paid for by
//! the round, not by each read. The driver is woken when the first arrives, or as many as it waits
//! for; and it answers a batch as a whole, and wakes it as a whole.
//!
//! ```text
//!   arriving ──► waiting ──(the driver begins a round)──► in the round ──(index)──► gone
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use reseed_core::error::Error;
use reseed_planted::{self as planted, Bug};
use reseed_rt::wake::{self, Sleeper};
use tokio::sync::Notify;

/// The queue; the driver has it too.
#[derive(Debug, Default)]
pub(crate) struct ReadQueue {
    state: Mutex<State>,
    driver: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: Arc<Batch>,
    in_round: Option<Arc<Batch>>,
    /// The driver is to be woken when so many wait.
    wake_at: usize,
    is_closed: bool,
}

impl ReadQueue {
    /// An index that a quorum confirmed after this call: a read that waits until it is applied is
    /// linearizable.
    ///
    /// # Errors
    /// [`Error::Stopped`] at shutdown. Without a quorum it waits for one.
    pub(crate) async fn index(&self) -> Result<u64, Error> {
        self.arrive()?.await
    }

    fn arrive(&self) -> Result<Ticket, Error> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Error::Stopped);
        }
        if planted::on(Bug::RoundJoinedLate)
            && let Some(batch) = &state.in_round
        {
            return Ok(Ticket::of(batch).0);
        }
        let (ticket, present) = Ticket::of(&state.waiting);
        if present == state.wake_at.max(1) {
            state.wake_at = usize::MAX;
            self.driver.notify_one();
        }
        Ok(ticket)
    }

    /// Returns when the driver should look at who waits.
    pub(super) async fn changed(&self) {
        self.driver.notified().await;
    }

    /// How many wait for the next round; nobody does as long as one is under way. The driver will
    /// be woken for the first, and for as many as are `enough`.
    pub(super) fn waiting(&self, enough: usize) -> usize {
        let mut state = self.state.lock();
        let present = state.waiting.people.lock().present;
        let is_busy = state.in_round.is_some();
        let (wake_at, waiting) = match (is_busy, present) {
            (true, _) => (usize::MAX, 0),
            (false, 0) => (1, 0),
            (false, present) => (enough, present),
        };
        state.wake_at = wake_at;
        waiting
    }

    /// Those who wait are in the round from here on; nobody is who comes later.
    pub(super) fn begin(&self) {
        let mut state = self.state.lock();
        state.in_round = Some(std::mem::take(&mut state.waiting));
    }

    /// Whether a round is under way that somebody waits for. One that nobody waits for any more is
    /// over.
    pub(super) fn is_wanted(&self) -> bool {
        let mut state = self.state.lock();
        state.in_round.take_if(|batch| batch.people.lock().present == 0);
        state.in_round.is_some()
    }

    /// The round is over; how many it served.
    pub(super) fn answer(&self, index: u64) -> usize {
        let batch = self.state.lock().in_round.take();
        batch.map_or(0, |batch| batch.answer(Ok(index)))
    }

    /// Nobody is answered any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let batches = [Some(std::mem::take(&mut state.waiting)), state.in_round.take()];
        drop(state);
        for batch in batches.into_iter().flatten() {
            batch.answer(Err(Error::Stopped));
        }
    }
}

/// Reads that share a round.
#[derive(Debug, Default)]
struct Batch {
    people: Mutex<People>,
}

#[derive(Debug, Default)]
struct People {
    present: usize,
    last: u64,
    answer: Option<Result<u64, Error>>,
    asleep: Vec<(u64, Sleeper)>,
}

impl Batch {
    /// Wakes all; how many are served.
    fn answer(&self, answer: Result<u64, Error>) -> usize {
        let mut people = self.people.lock();
        people.answer = Some(answer);
        let asleep = std::mem::take(&mut people.asleep);
        let present = people.present;
        drop(people);
        wake::wake_all(asleep.into_iter().map(|(_, sleeper)| sleeper));
        present
    }
}

/// A place in a batch.
#[derive(Debug)]
struct Ticket {
    batch: Arc<Batch>,
    id: u64,
    /// Whether it was ever asked before there was an answer.
    has_slept: bool,
}

impl Ticket {
    /// The next place, and how many are taken with it.
    fn of(batch: &Arc<Batch>) -> (Self, usize) {
        let mut people = batch.people.lock();
        people.present += 1;
        people.last += 1;
        (Self { batch: Arc::clone(batch), id: people.last, has_slept: false }, people.present)
    }
}

impl Future for Ticket {
    type Output = Result<u64, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut people = this.batch.people.lock();
        if let Some(answer) = people.answer.clone() {
            return Poll::Ready(answer);
        }
        if !std::mem::replace(&mut this.has_slept, true) {
            people.asleep.push((this.id, Sleeper::here(context)));
            return Poll::Pending;
        }
        // Asked again, mostly at once.
        let mut asleep = people.asleep.iter_mut().rev();
        if let Some((_, sleeper)) = asleep.find(|(id, _)| *id == this.id) {
            sleeper.again(context);
        }
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut people = self.batch.people.lock();
        people.present -= 1;
        if self.has_slept && people.answer.is_none() {
            people.asleep.retain(|(id, _)| *id != self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_round_answers_all_who_wait_for_it() {
        let queue = ReadQueue::default();
        let rounds = async {
            assert_eq!(queue.waiting(1), 5);
            queue.begin();
            assert_eq!(queue.answer(7), 5);
        };
        let (answers, ()) = tokio::join!(join_all((0..5).map(|_| queue.index())), rounds);
        assert_eq!(answers, vec![Ok(7); 5]);
    }

    #[tokio::test]
    async fn who_gives_up_is_waited_for_no_longer() {
        let queue = ReadQueue::default();
        let mut read = Box::pin(queue.index());
        assert!(read.as_mut().now_or_never().is_none());
        assert_eq!(queue.waiting(1), 1);
        queue.begin();
        assert!(queue.is_wanted());
        assert_eq!(queue.waiting(1), 0, "one is under way");
        drop(read);
        assert!(!queue.is_wanted());
        assert_eq!(queue.answer(7), 0);
    }

    #[tokio::test]
    async fn the_driver_is_woken_for_the_first_and_for_enough() {
        let queue = ReadQueue::default();
        let mut reads = Vec::new();
        let mut arrive = || reads.push(queue.arrive());
        let is_woken = || queue.changed().now_or_never().is_some();
        arrive();
        assert!(is_woken(), "for the first");
        assert_eq!(queue.waiting(3), 1);
        arrive();
        assert!(!is_woken());
        arrive();
        assert!(is_woken(), "for the third");
        arrive();
        assert!(!is_woken());
    }

    #[tokio::test]
    async fn nobody_waits_for_a_driver_that_is_gone() {
        let queue = ReadQueue::default();
        let mut read = Box::pin(queue.index());
        assert!(read.as_mut().now_or_never().is_none());
        queue.close();
        assert_eq!(read.await, Err(Error::Stopped));
        assert_eq!(queue.index().await, Err(Error::Stopped));
    }
}
