//! How long the cluster stands still: commits nothing though clients write.
//!
//! Pure: it is told what members know to be committed, and when. What commits is the leader's term
//! entry at the latest, so in a run whose clients write all the time the longest pause is how long
//! it took to notice that a leader is gone, and to have another one.

use std::time::Duration;

/// What is known of the cluster's pace.
#[derive(Debug, Default)]
pub struct Pace {
    committed: u64,
    /// When that became known, unless it is over.
    since: Option<Duration>,
    is_over: bool,
    longest: Duration,
    longest_from: Duration,
}

impl Pace {
    /// Some member knows at `now` that everything up to `committed` is.
    pub fn sees(&mut self, committed: u64, now: Duration) {
        if committed <= self.committed || self.is_over {
            return;
        }
        self.pauses_until(now);
        (self.committed, self.since) = (committed, Some(now));
    }

    /// Clients write no more: what comes later does not count.
    pub fn end(&mut self, now: Duration) {
        self.pauses_until(now);
        self.is_over = true;
    }

    /// The longest pause, and when it began.
    #[must_use]
    pub fn longest(&self) -> (Duration, Duration) {
        (self.longest, self.longest_from)
    }

    fn pauses_until(&mut self, now: Duration) {
        let Some(since) = self.since.filter(|_| !self.is_over) else { return };
        let pause = now.saturating_sub(since);
        if pause > self.longest {
            (self.longest, self.longest_from) = (pause, since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_longest_pause_between_commits_of_anybody_counts() {
        let mut pace = Pace::default();
        pace.end(secs(0));
        assert_eq!(pace.longest().0, secs(0), "before the first commit nothing stands still");
        let mut pace = Pace::default();
        for (committed, at) in [(1, 2), (2, 3), (2, 6), (1, 7), (3, 8), (4, 9)] {
            pace.sees(committed, secs(at));
        }
        assert_eq!(pace.longest(), (secs(5), secs(3)));
        pace.end(secs(15));
        pace.sees(9, secs(60));
        assert_eq!(pace.longest(), (secs(6), secs(9)));
    }
}
