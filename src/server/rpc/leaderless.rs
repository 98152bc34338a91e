//! Streams of clients that require a leader end when there has been none for long.
//!
//! A client says `hasleader: true` because it would rather go to another member than wait at one
//! that hears nothing any more. One task looks for all of them, as in etcd (`monitorLeader`).

use std::sync::Arc;

use parking_lot::Mutex;
use reseed_rt::clock;
use reseed_rt::task::Stop;

use crate::state::State;

/// A leader that is missed at so many looks in a row, an election timeout apart, is missed for
/// long; etcd's.
const LOOKS_MAX: u32 = 3;

/// Tells streams when they have no leader.
#[derive(Debug, Default)]
pub(crate) struct Leaderless {
    now: Mutex<Stop>,
}

impl Leaderless {
    /// Cancelled when there has been no leader for long, from now on.
    pub(super) fn token(&self) -> Stop {
        self.now.lock().clone()
    }

    /// Looks until `stop`.
    pub(crate) async fn run(self: Arc<Self>, state: Arc<State>, stop: Stop) {
        let mut looks = clock::interval(state.config.election_timeout);
        let mut missed = 0;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            self.look(state.progress.leader() != 0, &mut missed);
        }
    }

    fn look(&self, has_leader: bool, missed: &mut u32) {
        *missed = if has_leader { 0 } else { *missed + 1 };
        if *missed == LOOKS_MAX {
            // Who comes later is refused at once while there is no leader.
            std::mem::take(&mut *self.now.lock()).cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_looks_in_a_row_without_a_leader_end_what_runs() {
        let leaderless = Leaderless::default();
        let (early, mut missed) = (leaderless.token(), 0);
        let mut look = |has_leader| {
            leaderless.look(has_leader, &mut missed);
            early.is_cancelled()
        };
        assert!(![false, false, true, false, false].into_iter().any(&mut look));
        assert!(look(false));
        assert!(!leaderless.token().is_cancelled(), "one that begins later");
    }
}
