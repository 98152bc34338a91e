//! Waking many tasks at once.
//!
//! Each wake of a task on another thread costs a system call, whether that thread sleeps or not.
//! Where hundreds wait for one event, that is more than what they waited for. So threads that
//! serve have a doorman: those who sleep there are handed to it together, at the price of one, and
//! it wakes each where that is free.

use std::{
    cell::OnceCell,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

thread_local! {
    /// The door of this thread, if it has one; set once.
    static DOOR: OnceCell<Arc<Door>> = const { OnceCell::new() };
}

/// A task that sleeps, and where.
#[derive(Debug)]
pub struct Sleeper {
    waker: Waker,
    door: Option<Arc<Door>>,
}

impl Sleeper {
    /// The task that is polled with `cx`, by this thread.
    #[must_use]
    pub fn here(cx: &Context<'_>) -> Self {
        Self { waker: cx.waker().clone(), door: DOOR.with(|door| door.get().cloned()) }
    }

    /// The same task was polled again.
    pub fn again(&mut self, cx: &Context<'_>) {
        self.waker.clone_from(cx.waker());
    }
}

/// Wakes all of them, those of one thread in the order given.
pub fn wake_all(sleepers: impl IntoIterator<Item = Sleeper>) {
    // By door; there are as many as cores, a few.
    let mut behind: Vec<(Arc<Door>, Vec<Waker>)> = Vec::new();
    for Sleeper { waker, door } in sleepers {
        let Some(door) = door else {
            waker.wake();
            continue;
        };
        match behind.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &door)) {
            Some((_, wakers)) => wakers.push(waker),
            None => behind.push((door, vec![waker])),
        }
    }
    behind.into_iter().for_each(|(door, wakers)| door.hand_over(wakers));
}

/// Where wakers of one thread are left for its doorman.
#[derive(Debug, Default)]
struct Door {
    left: Mutex<Vec<Waker>>,
    doorman: AtomicWaker,
}

impl Door {
    fn hand_over(&self, mut wakers: Vec<Waker>) {
        let mut left = self.left.lock();
        let is_first = left.is_empty();
        left.append(&mut wakers);
        drop(left);
        // Who found others there knows that the doorman is on the way.
        if is_first {
            self.doorman.wake();
        }
    }

    fn take(&self) -> Vec<Waker> {
        std::mem::take(&mut *self.left.lock())
    }
}

/// Wakes those who sleep on this thread, for as long as the thread lives; it can have one doorman.
pub(crate) async fn doorman() {
    let door = DOOR.with(|door| Arc::clone(door.get_or_init(Arc::default)));
    poll_fn(|cx| {
        door.doorman.register(cx.waker());
        door.take().into_iter().for_each(Waker::wake);
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{future::Future as _, pin::pin};

    use futures::task::noop_waker;

    use super::*;
    use crate::task;

    /// Sleeps until woken by what is put into `sleepers`; where it woke.
    async fn sleep(sleepers: Arc<Mutex<Vec<Sleeper>>>) -> task::ThreadId {
        let mut asleep = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut asleep, true) {
                return Poll::Ready(());
            }
            sleepers.lock().push(Sleeper::here(cx));
            Poll::Pending
        })
        .await;
        task::this_thread()
    }

    #[tokio::test]
    async fn those_behind_a_door_are_woken_by_its_doorman_and_the_others_at_once() {
        let sleepers = Arc::new(Mutex::new(Vec::new()));
        let mut outside = pin!(sleep(Arc::clone(&sleepers)));
        assert!(outside.as_mut().poll(&mut Context::from_waker(&noop_waker())).is_pending());
        let behind = Arc::clone(&sleepers);
        let lane = task::spawn_thread("lane", move || {
            Box::pin(async move {
                let doorman = task::spawn("doorman", doorman());
                let tasks: Vec<_> =
                    (0..5).map(|_| task::spawn("sleeper", sleep(Arc::clone(&behind)))).collect();
                for task in tasks {
                    assert_eq!(task.await, Ok(task::this_thread()));
                }
                doorman.abort();
            })
        });
        while sleepers.lock().len() < 6 {
            tokio::task::yield_now().await;
        }
        // The first was there before the thread had a doorman at all.
        let all = std::mem::take(&mut *sleepers.lock());
        let doors = all.iter().filter(|sleeper| sleeper.door.is_some()).count();
        assert_eq!(doors, 5);
        wake_all(all);
        assert_eq!(lane.await, Ok(()));
    }

    #[test]
    fn the_doorman_is_called_once_for_those_who_come_before_he_looks() {
        let (door, calls) = (Door::default(), Arc::new(Calls::default()));
        door.doorman.register(&Waker::from(Arc::clone(&calls)));
        door.hand_over(vec![noop_waker()]);
        door.hand_over(vec![noop_waker(), noop_waker()]);
        assert_eq!((*calls.0.lock(), door.take().len()), (1, 3));
        door.doorman.register(&Waker::from(Arc::clone(&calls)));
        door.hand_over(vec![noop_waker()]);
        assert_eq!((*calls.0.lock(), door.take().len()), (2, 1));
    }

    #[derive(Default)]
    struct Calls(Mutex<u32>);

    impl std::task::Wake for Calls {
        fn wake(self: Arc<Self>) {
            *self.0.lock() += 1;
        }
    }
}
