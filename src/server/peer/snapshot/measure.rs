//! What is counted of snapshots on their way, under etcd's names.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use reseed_rt::clock::Instant;

use crate::metrics::Metrics;

/// Where snapshots of one direction are counted, by peer.
pub(crate) struct Direction<'a> {
    inflight: &'a IntGaugeVec,
    success: &'a IntCounterVec,
    failures: &'a IntCounterVec,
    seconds: &'a HistogramVec,
}

impl<'a> Direction<'a> {
    /// Of those that this member sends.
    pub(crate) fn sent(metrics: &'a Metrics) -> Self {
        Self {
            inflight: &metrics.snapshot_sending,
            success: &metrics.snapshot_sent,
            failures: &metrics.snapshot_send_failures,
            seconds: &metrics.snapshot_send_time,
        }
    }

    /// Of those that come to it.
    pub(crate) fn received(metrics: &'a Metrics) -> Self {
        Self {
            inflight: &metrics.snapshot_receiving,
            success: &metrics.snapshot_received,
            failures: &metrics.snapshot_receive_failures,
            seconds: &metrics.snapshot_receive_time,
        }
    }
}

/// One snapshot on its way; dropped, it has broken off.
pub(crate) struct Measured {
    began: Instant,
    arrived: bool,
    inflight: IntGauge,
    success: IntCounter,
    failures: IntCounter,
    seconds: Histogram,
}

impl Measured {
    /// It begins, to or from this peer.
    pub(crate) fn begin(direction: Direction<'_>, peer: u64) -> Self {
        let peer = format!("{peer:x}");
        let label = [peer.as_str()];
        let inflight = direction.inflight.with_label_values(&label);
        inflight.inc();
        Self {
            began: Instant::now(),
            arrived: false,
            inflight,
            success: direction.success.with_label_values(&label),
            failures: direction.failures.with_label_values(&label),
            seconds: direction.seconds.with_label_values(&label),
        }
    }

    /// It has arrived and was taken, or not.
    pub(crate) fn end(mut self, arrived: bool) {
        self.arrived = arrived;
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.inflight.dec();
        if self.arrived {
            self.success.inc();
            self.seconds.observe(self.began.elapsed().as_secs_f64());
        } else {
            self.failures.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_breaks_off_is_a_failure() {
        let metrics = Metrics::new();
        let begin = || Measured::begin(Direction::sent(&metrics), 0xb);
        begin().end(true);
        begin().end(false);
        drop(begin());
        let _under_way = begin();
        let of = |counter: &IntCounterVec| counter.with_label_values(&["b"]).get();
        assert_eq!(of(&metrics.snapshot_sent), 1);
        assert_eq!(of(&metrics.snapshot_send_failures), 2);
        assert_eq!(metrics.snapshot_sending.with_label_values(&["b"]).get(), 1);
        let seconds = metrics.snapshot_send_time.with_label_values(&["b"]);
        assert_eq!(seconds.get_sample_count(), 1);
    }
}
