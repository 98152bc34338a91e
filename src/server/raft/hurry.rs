//! A follower's clock runs faster while nobody listens where its leader was.
//!
//! A process that dies takes its sockets with it: its peers are told at once, and whoever connects
//! is refused. Waiting a whole election timeout for its heartbeats would be waiting for nothing, so
//! ticks come faster until somebody leads. Election timeouts stay random, only shorter, and
//! pre-vote asks a majority first: where others still hear the leader, nothing happens. After a few
//! attempts, which may be too short for a slow network, the clock goes at its usual pace again.

use std::time::Duration;

use reseed_rt::clock::Instant;

/// Ticks of a hurried clock per tick: an election timeout of one second becomes 100 ms.
const TIMES: u32 = 10;
/// Election timeouts, of ticks that come faster, after which it is given up.
const ELECTIONS: u32 = 4;

/// The faster clock, if it runs.
#[derive(Debug, Default)]
pub(crate) struct Hurry {
    gone: u64,
    next: Option<Instant>,
    ticks_left: u32,
}

impl Hurry {
    /// Nobody listens where member `id` did, and it leads as far as this one knows.
    pub(crate) fn begin(&mut self, id: u64, (tick, election_ticks): (Duration, u32), now: Instant) {
        if self.next.is_none() {
            *self = Self {
                gone: id,
                next: Some(now + tick / TIMES),
                ticks_left: election_ticks * ELECTIONS,
            };
        }
    }

    /// When the next tick is due; never again as soon as `leader` is another member.
    pub(crate) fn due(&mut self, leader: u64) -> Option<Instant> {
        let searches = self.ticks_left > 0 && (leader == 0 || leader == self.gone);
        self.next = self.next.filter(|_| searches);
        self.next
    }

    /// A tick has passed.
    pub(crate) fn tick(&mut self, tick: Duration, now: Instant) {
        self.ticks_left = self.ticks_left.saturating_sub(1);
        self.next = self.next.map(|_| now + tick / TIMES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_until_another_leads() {
        let (tick, now) = (Duration::from_millis(100), Instant::now());
        let mut hurry = Hurry::default();
        assert_eq!(hurry.due(7), None);
        hurry.begin(7, (tick, 10), now);
        hurry.begin(7, (tick, 10), now + tick);
        let first = now + tick / TIMES;
        assert_eq!(hurry.due(7), Some(first), "told again is not later");
        hurry.tick(tick, first);
        assert_eq!(hurry.due(0), Some(first + tick / TIMES), "it campaigns");
        assert_eq!((hurry.due(8), hurry.due(0)), (None, None), "another leads");
    }

    #[test]
    fn it_does_not_run_for_ever() {
        let (tick, now) = (Duration::from_millis(100), Instant::now());
        let mut hurry = Hurry::default();
        hurry.begin(7, (tick, 2), now);
        let ticks = (0..100).take_while(|_| {
            hurry.due(7).is_some_and(|due| {
                hurry.tick(tick, due);
                true
            })
        });
        assert_eq!(ticks.count(), 8);
    }
}
