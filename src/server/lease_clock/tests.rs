//! The clock over a log whose answers the test gives.
//!
//! Leases without any time to live are over at once, so nothing here waits for time to pass.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use super::*;

type Answer = Result<Response, Error>;

/// Keeps what was proposed until the test answers it.
#[derive(Debug, Default)]
struct Held {
    waiting: Mutex<VecDeque<(Request, oneshot::Sender<Answer>)>>,
    added: Notify,
    /// Of all proposals.
    terms: Mutex<Vec<Option<u64>>>,
    /// Whether what is committed is applied here only when `caught_up` is told.
    is_behind: AtomicBool,
    caught_up: Arc<Notify>,
    /// How often it was asked who leads.
    asked: AtomicUsize,
    /// Most proposals that ever waited together.
    together: AtomicUsize,
}

impl Log for Held {
    fn propose(&self, request: Request, term: Option<u64>) -> BoxFuture<'static, Answer> {
        self.terms.lock().push(term);
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        waiting.push_back((request, sender));
        self.together.fetch_max(waiting.len(), Ordering::Relaxed);
        drop(waiting);
        self.added.notify_one();
        async { receiver.await.unwrap_or(Err(Error::Stopped)) }.boxed()
    }

    fn confirm(&self) -> BoxFuture<'static, Result<(), Error>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (is_behind, caught_up) =
            (self.is_behind.load(Ordering::Relaxed), Arc::clone(&self.caught_up));
        async move {
            if is_behind {
                caught_up.notified().await;
            }
            Ok(())
        }
        .boxed()
    }
}

impl Held {
    /// Applies the oldest proposal, as the machine would, and answers it.
    fn apply(&self, clock: &LeaseClock) -> Option<Request> {
        let (request, answer) = self.waiting.lock().pop_front()?;
        match &request {
            Request::LeaseRevoke(revoke) => {
                clock.on_effect(&Effect::LeaseRevoked { id: LeaseId(revoke.id) });
            }
            Request::LeaseCheckpoint(request) => {
                for found in &request.checkpoints {
                    let (id, remaining_secs) = (LeaseId(found.id), found.remaining_ttl);
                    clock.on_effect(&Effect::LeaseCheckpointed { id, remaining_secs });
                }
            }
            other => panic!("nobody proposes {other:?}"),
        }
        // Whoever asked may have gone.
        drop(answer.send(Ok(Response::None)));
        Some(request)
    }
}

fn member(leader: u64) -> Member {
    let progress = Arc::new(Progress::default());
    progress.set_raft(1, leader, 1);
    progress.set_last_index(1);
    progress.set_applied(1);
    Member {
        id: 7,
        progress,
        metrics: Arc::new(Metrics::new()),
        request_timeout: Duration::from_secs(7),
        extend: Duration::ZERO,
        tick: Duration::from_millis(100),
    }
}

fn clock_with(leases: &[Granted]) -> (LeaseClock, Arc<Held>) {
    let log = Arc::new(Held::default());
    (LeaseClock::over(log.clone(), member(7), leases.iter().copied()), log)
}

fn lease(id: i64, ttl_secs: i64) -> Granted {
    Granted { id: LeaseId(id), ttl_secs, remaining_secs: 0 }
}

fn now_ready<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}

/// A future polled by hand, once per question.
macro_rules! polled {
    ($future:expr) => {
        match $future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    };
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime without sockets can be built")
}

fn lead(clock: &LeaseClock) {
    runtime().block_on(clock.follow_leadership(&mut None));
}

#[test]
fn what_is_over_is_revoked_a_few_at_a_time() {
    let leases: Vec<_> = (1..=100).map(|id| lease(id, 0)).collect();
    let (clock, log) = clock_with(&leases);
    let stop = Stop::new();
    runtime().block_on(async {
        let mut running = pin!(clock.clone().run(stop.clone()));
        let mut revoked = Vec::new();
        while revoked.len() < 100 {
            tokio::select! {
                biased;
                () = log.added.notified() => {}
                () = &mut running => panic!("the clock stopped"),
            }
            while let Some(request) = log.apply(&clock) {
                let Request::LeaseRevoke(revoke) = request else { panic!("{request:?}") };
                revoked.push(revoke.id);
            }
        }
        assert_eq!(revoked, (1..=100).collect::<Vec<_>>());
        stop.cancel();
        running.await;
    });
    assert_eq!(log.together.load(Ordering::Relaxed), REVOKES_IN_FLIGHT_MAX);
    assert_eq!(clock.leases(), []);
}

