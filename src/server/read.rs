//! Linearizable reads: learn an index that a quorum confirmed, then wait until it is applied.

use std::sync::Arc;
use std::time::Duration;

use reseed_core::error::Error;
use reseed_planted::{self as planted, Bug};
use reseed_rt::buggify::{self, Point};
use reseed_rt::clock;
use reseed_rt::probe::{self, Probe};

use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::raft::read_queue::ReadQueue;
use crate::state::State;

/// Waits until what is readable here includes everything acknowledged before the call.
#[derive(Clone, Debug)]
pub(crate) struct ReadIndex {
    readers: Arc<ReadQueue>,
    progress: Arc<Progress>,
    metrics: Arc<Metrics>,
    timeout: Duration,
}

impl ReadIndex {
    /// Asks for rounds by way of `readers`.
    pub(crate) fn new(readers: Arc<ReadQueue>, state: &State) -> Self {
        Self {
            readers,
            progress: Arc::clone(&state.progress),
            metrics: Arc::clone(&state.metrics),
            timeout: state.config.request_timeout(),
        }
    }

    /// Returns when a read of the local state is linearizable (Raft §6.4).
    ///
    /// # Errors
    /// [`Error::Timeout`] if no quorum confirmed in time, [`Error::Stopped`] at shutdown.
    pub(crate) async fn wait(&self) -> Result<(), Error> {
        let level = self.progress.applied() >= self.progress.committed()
            && !buggify::point(Point::ReadLongWay);
        if self.progress.leads_alone() && (level || planted::on(Bug::ReadDuringReplay)) {
            // Raft answers a lone voter's ReadIndex at once with its commit index; taking it from
            // here saves the way to the driver's thread and back, which costs more than the read.
            return Ok(());
        }
        if level && self.progress.leader() != 0 && planted::on(Bug::FollowerReadsAlone) {
            return Ok(());
        }
        probe::hit(Probe::ReadWaited);
        let confirmed = clock::timeout(self.timeout, async {
            let index = self.readers.index().await?;
            if !planted::on(Bug::ReadBeforeApply) {
                self.progress.wait_applied(index).await;
            }
            Ok(())
        })
        .await;
        confirmed.unwrap_or_else(|_elapsed| {
            self.metrics.read_indexes_failed.inc();
            Err(Error::Timeout)
        })
    }
}
