//! Who waits for which log entry, from the proposal to its answer.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use reseed_core::applied::Response;
use reseed_core::error::Error;
use reseed_rt::wake::{self, Sleeper};

/// What a waiter gets.
pub(crate) type Answer = Result<Response, Error>;

/// The table; the driver and apply have it too.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    by_id: Mutex<BTreeMap<u64, Waiter>>,
}

#[derive(Debug, Default)]
struct Waiter {
    /// Whether the driver has taken what is waited for.
    is_taken: bool,
    sleeper: Option<Sleeper>,
    answer: Option<Answer>,
}

impl Waiters {
    /// A place in the table, for a request that gets this `id`.
    pub(crate) fn register(&self, id: u64) -> Wait<'_> {
        let before = self.by_id.lock().insert(id, Waiter::default());
        assert!(before.is_none(), "request id {id} is already waited for");
        Wait { waiters: self, id, is_over: false }
    }

    /// The driver takes what is waited for under `id`, unless nobody waits any more: whoever gave
    /// up while there was no leader does not want it minutes later.
    pub(crate) fn begin(&self, id: u64) -> bool {
        let mut by_id = self.by_id.lock();
        let waiter = by_id.get_mut(&id);
        waiter.map(|waiter| waiter.is_taken = true).is_some()
    }

    /// Answers whoever waits; nobody does if the entry came from elsewhere or from a replay.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = (u64, Answer)>) {
        let mut woken = Vec::new();
        let mut by_id = self.by_id.lock();
        for (id, answer) in answers {
            if let Some(waiter) = by_id.get_mut(&id) {
                waiter.answer = Some(answer);
                woken.extend(waiter.sleeper.take());
            }
        }
        drop(by_id);
        wake::wake_all(woken);
    }

    /// Tells all of `ids` that their proposals were not taken.
    pub(crate) fn refuse(&self, ids: &[u64], error: &Error) {
        self.answer(ids.iter().map(|id| (*id, Err(error.clone()))));
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.lock().len()
    }
}

/// Ready with the answer; whoever drops it before wants none.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    waiters: &'a Waiters,
    id: u64,
    is_over: bool,
}

impl Wait<'_> {
    /// Waits no longer; whether the request may have been proposed.
    pub(crate) fn give_up(mut self) -> bool {
        self.leave().is_none_or(|waiter| waiter.is_taken)
    }

    fn leave(&mut self) -> Option<Waiter> {
        self.is_over = true;
        self.waiters.by_id.lock().remove(&self.id)
    }
}

impl Future for Wait<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = &mut *self;
        let mut by_id = this.waiters.by_id.lock();
        let waiter = by_id.get_mut(&this.id).expect("a place is left once");
        if let Some(answer) = waiter.answer.take() {
            by_id.remove(&this.id);
            this.is_over = true;
            return Poll::Ready(answer);
        }
        match &mut waiter.sleeper {
            Some(sleeper) => sleeper.again(cx),
            none => *none = Some(Sleeper::here(cx)),
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn an_answer_reaches_who_waits_for_it_and_nobody_else() {
        let waiters = Waiters::default();
        let (mut first, mut second) = (waiters.register(1), waiters.register(2));
        assert!((&mut first).now_or_never().is_none());
        waiters.answer([(2, Ok(Response::None)), (3, Err(Error::Stopped))]);
        assert!((&mut first).now_or_never().is_none());
        assert_eq!((&mut second).now_or_never(), Some(Ok(Response::None)));
        waiters.refuse(&[1, 2], &Error::NoLeader);
        assert_eq!(first.now_or_never(), Some(Err(Error::NoLeader)));
        assert_eq!(waiters.len(), 0);
    }

    #[test]
    fn who_gives_up_knows_whether_it_was_taken() {
        let waiters = Waiters::default();
        assert!(!waiters.register(1).give_up());
        assert!(!waiters.begin(1), "nobody waits");
        let taken = waiters.register(2);
        assert!(waiters.begin(2));
        assert!(taken.give_up());
        drop(waiters.register(3));
        assert!(!waiters.begin(3));
        assert_eq!(waiters.len(), 0);
    }

    #[tokio::test]
    async fn a_sleeper_is_woken() {
        let waiters = Waiters::default();
        let answering = async { waiters.answer([(1, Ok(Response::None))]) };
        let (answer, ()) = tokio::join!(waiters.register(1), answering);
        assert_eq!(answer, Ok(Response::None));
    }
}
