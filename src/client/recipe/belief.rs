//! Until when a lease may be believed in. Pure: it is told what time it is.
//!
//! A renewal may have taken effect as early as it was sent, so time counts from there, not from
//! its answer. A belief that has ended does not come back, even if the lease turns out to be
//! alive: somebody may have acted on its end.

use std::time::Duration;

use reseed_rt::clock::Instant;

/// What is believed of a lease.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Belief {
    /// `None`: it is over.
    until: Option<Instant>,
    ttl: Duration,
    margin_percent: u32,
}

impl Belief {
    /// A lease asked for at `sent` and granted for `ttl`; `margin_percent` of that are not
    /// counted on, because this machine's clock may be slower than the member's.
    pub(super) fn granted(sent: Instant, ttl: Duration, margin_percent: u32) -> Self {
        let margin_percent = margin_percent.min(100);
        Self { until: Some(sent + trusted(ttl, margin_percent)), ttl, margin_percent }
    }

    /// A renewal sent at `sent` was answered, `now`, with what the lease has left then.
    #[must_use]
    pub(super) fn renewed(self, sent: Instant, ttl: Duration, now: Instant) -> Self {
        if ttl.is_zero() || self.is_over(now) {
            return self.over();
        }
        Self { until: Some(sent + trusted(ttl, self.margin_percent)), ttl, ..self }
    }

    /// The same lease, believed in no more.
    #[must_use]
    pub(super) fn over(self) -> Self {
        Self { until: None, ..self }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// When it ends unless the lease is renewed.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// How long from one renewal to the next: a third of the time to live, as etcd's client.
    pub(super) fn pace(&self) -> Duration {
        self.ttl / 3
    }
}

fn trusted(ttl: Duration, margin_percent: u32) -> Duration {
    ttl * (100 - margin_percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn after(start: Instant, secs: u64) -> Instant {
        start + Duration::from_secs(secs)
    }

    #[test]
    fn time_counts_from_when_the_renewal_was_sent() {
        let start = Instant::now();
        let belief = Belief::granted(start, TTL, 20);
        assert!(!belief.is_over(after(start, 7)) && belief.is_over(after(start, 8)));
        let belief = belief.renewed(after(start, 3), TTL, after(start, 7));
        assert_eq!(belief.until(), Some(after(start, 11)));
    }

    #[test]
    fn what_is_over_stays_over() {
        let start = Instant::now();
        let late = Belief::granted(start, TTL, 0).renewed(after(start, 9), TTL, after(start, 10));
        assert_eq!(late.until(), None);
        let gone = Belief::granted(start, TTL, 0).renewed(after(start, 1), Duration::ZERO, start);
        assert!(gone.is_over(start));
        assert!(gone.renewed(after(start, 2), TTL, after(start, 2)).is_over(start));
    }
}
