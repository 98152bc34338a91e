//! A member that is to begin anew: its process executes itself again.
//!
//! It keeps its process id, its arguments and whoever watches it, and nothing else: no thread, file
//! or lock of the life before is left to meddle with the next. How many lives there have been in a
//! row is handed on in the environment, so that a member which does not recover tries ever more
//! seldom.

use std::{
    ffi::OsString, io, os::unix::process::CommandExt as _, process::Command, time::Duration,
};

use super::Invocation;

/// Counts the lives after the first.
const COUNT: &str = "RESEED_LIVES";
/// Between two of them, at most.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Who has run so long may fail again without a pause.
const CALM: Duration = Duration::from_secs(600);

/// What this life knows of those before it.
#[derive(Debug)]
pub(crate) struct Again {
    count: u32,
    args: Vec<OsString>,
}

impl Again {
    pub(crate) fn of(invocation: &Invocation) -> Self {
        let count = invocation.env.get(COUNT).and_then(|count| count.parse().ok());
        Self { count: count.unwrap_or(0), args: invocation.given.clone() }
    }

    /// Whether nothing has gone wrong before.
    pub(crate) fn is_first(&self) -> bool {
        self.count == 0
    }

    /// How long to wait before this life begins: none for the second, then ever longer.
    pub(crate) fn pause(&self) -> Duration {
        let doubled = 1_u64 << self.count.saturating_sub(1).min(6);
        Duration::from_secs(doubled - 1).min(PAUSE_MAX)
    }

    /// Begins the next life after this one has lasted for `lasted`; returns only if it cannot.
    pub(crate) fn begin(&self, lasted: Duration) -> io::Error {
        let count = if lasted > CALM { 1 } else { self.count + 1 };
        // A file that has been replaced since is another version; the link still means this one.
        let named = std::env::current_exe().ok().filter(|program| program.exists());
        let program = named.unwrap_or_else(|| "/proc/self/exe".into());
        let mut args = self.args.iter();
        let mut command = Command::new(program);
        if let Some(called) = args.next() {
            command.arg0(called);
        }
        command.args(args).env(COUNT, count.to_string()).exec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute() {
        let pauses = (0..10).map(|count| Again { count, args: Vec::new() }.pause().as_secs());
        assert_eq!(pauses.collect::<Vec<_>>(), [0, 0, 1, 3, 7, 15, 31, 60, 60, 60]);
    }
}
