//! Tasks: named, owned, and never half dead.
//!
//! Policy: a panic inside a task is a broken invariant, and a member with one loop missing is
//! worse than no member. In production the process aborts right after the panic message was
//! printed; in simulation the panic unwinds into the simulator, which ends the run (or, where the
//! run planned for it, the node). Nobody awaits a panic.
//!
//! There is no task registry and no restart: whoever spawns keeps the handle or a [`Stop`].

pub use std::thread::ThreadId;
use std::{
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    task::{Context, Poll},
    thread,
};

use futures::future::BoxFuture;
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
pub use tokio_util::sync::CancellationToken as Stop;

use crate::imp;

/// The task was aborted, or its runtime ended, before it finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the task was cancelled")]
pub struct Cancelled;

/// A running task. Await it for its output; dropping it lets the task run on.
#[derive(Debug)]
pub struct Task<T>(Kind<T>);

#[derive(Debug)]
enum Kind<T> {
    Spawned(imp::Handle<T>),
    Thread { done: oneshot::Receiver<T>, abort: Stop, ended: Stop },
}

impl<T> Task<T> {
    /// Asks the task to end at its next await; awaiting it then gives [`Cancelled`].
    pub fn abort(&self) {
        match &self.0 {
            Kind::Spawned(handle) => handle.abort(),
            Kind::Thread { abort, .. } => abort.cancel(),
        }
    }

    /// Has the task ended, in whatever way?
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Kind::Spawned(handle) => handle.is_finished(),
            Kind::Thread { ended, .. } => ended.is_cancelled(),
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Kind::Spawned(handle) => Pin::new(handle).poll(cx).map_err(|_| Cancelled),
            Kind::Thread { done, .. } => Pin::new(done).poll(cx).map_err(|_| Cancelled),
        }
    }
}

/// Starts a task called `name` (as it appears when it panics).
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    Task(Kind::Spawned(imp::spawn(Supervised { name, work })))
}

/// Starts an OS thread called `name` that runs the future `make` gives, with timers and sockets of
/// its own; a plain task in simulation. Inside, blocking disk work is allowed, and what it spawns
/// ends with it: it has when the task returned here ends.
pub fn spawn_thread(
    name: &'static str,
    make: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static,
) -> Task<()> {
    let (tell, done) = oneshot::channel();
    let (abort, ended) = (Stop::new(), Stop::new());
    let (aborted, ending) = (abort.clone(), ended.clone().drop_guard());
    let make = move || aborted.run_until_cancelled_owned(Supervised { name, work: make() });
    imp::spawn_thread(name, make, move |output: Option<()>| {
        let _ending = ending;
        if output.is_some() {
            // Nobody may be waiting any more: then there is nobody to tell.
            let _nobody_waits = tell.send(());
        }
    });
    Task(Kind::Thread { done, abort, ended })
}

/// Runs blocking work on the pool for it; inline in simulation, where disk work takes no time
/// until [`crate::disk::settle`].
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match imp::blocking(move || Guard::cover("blocking", work)).await {
        Ok(output) => output,
        // Only a runtime that is being torn down refuses work, and the caller goes with it.
        Err(_) => std::future::pending().await,
    }
}

/// What `work` gives, or `None` if it panicked: for libraries that panic over what a file says.
/// What it worked on must not be used any more.
pub fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(output) => Some(output),
        // The machine is dead, whoever caught it.
        Err(why) if imp::is_power_failure(why.as_ref()) => panic::resume_unwind(why),
        Err(_panic) => None,
    }
}

/// Threads that can run at once; 0 in simulation, where there are none.
#[must_use]
pub fn cores() -> usize {
    imp::cores()
}

/// The thread this is. All tasks of a simulation share one.
#[must_use]
pub fn this_thread() -> ThreadId {
    thread::current().id()
}

/// Lets other tasks of this thread run.
pub async fn yield_now() {
    imp::yield_now().await;
}

pin_project! {
    /// A future whose panic is the whole process's.
    struct Supervised<F> {
        name: &'static str,
        #[pin]
        work: F,
    }
}

impl<F: Future> Future for Supervised<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let work = this.work;
        Guard::cover(this.name, || work.poll(cx))
    }
}

/// Armed while foreign code runs; only an unwinding panic drops it armed.
struct Guard(&'static str);

impl Guard {
    fn cover<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
        let guard = Self(name);
        let output = work();
        std::mem::forget(guard);
        output
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        imp::task_panicked(self.0);
    }
}
