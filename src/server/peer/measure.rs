//! What is counted of one peer, under etcd's names; its labels are resolved once.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{Histogram, IntCounter, IntGauge};
use reseed_proto::peer::RaftBatch;
use reseed_rt::clock::Instant;

use super::PROBE_INTERVAL;
use crate::metrics::Metrics;

/// What is counted of the way to one peer.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// 1 while the peer has a route.
    pub(super) known: IntGauge,
    /// 1 while a stream to it stands.
    pub(super) active: IntGauge,
    /// Streams that stood and ended.
    pub(super) disconnected: IntCounter,
    /// Bytes of raft's messages.
    pub(super) bytes: IntCounter,
    /// Streams that could not be opened or broke, and turns of messages without room.
    pub(super) failures: IntCounter,
    /// How long an answer takes.
    pub(super) round_trips: Arc<RoundTrips>,
}

impl Sent {
    /// Of the way from `local` to `remote`.
    pub(super) fn new(metrics: &Metrics, local: u64, remote: u64) -> Self {
        let (local, remote) = (format!("{local:x}"), format!("{remote:x}"));
        let both = [local.as_str(), remote.as_str()];
        let to = [remote.as_str()];
        let seconds = metrics.peer_round_trip.with_label_values(&to);
        Self {
            known: metrics.peers_known.with_label_values(&both),
            active: metrics.peers_active.with_label_values(&both),
            disconnected: metrics.peers_disconnected.with_label_values(&both),
            bytes: metrics.peer_sent_bytes.with_label_values(&to),
            failures: metrics.peer_sent_failures.with_label_values(&to),
            round_trips: Arc::new(RoundTrips { seconds, state: Mutex::default() }),
        }
    }
}

/// What is counted of what one peer sends.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// Bytes of raft's messages.
    pub(super) bytes: IntCounter,
    /// Batches that made no sense.
    pub(super) failures: IntCounter,
}

impl Heard {
    /// Of what comes from `from`.
    pub(super) fn new(metrics: &Metrics, from: u64) -> Self {
        let from = format!("{from:x}");
        Self {
            bytes: metrics.peer_received_bytes.with_label_values(&[&from]),
            failures: metrics.peer_received_failures.with_label_values(&[&from]),
        }
    }
}

/// Bytes of raft's messages in a batch.
pub(super) fn bytes_of(batch: &RaftBatch) -> u64 {
    batch.messages.iter().map(|message| message.len() as u64).sum()
}

/// Measures how long a batch takes to a peer and its answer back: now and then one that leaves
/// anyhow asks to be answered at once.
#[derive(Debug)]
pub(super) struct RoundTrips {
    seconds: Histogram,
    state: Mutex<Probing>,
}

#[derive(Debug, Default)]
struct Probing {
    /// Of the last one.
    number: u64,
    /// When it left.
    left: Option<Instant>,
    is_answered: bool,
}

impl RoundTrips {
    /// The number of the probe that the next batch is; 0 = none.
    pub(super) fn next(&self) -> u64 {
        let mut probing = self.state.lock();
        if probing.left.is_some_and(|left| left.elapsed() < PROBE_INTERVAL) {
            return 0;
        }
        probing.number += 1;
        probing.left = Some(Instant::now());
        probing.is_answered = false;
        probing.number
    }

    /// The answer to probe `number`, which is the peer's word: any but the last is ignored.
    pub(super) fn answered(&self, number: u64) {
        let mut probing = self.state.lock();
        if let Some(left) = probing.left
            && number == probing.number
            && !probing.is_answered
        {
            probing.is_answered = true;
            self.seconds.observe(left.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_probe_is_on_its_way_at_a_time_and_counts_once() {
        let metrics = Metrics::new();
        let sent = Sent::new(&metrics, 0xa, 0xb);
        let probe = sent.round_trips.next();
        assert_eq!((probe, sent.round_trips.next()), (1, 0), "the next one is due later");
        let count = || metrics.peer_round_trip.with_label_values(&["b"]).get_sample_count();
        for (number, counted) in [(0, 0), (2, 0), (probe, 1), (probe, 1)] {
            sent.round_trips.answered(number);
            assert_eq!(count(), counted, "after the answer to {number}");
        }
    }
}
