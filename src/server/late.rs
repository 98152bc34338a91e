//! Why the answer to a proposal did not come in time, in etcd's words (`parseProposeCtxErr`).
//!
//! All of them say that nobody knows what became of the proposal; the reason helps operators, and
//! the texts are in every etcd client's table.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reseed_core::error::Error;
use reseed_rt::clock::Instant;

use crate::state::State;

/// Which members this one is connected to, and for how long.
pub(crate) type Connected = Box<dyn Fn() -> BTreeMap<u64, Duration> + Send + Sync>;

/// Knows why.
pub(crate) struct Late {
    pub(crate) state: Arc<State>,
    pub(crate) connected: Connected,
}

impl Late {
    /// Why what was proposed at `began` has no answer by now.
    pub(crate) fn why(&self, began: Instant) -> Error {
        let State { member_id, ref progress, ref config, .. } = *self.state;
        let voters: Vec<u64> =
            self.state.machine.read().members.voters().map(|member| member.id).collect();
        let view = View {
            me: member_id,
            leader: progress.leader(),
            led_for: progress.led_for(),
            connected: (self.connected)(),
            voters: &voters,
        };
        view.why(began.elapsed(), config.election_timeout)
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Late")
    }
}

/// What a member sees.
struct View<'a> {
    me: u64,
    leader: u64,
    /// How long the last known leader has been known; `None`: there was none.
    led_for: Option<Duration>,
    connected: BTreeMap<u64, Duration>,
    voters: &'a [u64],
}

impl View<'_> {
    fn why(&self, waited: Duration, election_timeout: Duration) -> Error {
        // Proposed while the leader before this one was about to be missed.
        let is_between = |led_for| waited > led_for && waited < led_for + election_timeout * 2;
        if self.led_for.is_some_and(is_between) {
            return Error::TimeoutDueToLeaderFail;
        }
        let was_connected =
            |id: &u64| *id == self.me || self.connected.get(id).is_some_and(|up| *up >= waited);
        let reached = if self.leader == self.me {
            self.voters.iter().filter(|id| was_connected(id)).count() > self.voters.len() / 2
        } else {
            self.leader == 0 || was_connected(&self.leader)
        };
        if reached { Error::Timeout } else { Error::TimeoutDueToConnectionLost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELECTION: Duration = Duration::from_secs(1);
    const WAITED: Duration = Duration::from_secs(7);

    fn why(leader: u64, led_secs: u64, connected: &[(u64, u64)]) -> Error {
        let connected = connected.iter().map(|(id, secs)| (*id, Duration::from_secs(*secs)));
        let view = View {
            me: 1,
            leader,
            led_for: Some(Duration::from_secs(led_secs)),
            connected: connected.collect(),
            voters: &[1, 2, 3],
        };
        view.why(WAITED, ELECTION)
    }

    #[test]
    fn a_change_of_leader_meanwhile_is_the_reason_if_there_was_one() {
        assert_eq!(why(2, 6, &[(2, 60)]), Error::TimeoutDueToLeaderFail);
        assert_eq!(why(0, 6, &[]), Error::TimeoutDueToLeaderFail);
        assert_eq!(why(2, 5, &[(2, 60)]), Error::Timeout, "long after the old one was missed");
        assert_eq!(why(2, 8, &[(2, 60)]), Error::Timeout);
    }

    #[test]
    fn who_was_not_connected_all_the_time_says_so() {
        assert_eq!(why(2, 60, &[(2, 6)]), Error::TimeoutDueToConnectionLost);
        assert_eq!(why(2, 60, &[(2, 7)]), Error::Timeout);
        assert_eq!(why(0, 60, &[]), Error::Timeout, "nobody leads");
        assert_eq!(why(1, 60, &[(2, 6), (3, 6)]), Error::TimeoutDueToConnectionLost);
        assert_eq!(why(1, 60, &[(2, 6), (3, 7)]), Error::Timeout, "a quorum was there");
    }
}
