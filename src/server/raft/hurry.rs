//! A follower's clock runs faster while nobody listens where its leader was.
//!
//! A process that dies takes its sockets with it: its peers are told at once, and whoever connects
//! is refused. Waiting a whole election timeout for its heartbeats would be waiting for nothing, so
//! ticks come faster until this member campaigns. Election timeouts stay random, only shorter, and
//! pre-vote asks a majority first: where others still hear the leader, nothing happens.

use std::time::Duration;

use reseed_rt::clock::Instant;

/// Ticks of a hurried clock per tick: an election timeout of one second becomes 100 ms.
const TIMES: u32 = 10;

/// The faster clock, if it runs.
#[derive(Debug, Default)]
pub(crate) struct Hurry {
    gone: u64,
    next: Option<Instant>,
}

impl Hurry {
    /// Nobody listens where member `id` did, and it leads as far as this one knows.
    pub(crate) fn begin(&mut self, id: u64, tick: Duration, now: Instant) {
        self.gone = id;
        self.next = self.next.or(Some(now + tick / TIMES));
    }

    /// When the next tick is due; never again as soon as `leader` is another, or nobody.
    pub(crate) fn due(&mut self, leader: u64) -> Option<Instant> {
        self.next = self.next.filter(|_| leader == self.gone);
        self.next
    }

    /// A tick has passed.
    pub(crate) fn tick(&mut self, tick: Duration, now: Instant) {
        self.next = self.next.map(|_| now + tick / TIMES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_until_the_leader_is_another() {
        let (tick, now) = (Duration::from_millis(100), Instant::now());
        let mut hurry = Hurry::default();
        assert_eq!(hurry.due(7), None);
        hurry.begin(7, tick, now);
        hurry.begin(7, tick, now + tick);
        let first = now + tick / TIMES;
        assert_eq!(hurry.due(7), Some(first), "told again is not later");
        hurry.tick(tick, first);
        assert_eq!(hurry.due(7), Some(first + tick / TIMES));
        assert_eq!(hurry.due(0), None, "it campaigns");
        assert_eq!(hurry.due(7), None, "the leader is back");
    }
}
