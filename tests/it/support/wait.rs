//! Waiting for something to come true, with a deadline; the only place that polls.
//!
//! The deadline guards against hanging for ever and is never part of what is tested, so it is far
//! longer than anything takes on a loaded machine.

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for anything that will happen at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What `probe` gives as soon as it gives something.
///
/// It blocks the thread. It is for processes; what a test's own tasks do needs [`until_async`].
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        thread::sleep(PAUSE);
    }
}

/// The same for a probe that has to await something.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub(crate) async fn until_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// What `future` gives.
///
/// # Panics
/// If it takes longer than [`PATIENCE`], naming `what`.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Lets a moment pass before something is tried again.
pub(crate) async fn a_moment() {
    tokio::time::sleep(PAUSE).await;
}
