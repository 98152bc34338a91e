//! Tasks, threads and what a panic in one does.

use std::{process::Command, time::Duration};

use rand_chacha::rand_core::Rng;
use reseed_rt::{
    clock, rng,
    task::{self, Cancelled},
};

/// Set in the child process that is meant to die.
const DIE: &str = "RESEED_RT_TEST_DIE";

#[tokio::test]
async fn tasks_answer_or_are_cancelled() {
    assert_eq!(task::spawn("answer", async { 7 }).await, Ok(7));
    let endless = task::spawn("endless", std::future::pending::<()>());
    endless.abort();
    assert_eq!(endless.await, Err(Cancelled));
    assert_eq!(task::blocking(|| 8).await, 8);
}

#[tokio::test]
async fn threads_have_timers_of_their_own_and_can_be_aborted() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let thread = task::spawn_thread("worker", || {
        Box::pin(async move {
            clock::sleep(Duration::from_millis(1)).await;
            let _told = tell.send(std::thread::current().name().map(str::to_owned));
        })
    });
    assert_eq!(told.await.expect("it ran").as_deref(), Some("worker"));
    assert_eq!(thread.await, Ok(()));
    let endless = task::spawn_thread("endless", || Box::pin(std::future::pending()));
    assert!(!endless.is_finished());
    endless.abort();
    assert_eq!(endless.await, Err(Cancelled));
}

#[tokio::test]
async fn a_panic_in_a_task_stops_the_process() {
    if std::env::var_os(DIE).is_some() {
        let _never = task::spawn("doomed", async { panic!("as planned") }).await;
        return;
    }
    let this = std::env::current_exe().expect("a test knows itself");
    let child = Command::new(this)
        .args(["--exact", "task::a_panic_in_a_task_stops_the_process", "--nocapture"])
        .env(DIE, "1")
        .output()
        .expect("a child runs");
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success(), "the child survived: {said}");
    assert_eq!(child.status.code(), None, "ended by a signal: {said}");
    assert!(said.contains("as planned") && said.contains("'doomed' panicked"), "{said}");
}

#[tokio::test]
async fn intervals_skip_what_they_missed() {
    let period = Duration::from_millis(5);
    let mut beat = clock::interval(period);
    let first = beat.tick().await;
    // The machine may be slow before any line of this.
    let asleep = clock::Instant::now();
    clock::sleep(period * 4).await;
    let late = beat.tick().await;
    assert!(late > first && late <= asleep + period, "due long ago, so it comes at once");
    let next = beat.tick().await;
    assert!(next >= asleep + period * 4, "those in between are gone");
    for tick in [late, next] {
        assert_eq!((tick - first).as_nanos() % period.as_nanos(), 0, "and the beat is kept");
    }
}

#[test]
fn streams_differ_even_under_one_label() {
    let draws: Vec<u64> = [rng::fork("a"), rng::fork("a"), rng::fork("b")]
        .iter_mut()
        .map(Rng::next_u64)
        .chain([rng::u64()])
        .collect();
    for (place, draw) in draws.iter().enumerate() {
        assert!(!draws[..place].contains(draw), "{draws:?}");
    }
}
