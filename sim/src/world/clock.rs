//! What each node believes the time is.
//!
//! One true clock, madsim's. A node's monotonic clock runs at its own rate and never jumps: a
//! change of rate goes on from where it was. Its wall clock follows, off by an offset that may
//! jump both ways. Pure arithmetic.

use std::time::Duration;

/// A node's clock.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Clock {
    /// Local seconds per true second.
    rate: f64,
    /// True time from which on that is so, and what the monotonic clock showed then.
    since: (Duration, Duration),
    /// How far the wall clock is ahead, milliseconds; negative: behind.
    offset_millis: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { rate: 1.0, since: (Duration::ZERO, Duration::ZERO), offset_millis: 0 }
    }
}

impl Clock {
    /// The clock from `elapsed` true time on, if its rate is `rate` then.
    #[must_use]
    pub fn with_rate(self, rate: f64, elapsed: Duration) -> Self {
        Self { rate, since: (elapsed, self.mono(elapsed)), ..self }
    }

    /// The clock with its wall clock put forward or, if negative, back.
    #[must_use]
    pub fn jumped(self, millis: i64) -> Self {
        Self { offset_millis: self.offset_millis.saturating_add(millis), ..self }
    }

    /// The monotonic clock after `elapsed` true time.
    #[must_use]
    pub fn mono(self, elapsed: Duration) -> Duration {
        let (since, then) = self.since;
        then + elapsed.saturating_sub(since).mul_f64(self.rate)
    }

    /// The wall clock after `elapsed` true time, when it began at `base`.
    #[must_use]
    pub fn wall(self, base: Duration, elapsed: Duration) -> Duration {
        let offset = Duration::from_millis(self.offset_millis.unsigned_abs());
        let local = base + self.mono(elapsed);
        if self.offset_millis < 0 { local.saturating_sub(offset) } else { local + offset }
    }

    /// How long `local` time lasts in truth, at the present rate.
    #[must_use]
    pub fn true_duration(self, local: Duration) -> Duration {
        local.div_f64(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_fast_clock_sees_more_time_and_sleeps_less() {
        let clock = Clock::default().with_rate(1.25, Duration::ZERO).jumped(-2_000);
        assert_eq!(clock.mono(8 * SECOND), 10 * SECOND);
        assert_eq!(clock.true_duration(10 * SECOND), 8 * SECOND);
        assert_eq!(clock.wall(100 * SECOND, 8 * SECOND), 108 * SECOND);
    }

    #[test]
    fn a_change_of_rate_is_no_jump() {
        let clock = Clock::default().with_rate(1.5, 2 * SECOND).with_rate(0.5, 4 * SECOND);
        let read: Vec<Duration> = (0..=8).map(|second| clock.mono(second * SECOND)).collect();
        assert!(read.is_sorted());
        assert_eq!(clock.mono(4 * SECOND), 5 * SECOND, "two at 1 and two at 1.5");
        assert_eq!(clock.mono(6 * SECOND), 6 * SECOND, "then two at a half");
    }

    #[test]
    fn the_wall_clock_jumps_both_ways_and_the_monotonic_one_does_not() {
        let clock = Clock::default();
        let base = 100 * SECOND;
        assert_eq!(clock.jumped(5_000).wall(base, SECOND), 106 * SECOND);
        assert_eq!(clock.jumped(-5_000).jumped(-5_000).wall(base, SECOND), 91 * SECOND);
        assert_eq!(clock.jumped(-500_000).wall(base, SECOND), Duration::ZERO, "not before 1970");
        assert_eq!(clock.jumped(-5_000).mono(SECOND), clock.mono(SECOND));
    }
}
