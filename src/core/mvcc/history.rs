//! The past as events, for watchers that start behind: a walk over the records in order.
//!
//! Records are the events: a put's holds the whole pair, a tombstone's the key. From the compact
//! revision on nothing is missing. Which watcher wants which event is not decided here.

use alloc::vec::Vec;

use reseed_planted::{self as planted, Bug};
use reseed_proto::mvccpb::event::EventType;
use reseed_proto::mvccpb::{Event, KeyValue};

use super::{Store, broken, record, revision};
use crate::error::Error;
use crate::id::Revision;
use crate::port::{Read, Table};

/// How much history to read at once. A revision is never split, so one may exceed the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Revisions.
    pub revisions_max: usize,
    /// Bytes of records after which no further revision is begun.
    pub bytes_max: usize,
}

/// All events of one revision.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionEvents {
    /// The main revision.
    pub revision: i64,
    /// In the order they happened; `prev_kv` is never set.
    pub events: Vec<Event>,
}

impl Store {
    /// The events from revision `from` on, oldest first, whole revisions only. Fewer revisions
    /// than allowed and fewer bytes mean that there are no more.
    ///
    /// # Errors
    /// `Compacted` if `from` lies before the compact revision; the backend cannot be read.
    pub fn history(
        &self,
        read: &dyn Read,
        from: i64,
        limits: HistoryLimits,
    ) -> Result<Vec<RevisionEvents>, Error> {
        if from < self.compaction.scheduled {
            return Err(Error::Compacted);
        }
        events_between(read, Span { from, to: self.revision }, limits)
    }
}

/// Revisions from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: i64,
    /// The last.
    pub to: i64,
}

/// The events in `span`, without the machine's lock: ask for the compact revision *after* taking
/// the view `read`; if it is beyond `span.from`, something may be missing.
///
/// # Errors
/// The backend cannot be read or holds what is no record.
pub fn events_between(
    read: &dyn Read,
    span: Span,
    limits: HistoryLimits,
) -> Result<Vec<RevisionEvents>, Error> {
    let from = revision::encode(Revision::new(span.from.max(0), 0));
    let to = revision::encode(Revision::new(span.to.saturating_add(1), 0));
    let mut found: Vec<RevisionEvents> = Vec::new();
    let mut bytes = 0_usize;
    let mut damage = None;
    read.scan(Table::Key, &from, Some(&to), &mut |key, value| {
        let Some((revision, event)) = event(key, value) else {
            damage = Some(broken(format_args!("record at {key:02x?} is no pair")));
            return false;
        };
        let cuts = planted::on(Bug::HistoryCutsRevision) && bytes >= limits.bytes_max;
        if cuts || found.last().is_none_or(|last| last.revision != revision) {
            if found.len() >= limits.revisions_max || bytes >= limits.bytes_max {
                return false;
            }
            found.push(RevisionEvents { revision, events: Vec::new() });
        }
        found.last_mut().expect("just pushed").events.push(event);
        bytes = bytes.saturating_add(value.len());
        true
    })?;
    damage.map_or(Ok(found), Err)
}

fn event(key: &[u8], value: &bytes::Bytes) -> Option<(i64, Event)> {
    let change = revision::decode(key)?;
    let kv = record::decode(value)?;
    let (kind, kv) = if change.is_tombstone {
        let bare = KeyValue { key: kv.key, mod_revision: change.at.main, ..KeyValue::default() };
        (EventType::Delete, bare)
    } else {
        (EventType::Put, kv)
    };
    Some((change.at.main, Event { r#type: kind as i32, kv: Some(kv), prev_kv: None }))
}