#[test]
fn a_checkpointed_lease_is_reset_before_the_client_is_told() {
    let checkpointed = Granted { remaining_secs: 30, ..lease(1, 100) };
    let (clock, log) = clock_with(&[checkpointed, lease(2, 100)]);
    lead(&clock);
    assert_eq!(now_ready(clock.renew(LeaseId(2))), Some(Ok(Some(100))));
    let mut renewal = pin!(clock.renew(LeaseId(1)));
    assert_eq!(polled!(renewal), None);
    let written = log.apply(&clock);
    assert_eq!(written, Some(write_down(&[Checkpoint { id: LeaseId(1), remaining_secs: 0 }])));
    assert_eq!(polled!(renewal), Some(Ok(Some(100))));
    assert_eq!(now_ready(clock.renew(LeaseId(1))), Some(Ok(Some(100))));
    assert_eq!(log.apply(&clock), None);
}

#[test]
fn a_reset_waits_for_checkpoints_that_are_under_way() {
    let (clock, log) = clock_with(&[Granted { remaining_secs: 30, ..lease(1, 100) }]);
    lead(&clock);
    let checkpoints = now_ready(clock.inner.order.write()).expect("nobody holds it");
    let mut renewal = pin!(clock.renew(LeaseId(1)));
    assert_eq!(polled!(renewal), None);
    assert_eq!(log.apply(&clock), None);
    drop(checkpoints);
    assert_eq!(polled!(renewal), None);
    assert!(log.apply(&clock).is_some());
    assert_eq!(polled!(renewal), Some(Ok(Some(100))));
}

#[test]
fn renewing_what_is_over_waits_until_it_is_gone() {
    let (clock, _log) = clock_with(&[lease(1, 0)]);
    lead(&clock);
    assert_eq!(now_ready(clock.renew(LeaseId(9))), Some(Ok(None)));
    let mut renewal = pin!(clock.renew(LeaseId(1)));
    assert_eq!(polled!(renewal), None);
    clock.on_effect(&Effect::LeaseRevoked { id: LeaseId(1) });
    assert_eq!(polled!(renewal), Some(Ok(None)));
}

#[test]
fn deadlines_run_only_on_the_leader_and_after_its_log_is_applied() {
    let log = Arc::new(Held::default());
    let member = member(0);
    let progress = Arc::clone(&member.progress);
    let clock = LeaseClock::over(log, member, [lease(1, 100)]);
    lead(&clock);
    assert_eq!(now_ready(clock.renew(LeaseId(1))), Some(Err(Error::NotLeader)));
    progress.set_last_index(3);
    progress.set_raft(2, 7, 3);
    let mut renewal = pin!(clock.renew(LeaseId(1)));
    assert_eq!(polled!(renewal), None);
    runtime().block_on(async {
        let mut beginning = None;
        let mut following = pin!(clock.follow_leadership(&mut beginning));
        assert_eq!(polled!(following), None);
        // Found in the log: somebody had written the lease down.
        let id = LeaseId(1);
        clock.on_effect(&Effect::LeaseCheckpointed { id, remaining_secs: 40 });
        progress.set_applied(3);
        following.await;
    });
    let left = clock.known_time_left(LeaseId(1)).expect("it is there").left;
    assert!(left <= Millis::from_secs(40), "{left:?} is more than was written down");
    assert_eq!(polled!(renewal), None, "a reset comes first");
    progress.set_raft(3, 8, 3);
    lead(&clock);
    assert!(clock.inner.expiry.lock().due(Millis(u64::MAX), 9).is_empty());
}

#[test]
fn a_lease_is_denied_only_by_who_has_applied_everything() {
    let (clock, log) = clock_with(&[]);
    lead(&clock);
    log.is_behind.store(true, Ordering::Relaxed);
    let mut renewal = pin!(clock.renew(LeaseId(1)));
    assert_eq!(polled!(renewal), None);
    // Another member has applied the grant, and answered; this one does only now.
    clock.on_effect(&Effect::LeaseGranted { id: LeaseId(1), ttl_secs: 5 });
    log.caught_up.notify_one();
    assert_eq!(polled!(renewal), Some(Ok(Some(5))));
    let mut renewal = pin!(clock.renew(LeaseId(2)));
    assert_eq!(polled!(renewal), None);
    log.caught_up.notify_one();
    assert_eq!(polled!(renewal), Some(Ok(None)));
}

