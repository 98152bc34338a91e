//! A machine's processor: how long a task waits for its turn, and a crash at a turn.
//!
//! A healthy machine's tasks never wait; polls are free. A slow one has one processor on which
//! each poll takes its time: a poll books the next free slot and waits for it, so a busy program
//! falls behind as it would, and an idle one does not notice. Pure: `now` is an argument.

use std::time::Duration;

use super::{
    net::Crash,
    tally::{Tally, Token},
};

/// One machine's processor.
#[derive(Clone, Default, Debug)]
pub struct Processor {
    slow: Option<(Duration, Token)>,
    free_at: Duration,
    crash: Option<(u64, Crash, Token)>,
}

/// What a task hears that asks for its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It runs after so long.
    After(Duration),
    /// The machine goes down at this poll.
    Crashes(Crash),
}

impl Processor {
    /// The machine goes down at the `n`-th poll from now, counted from 0.
    pub fn crash_after(&mut self, n: u64, how: Crash, token: Token) {
        self.crash = Some((n, how, token));
    }

    /// Each poll takes `each` from now on; `None` ends that.
    pub fn set_slow(&mut self, slow: Option<(Duration, Token)>) {
        self.slow = slow;
    }

    /// The machine was reset: nobody waits any more, and an armed crash is over.
    pub fn reset(&mut self) {
        self.free_at = Duration::ZERO;
        self.crash = None;
    }

    /// Need polls be asked for at all?
    #[must_use]
    pub fn is_troubled(&self) -> bool {
        self.slow.is_some() || self.crash.is_some()
    }

    /// A task is about to be polled.
    pub fn turn(&mut self, now: Duration, tally: &mut Tally) -> Turn {
        match &mut self.crash {
            Some((0, how, token)) => {
                let how = *how;
                tally.bite(*token);
                self.crash = None;
                return Turn::Crashes(how);
            }
            Some((n, ..)) => *n -= 1,
            None => {}
        }
        let Some((each, token)) = self.slow else { return Turn::After(Duration::ZERO) };
        let start = self.free_at.max(now);
        self.free_at = start + each;
        if start > now {
            tally.bite(token);
        }
        Turn::After(start - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn polls_of_a_slow_machine_queue_up_and_those_of_a_healthy_one_do_not() {
        let (mut processor, mut tally) = (Processor::default(), Tally::default());
        assert_eq!(processor.turn(MS, &mut tally), Turn::After(Duration::ZERO));
        let token = tally.arm("slow_cpu");
        processor.set_slow(Some((2 * MS, token)));
        let turns: Vec<_> = (0..3).map(|_| processor.turn(MS, &mut tally)).collect();
        assert_eq!(turns, [0, 2, 4].map(|n| Turn::After(n * MS)));
        assert_eq!(tally.counts()["slow_cpu"], 1, "a fault that made somebody wait");
        assert_eq!(processor.turn(100 * MS, &mut tally), Turn::After(Duration::ZERO), "idle");
        processor.set_slow(None);
        assert_eq!(processor.turn(100 * MS, &mut tally), Turn::After(Duration::ZERO));
        assert!(!processor.is_troubled());
    }

    #[test]
    fn the_power_fails_at_the_poll_that_was_named_and_once() {
        let (mut processor, mut tally) = (Processor::default(), Tally::default());
        let token = tally.arm("power_at_await");
        processor.crash_after(2, Crash::Power, token);
        let turns: Vec<_> = (0..4).map(|_| processor.turn(MS, &mut tally)).collect();
        let run = Turn::After(Duration::ZERO);
        assert_eq!(turns, [run, run, Turn::Crashes(Crash::Power), run]);
        assert_eq!(tally.counts()["power_at_await"], 1);
        let token = tally.arm("power_at_await");
        processor.crash_after(0, Crash::Power, token);
        processor.reset();
        assert_eq!(processor.turn(MS, &mut tally), run, "the machine went down before it came");
    }
}
