//! Building and comparing configurations.
//!
//! raft keeps members in sets and writes them out as lists, so two lists of one configuration may
//! differ in order. Nothing here checks that a configuration is sensible; raft does on restore.

use std::collections::BTreeSet;

use crate::eraftpb::ConfState;

/// Voters and learners, in the order given: `ConfState::from((vec![1, 2, 3], vec![]))`.
impl<Voters, Learners> From<(Voters, Learners)> for ConfState
where
    Voters: IntoIterator<Item = u64>,
    Learners: IntoIterator<Item = u64>,
{
    fn from((voters, learners): (Voters, Learners)) -> Self {
        Self {
            voters: voters.into_iter().collect(),
            learners: learners.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// Whether both describe the same configuration: the same members in each role, in any order.
#[must_use]
pub fn conf_state_eq(left: &ConfState, right: &ConfState) -> bool {
    left.auto_leave == right.auto_leave
        && members_eq(&left.voters, &right.voters)
        && members_eq(&left.learners, &right.learners)
        && members_eq(&left.voters_outgoing, &right.voters_outgoing)
        && members_eq(&left.learners_next, &right.learners_next)
}

fn members_eq(left: &[u64], right: &[u64]) -> bool {
    left == right || BTreeSet::from_iter(left) == BTreeSet::from_iter(right)
}
