//! Moves applied writes from memory to the backend file, off the apply path.
//!
//! A write is durable in the WAL before it is applied; here it becomes durable in the backend too,
//! together with the applied index, so that the log before it can go. Runs when enough has
//! gathered, at the latest every `--backend-batch-interval`, and once more at a graceful stop.

use std::sync::Arc;
use std::time::Duration;

use reseed_planted::{self as planted, Bug};
use reseed_rt::buggify::{self, Point};
use reseed_rt::chan::Sender;
use reseed_rt::clock::{self, Instant};
use reseed_rt::disk;
use reseed_rt::task::Stop;
use reseed_storage::backend::BackendError;

use crate::halt::{Cause, Halt};
use crate::raft::driver::Event;
use crate::state::State;

/// How late the simulator makes a flush, at most.
const LATE_MAX: Duration = Duration::from_millis(200);

/// What the flusher needs to run; it owns a thread in production.
pub(crate) struct Flusher {
    pub(crate) state: Arc<State>,
    pub(crate) driver: Sender<Event>,
    pub(crate) halt: Halt,
    /// The log begins after this entry.
    pub(crate) marked_at: u64,
}

impl Flusher {
    /// Runs until `stop`, flushes once more, and returns; halts the member if a flush fails.
    pub(crate) async fn run(self, stop: Stop) {
        let mut truncated_at = self.marked_at;
        let mut was_full = false;
        loop {
            let interval = self.state.config.backend_batch_interval;
            let stopping = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                () = self.wanted() => false,
                () = clock::sleep(interval) => false,
            };
            if self.halt.reason().is_some_and(|halted| halted.cause == Cause::Broken) {
                // What made the member halt may have left the memory in doubt: the disk decides.
                return;
            }
            if buggify::point(Point::FlusherLate) {
                clock::sleep(interval.min(LATE_MAX)).await;
            }
            match self.flush().await {
                Ok(()) => was_full = false,
                Err(BackendError::Full) => {
                    if !was_full {
                        tracing::warn!("the disk is full: writes are refused until there is space");
                    }
                    was_full = true;
                }
                Err(error) => {
                    self.halt.halt(error);
                    return;
                }
            }
            if stopping {
                return;
            }
            let backend = &self.state.backend;
            let ahead = planted::on(Bug::MarkAheadOfBackend);
            let persisted = if ahead { backend.applied().index } else { backend.persisted().index };
            let early = persisted > truncated_at && buggify::point(Point::TruncateEarly);
            if early || persisted >= truncated_at + self.state.config.snapshot_count {
                // Never waits for the driver, which may wait for apply, which may wait for room
                // here; a queue that is full is tried again after the next flush.
                if self.driver.try_send(Event::Persisted { index: persisted }).is_ok() {
                    truncated_at = persisted;
                }
            }
        }
    }

    /// Enough has gathered; a full disk is tried again by the interval only.
    async fn wanted(&self) {
        if self.state.backend.is_full() {
            std::future::pending::<()>().await;
        }
        self.state.backend.flush_wanted().await;
    }

    async fn flush(&self) -> Result<(), BackendError> {
        let began = Instant::now();
        self.state.backend.flush_blocking()?;
        self.state.metrics.backend_commit.observe(began.elapsed().as_secs_f64());
        disk::settle().await;
        Ok(())
    }
}
