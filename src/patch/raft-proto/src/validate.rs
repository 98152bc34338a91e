//! What is refused of a message from the network before raft sees it.
//!
//! raft trusts its input: an enum value it does not know is read as the zero value, and some
//! messages that decode make it panic or index out of bounds. A peer of a newer version, or one
//! with a fault, must not stop this member, so each such message becomes an [`InvalidMessage`]:
//!
//! | message | what raft would do |
//! |---|---|
//! | unknown `msg_type` | read it as `MsgHup`: campaign, if it is stepped past `RawNode` |
//! | unknown `entry_type` | hand it out as a normal entry |
//! | unknown type in a configuration change | add a voter |
//! | undecodable configuration change | append it; every member fails to apply it |
//! | `MsgPropose` without entries | panic |
//! | `MsgReadIndex`, `MsgReadIndexResp` without their one entry | index out of bounds, or drop |
//! | `MsgAppend` with a gap between entries | corrupt the log, then panic |
//!
//! It deliberately checks only what one message shows. A commit index beyond the receiver's log
//! still panics in raft: that is a member that lost its disk, and stopping is right.

use std::fmt;

use crate::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry,
    EntryType, Message, MessageType,
};

/// Why a message must not reach raft.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// An enum field has a value this version does not know.
    UnknownEnum {
        /// The name of the field.
        field: &'static str,
        /// Its value.
        value: i32,
    },
    /// The message has too few or too many entries for its type.
    EntryCount {
        /// The type of the message.
        msg_type: MessageType,
        /// How many entries it has.
        count: usize,
    },
    /// An entry does not follow the one before it.
    EntryGap {
        /// The index it should have.
        expected: u64,
        /// The index it has.
        found: u64,
    },
    /// The data of an entry is not the configuration change its type says.
    ConfChange(prost::DecodeError),
}

impl Message {
    /// Checks everything a receiver must know before it steps raft with the message.
    ///
    /// # Errors
    ///
    /// The first thing found that raft would misread or panic on; see [`InvalidMessage`].
    pub fn validate(&self) -> Result<(), InvalidMessage> {
        let msg_type: MessageType = known("msg_type", self.msg_type)?;
        for entry in &self.entries {
            entry.validate()?;
        }
        let count = self.entries.len();
        match msg_type {
            MessageType::MsgPropose if count == 0 => {
                Err(InvalidMessage::EntryCount { msg_type, count })
            }
            MessageType::MsgReadIndex | MessageType::MsgReadIndexResp if count != 1 => {
                Err(InvalidMessage::EntryCount { msg_type, count })
            }
            MessageType::MsgAppend => self.validate_indexes(),
            _ => Ok(()),
        }
    }

    fn validate_indexes(&self) -> Result<(), InvalidMessage> {
        let mut previous = self.index;
        for entry in &self.entries {
            let expected = previous.saturating_add(1);
            // At the very end of the index space the next index does not exist.
            if entry.index != expected || expected == previous {
                return Err(InvalidMessage::EntryGap { expected, found: entry.index });
            }
            previous = expected;
        }
        Ok(())
    }
}

impl Entry {
    /// Checks the type, and for a configuration change also the data.
    ///
    /// # Errors
    ///
    /// [`InvalidMessage::UnknownEnum`] or [`InvalidMessage::ConfChange`].
    pub fn validate(&self) -> Result<(), InvalidMessage> {
        match known("entry_type", self.entry_type)? {
            EntryType::EntryNormal => Ok(()),
            EntryType::EntryConfChange => decode::<ConfChange>(&self.data)?.validate(),
            EntryType::EntryConfChangeV2 => decode::<ConfChangeV2>(&self.data)?.validate(),
        }
    }
}

impl ConfChange {
    /// Checks the type of the change.
    ///
    /// # Errors
    ///
    /// [`InvalidMessage::UnknownEnum`].
    pub fn validate(&self) -> Result<(), InvalidMessage> {
        known::<ConfChangeType>("change_type", self.change_type).map(drop)
    }
}

impl ConfChangeV2 {
    /// Checks the transition and the type of each change.
    ///
    /// # Errors
    ///
    /// [`InvalidMessage::UnknownEnum`].
    pub fn validate(&self) -> Result<(), InvalidMessage> {
        known::<ConfChangeTransition>("transition", self.transition)?;
        self.changes.iter().try_for_each(ConfChangeSingle::validate)
    }
}

impl ConfChangeSingle {
    fn validate(&self) -> Result<(), InvalidMessage> {
        known::<ConfChangeType>("change_type", self.change_type).map(drop)
    }
}

fn known<E: TryFrom<i32>>(field: &'static str, value: i32) -> Result<E, InvalidMessage> {
    E::try_from(value).map_err(|_| InvalidMessage::UnknownEnum { field, value })
}

fn decode<M: prost::Message + Default>(data: &[u8]) -> Result<M, InvalidMessage> {
    M::decode(data).map_err(InvalidMessage::ConfChange)
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEnum { field, value } => {
                write!(formatter, "unknown value {value} of {field}")
            }
            Self::EntryCount { msg_type, count } => {
                write!(formatter, "{msg_type:?} with {count} entries")
            }
            Self::EntryGap { expected, found } => {
                write!(formatter, "entry {found} where {expected} should be")
            }
            Self::ConfChange(_) => formatter.write_str("undecodable configuration change"),
        }
    }
}

impl std::error::Error for InvalidMessage {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ConfChange(error) => Some(error),
            Self::UnknownEnum { .. } | Self::EntryCount { .. } | Self::EntryGap { .. } => None,
        }
    }
}
