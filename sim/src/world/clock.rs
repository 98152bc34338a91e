//! What each node believes the time is.
//!
//! One true clock, madsim's. A node's monotonic clock runs at its own rate, its wall clock is off
//! by an offset besides. Pure arithmetic; jumps of the wall clock are a change of offset.

use std::time::Duration;

/// A node's clock.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Clock {
    /// Local seconds per true second.
    pub rate: f64,
    /// How far the wall clock is ahead, seconds; negative: behind.
    pub offset_secs: f64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { rate: 1.0, offset_secs: 0.0 }
    }
}

impl Clock {
    /// The monotonic clock after `elapsed` true time.
    #[must_use]
    pub fn mono(self, elapsed: Duration) -> Duration {
        elapsed.mul_f64(self.rate)
    }

    /// The wall clock after `elapsed` true time, when it began at `base`.
    #[must_use]
    pub fn wall(self, base: Duration, elapsed: Duration) -> Duration {
        let offset = Duration::from_secs_f64(self.offset_secs.abs());
        let local = base + self.mono(elapsed);
        if self.offset_secs < 0.0 { local.saturating_sub(offset) } else { local + offset }
    }

    /// How long `local` time lasts in truth.
    #[must_use]
    pub fn true_duration(self, local: Duration) -> Duration {
        local.div_f64(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_sees_more_time_and_sleeps_less() {
        let clock = Clock { rate: 1.25, offset_secs: -2.0 };
        assert_eq!(clock.mono(Duration::from_secs(8)), Duration::from_secs(10));
        assert_eq!(clock.true_duration(Duration::from_secs(10)), Duration::from_secs(8));
        let base = Duration::from_secs(100);
        assert_eq!(clock.wall(base, Duration::from_secs(8)), Duration::from_secs(108));
    }
}
