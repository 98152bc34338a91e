//! Reads that wait for a round: where those who serve clients and the driver meet.
//!
//! Hundreds of reads share a round (`reads.rs`), so the way to the driver and back is paid for by
//! the round, not by each read. The driver is woken when the first arrives, or as many as it waits
//! for; and it answers a batch as a whole. Of those who wait on one thread it wakes one, who wakes
//! the others: on their own thread that takes no system call. Should that one sleep on (a stream
//! that its client does not read is not polled), the next tick wakes the others.
//!
//! ```text
//!   arriving ──► waiting ──(the driver begins a round)──► in the round ──(index)──► gone
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use reseed_core::error::Error;
use reseed_planted::{self as planted, Bug};
use reseed_rt::task::{self, ThreadId};
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
    /// Answered since the last tick.
    answered: Vec<Arc<Batch>>,
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
        let Some(batch) = self.state.lock().in_round.take() else { return 0 };
        let served = batch.answer(Ok(index));
        self.state.lock().answered.push(batch);
        served
    }

    /// A tick has passed: whoever was answered before and still sleeps is woken.
    pub(super) fn tick(&self) {
        let answered = std::mem::take(&mut self.state.lock().answered);
        for batch in answered {
            batch.wake_everybody();
        }
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
    /// By thread; there are as many as lanes, a few.
    asleep: Vec<(ThreadId, Vec<(u64, Waker)>)>,
}

impl Batch {
    /// Wakes one of each thread; how many are served.
    fn answer(&self, answer: Result<u64, Error>) -> usize {
        let mut people = self.people.lock();
        people.answer = Some(answer);
        let of_threads = people.asleep.iter_mut();
        let messengers: Vec<_> = of_threads.filter_map(|(_, asleep)| asleep.pop()).collect();
        let present = people.present;
        drop(people);
        messengers.into_iter().for_each(|(_, waker)| waker.wake());
        present
    }

    fn wake_everybody(&self) {
        let asleep = std::mem::take(&mut self.people.lock().asleep);
        asleep.into_iter().flat_map(|(_, asleep)| asleep).for_each(|(_, waker)| waker.wake());
    }
}

impl People {
    fn of_thread(&mut self, thread: ThreadId) -> &mut Vec<(u64, Waker)> {
        let known = self.asleep.iter().position(|(other, _)| *other == thread);
        let at = known.unwrap_or_else(|| {
            self.asleep.push((thread, Vec::new()));
            self.asleep.len() - 1
        });
        &mut self.asleep[at].1
    }
}

/// A place in a batch.
#[derive(Debug)]
struct Ticket {
    batch: Arc<Batch>,
    id: u64,
    /// Where it sleeps, if it was ever asked before there was an answer.
    thread: Option<ThreadId>,
}

impl Ticket {
    /// The next place, and how many are taken with it.
    fn of(batch: &Arc<Batch>) -> (Self, usize) {
        let mut people = batch.people.lock();
        people.present += 1;
        people.last += 1;
        (Self { batch: Arc::clone(batch), id: people.last, thread: None }, people.present)
    }
}

impl Future for Ticket {
    type Output = Result<u64, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut people = this.batch.people.lock();
        if let Some(answer) = people.answer.clone() {
            // Dropping the ticket wakes the others.
            return Poll::Ready(answer);
        }
        let Some(thread) = this.thread else {
            let thread = *this.thread.insert(task::this_thread());
            people.of_thread(thread).push((this.id, context.waker().clone()));
            return Poll::Pending;
        };
        // Asked again, mostly at once.
        let mut asleep = people.of_thread(thread).iter_mut().rev();
        if let Some((_, waker)) = asleep.find(|(id, _)| *id == this.id) {
            waker.clone_from(context.waker());
        }
        Poll::Pending
    }
}

impl Drop for Ticket {
    /// Whoever leaves after the answer may be the one who was to wake the others.
    fn drop(&mut self) {
        let mut people = self.batch.people.lock();
        people.present -= 1;
        let Some(thread) = self.thread else { return };
        let is_answered = people.answer.is_some();
        let asleep = people.of_thread(thread);
        let mut woken = Vec::new();
        if is_answered {
            woken = std::mem::take(asleep);
        } else {
            asleep.retain(|(id, _)| *id != self.id);
        }
        drop(people);
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::{BoxFuture, join_all};

    use super::*;

    #[tokio::test]
    async fn one_of_a_thread_wakes_the_others() {
        let queue = Arc::new(ReadQueue::default());
        let reads = (0..5).map(|_| {
            let queue = Arc::clone(&queue);
            task::spawn("read", async move { queue.index().await })
        });
        let reads: Vec<_> = reads.collect();
        while queue.waiting(1) < 5 {
            tokio::task::yield_now().await;
        }
        queue.begin();
        assert_eq!(queue.answer(7), 5);
        let answers = join_all(reads).await;
        assert!(answers.into_iter().all(|answer| matches!(answer, Ok(Ok(7)))));
    }

    /// Two who were served: a task that sleeps, and the last to fall asleep, who was woken for it.
    async fn answered(
        queue: &Arc<ReadQueue>,
    ) -> (task::Task<Result<u64, Error>>, BoxFuture<'_, Result<u64, Error>>) {
        let of_task = Arc::clone(queue);
        let other = task::spawn("read", async move { of_task.index().await });
        while queue.waiting(1) < 1 {
            tokio::task::yield_now().await;
        }
        let mut messenger = queue.index().boxed();
        assert!(messenger.as_mut().now_or_never().is_none());
        queue.begin();
        assert_eq!(queue.answer(7), 2);
        (other, messenger)
    }

    #[tokio::test]
    async fn a_messenger_that_leaves_wakes_the_others_all_the_same() {
        let queue = Arc::new(ReadQueue::default());
        let (other, messenger) = answered(&queue).await;
        drop(messenger);
        assert_eq!(other.await.expect("no panic"), Ok(7));
    }

    #[tokio::test]
    async fn a_messenger_that_sleeps_on_keeps_the_others_for_a_tick_only() {
        let queue = Arc::new(ReadQueue::default());
        let (mut other, messenger) = answered(&queue).await;
        for _ in 0..10 {
            assert!((&mut other).now_or_never().is_none(), "nobody woke it");
            tokio::task::yield_now().await;
        }
        queue.tick();
        tokio::task::yield_now().await;
        assert!(matches!(other.now_or_never(), Some(Ok(Ok(7)))), "the tick did");
        assert_eq!(messenger.await, Ok(7));
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
