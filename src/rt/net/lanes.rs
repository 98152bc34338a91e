//! Threads that serve connections, each to its end on one of them.
//!
//! A runtime of several threads passes work around: each turn of the reactor wakes another thread
//! to take some of it, which for requests of a few microseconds costs more than it saves. Here a
//! connection, its requests and their timers stay where they are, and the only way between threads
//! is what the requests themselves wait for. A request that computes for long holds up those of its
//! lane, and nothing else of the member.

use std::{future::Future, time::Duration};

use futures::future::{BoxFuture, FutureExt as _};

use crate::{
    chan::{self, Sender},
    clock,
    task::{self, Cancelled, Task},
    wake,
};

/// How often a lane wakes at the least. A timer that is set to end before all others of its thread
/// costs a system call (tokio's), which those of requests did whenever there were no others left.
const PULSE: Duration = Duration::from_millis(500);

/// Connections handed to a lane that it has not taken yet.
const WAITING_MAX: usize = 64;

/// The lanes, taken in turn. Dropped, each ends, and with it what it still runs.
pub(super) struct Lanes {
    queues: Vec<Sender<BoxFuture<'static, ()>>>,
    threads: Vec<Task<()>>,
    next: usize,
}

impl Lanes {
    /// Starts `threads` lanes; with none, connections are tasks of whoever hands them over.
    pub(super) fn start(threads: usize) -> Self {
        let (queues, threads) = (0..threads).map(|_| start()).unzip();
        Self { queues, threads, next: 0 }
    }

    /// Ends all, with what they still run; returns when nothing of it is left.
    pub(super) async fn end(self) {
        drop(self.queues);
        for thread in self.threads {
            // A lane is not aborted.
            let _ended: Result<(), Cancelled> = thread.await;
        }
    }

    /// Runs a connection on the next lane.
    pub(super) async fn run(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        self.next = (self.next + 1) % self.queues.len().max(1);
        let Some(queue) = self.queues.get(self.next) else {
            drop(task::spawn("connection", connection));
            return;
        };
        let handed_over = queue.send(connection.boxed()).await;
        assert!(handed_over.is_ok(), "a lane ends with its queue only");
    }
}

fn start() -> (Sender<BoxFuture<'static, ()>>, Task<()>) {
    let (queue, mut waiting) = chan::bounded("lane", WAITING_MAX);
    let thread = task::spawn_thread("serve", move || {
        Box::pin(async move {
            drop(task::spawn("pulse", pulse()));
            drop(task::spawn("doorman", wake::doorman()));
            while let Some(connection) = waiting.recv().await {
                drop(task::spawn("connection", connection));
            }
        })
    });
    (queue, thread)
}

async fn pulse() {
    let mut beats = clock::interval(PULSE);
    loop {
        beats.tick().await;
    }
}
