//! Both forms of a configuration change seen as one, and what a change does to joint consensus.
//!
//! raft's entry points take either form through [`ConfChangeI`] and work on [`ConfChangeV2`]. The
//! questions it asks of one (enter a joint configuration? leave it?) are answered here from the
//! change alone. Whether the change fits the current configuration is raft's to decide, not ours.

use std::borrow::Cow;

use crate::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2,
};

/// A configuration change in either form.
///
/// Every change has a [`ConfChangeV2`] form; only a [`ConfChange`] has the older one.
pub trait ConfChangeI {
    /// Turns the change into the newer form.
    fn into_v2(self) -> ConfChangeV2;

    /// The change in the newer form, borrowed if it already has it.
    fn as_v2(&self) -> Cow<'_, ConfChangeV2>;

    /// The change in the older form, if it was made in it.
    fn as_v1(&self) -> Option<&ConfChange>;
}

impl ConfChangeI for ConfChange {
    fn into_v2(self) -> ConfChangeV2 {
        // Both types are carried over as they are: an unknown one stays visible to `validate`.
        let single = ConfChangeSingle { change_type: self.change_type, node_id: self.node_id };
        ConfChangeV2 { changes: vec![single], context: self.context, ..Default::default() }
    }

    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Owned(self.clone().into_v2())
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        Some(self)
    }
}

impl ConfChangeI for ConfChangeV2 {
    fn into_v2(self) -> ConfChangeV2 {
        self
    }

    fn as_v2(&self) -> Cow<'_, ConfChangeV2> {
        Cow::Borrowed(self)
    }

    fn as_v1(&self) -> Option<&ConfChange> {
        None
    }
}

impl ConfChangeV2 {
    /// Whether the change needs a joint configuration: `None` if not, else whether the leader
    /// leaves it by itself.
    #[must_use]
    pub fn enter_joint(&self) -> Option<bool> {
        match self.transition() {
            ConfChangeTransition::Explicit => Some(false),
            ConfChangeTransition::Implicit => Some(true),
            // Some sets of changes would be safe one by one, but that depends on the current
            // configuration; only a single change is safe in all of them.
            ConfChangeTransition::Auto => (self.changes.len() > 1).then_some(true),
        }
    }

    /// Whether the change leaves a joint configuration: it names no member and no transition.
    #[must_use]
    pub fn leave_joint(&self) -> bool {
        self.transition() == ConfChangeTransition::Auto && self.changes.is_empty()
    }
}

/// The change of one member.
#[must_use]
pub fn new_conf_change_single(node_id: u64, change_type: ConfChangeType) -> ConfChangeSingle {
    ConfChangeSingle { change_type: change_type.into(), node_id }
}