#[test]
fn a_renewal_waits_until_a_quorum_says_that_this_member_leads() {
    let (clock, log) = clock_with(&[lease(1, 100), lease(2, 100)]);
    lead(&clock);
    log.is_behind.store(true, Ordering::Relaxed);
    let mut renewal = pin!(clock.renew(LeaseId(1)));
    assert_eq!(polled!(renewal), None);
    // Another member has applied a revocation, and answered; this one does only now.
    clock.on_effect(&Effect::LeaseRevoked { id: LeaseId(1) });
    log.caught_up.notify_one();
    assert_eq!(polled!(renewal), Some(Ok(None)));
    let mut renewal = pin!(clock.renew(LeaseId(2)));
    assert_eq!(polled!(renewal), None);
    // It was cut off: another leads.
    clock.inner.member.progress.set_raft(2, 8, 1);
    log.caught_up.notify_one();
    assert_eq!(polled!(renewal), Some(Err(Error::NotLeader)));
}

#[test]
fn what_the_clock_wants_is_for_the_term_in_which_it_began_to_decide() {
    let (clock, log) = clock_with(&[Granted { remaining_secs: 30, ..lease(1, 100) }]);
    lead(&clock);
    let mut renewal = pin!(clock.renew(LeaseId(1)));
    assert_eq!(polled!(renewal), None, "a reset comes first");
    assert_eq!(*log.terms.lock(), [Some(1)]);
    // It has lost and won an election, and another may have led in between.
    clock.inner.member.progress.set_raft(3, 7, 1);
    let mut late = pin!(clock.renew(LeaseId(1)));
    assert_eq!(polled!(late), None);
    assert_eq!(log.terms.lock().len(), 1, "nothing is renewed before it has begun anew");
    lead(&clock);
    assert_eq!(polled!(late), None);
    assert_eq!(*log.terms.lock(), [Some(1), Some(3)]);
}

#[test]
fn a_log_that_grows_all_the_time_does_not_keep_deadlines_from_running() {
    let (clock, _log) = clock_with(&[lease(1, 100)]);
    let progress = &clock.inner.member.progress;
    progress.set_last_index(3);
    progress.set_raft(2, 7, 3);
    runtime().block_on(async {
        let mut beginning = None;
        // The window ends before what was found is applied, and by then there is more.
        assert_eq!(polled!(pin!(clock.follow_leadership(&mut beginning))), None);
        progress.set_last_index(9);
        progress.set_applied(3);
        assert_eq!(now_ready(clock.follow_leadership(&mut beginning)), Some(()));
    });
    assert!(clock.is_primary());
}

#[test]
fn a_quorum_that_takes_its_time_is_asked_once_whether_this_member_leads() {
    let log = Arc::new(Held::default());
    // Only what was counted makes it stale, not that nobody ticks in this test.
    let member = Member { tick: Duration::from_secs(60), ..member(7) };
    let clock = LeaseClock::over(log.clone(), member, [lease(1, 0)]);
    let progress = &clock.inner.member.progress;
    while progress.stood_still() == 0 {
        progress.tick(Duration::ZERO);
    }
    log.is_behind.store(true, Ordering::Relaxed);
    let stop = Stop::new();
    runtime().block_on(async {
        let mut running = pin!(clock.clone().run(stop.clone()));
        tokio::select! {
            biased;
            () = clock::sleep(WINDOW + WINDOW / 2) => {}
            () = log.added.notified() => panic!("revoked by a member that may not lead"),
            () = &mut running => panic!("the clock stopped"),
        }
        log.caught_up.notify_one();
        tokio::select! {
            biased;
            () = log.added.notified() => {}
            () = &mut running => panic!("the clock stopped"),
        }
    });
    assert_eq!(log.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn an_answer_at_once_is_good_for_a_turn_though_the_driver_stands_still() {
    let log = Arc::new(Held::default());
    let member = Member { tick: Duration::ZERO, ..member(7) };
    member.progress.tick(Duration::from_secs(1));
    let clock = LeaseClock::over(log.clone(), member, [lease(1, 0)]);
    let stop = Stop::new();
    runtime().block_on(async {
        clock::sleep(Duration::from_millis(2)).await;
        assert!(clock.inner.member.is_stale());
        let mut running = pin!(clock.clone().run(stop.clone()));
        tokio::select! {
            biased;
            () = log.added.notified() => {}
            () = &mut running => panic!("the clock stopped"),
        }
    });
    assert_eq!(log.asked.load(Ordering::Relaxed), 1);
}
