//! Alarms: NOSPACE and CORRUPT, raised and cleared by entries of the log, never by a member alone.
//!
//! An alarm belongs to a member, but while any member has one the whole cluster obeys: all members
//! refuse the same requests at apply, so their states stay equal. What each alarm forbids is
//! decided in [`machine`](crate::machine). Nothing here looks at a disk or compares a hash.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::AlarmType;
use reseed_proto::etcdserverpb::alarm_request::AlarmAction;

use crate::error::Error;
use crate::id::MemberId;
use crate::port::{Batch, Read, Table};

/// The active alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    // Ordered as etcd lists them: by type, then by member.
    active: BTreeSet<(i32, MemberId)>,
}

impl Alarms {
    /// Whether any member has raised `alarm`.
    pub fn is_active(&self, alarm: AlarmType) -> bool {
        self.active.iter().any(|(kind, _)| *kind == alarm as i32)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// All alarms, by type, then by member.
    pub fn list(&self) -> Vec<pb::AlarmMember> {
        self.active.iter().map(message).collect()
    }

    /// Carries out an alarm request; returns the alarms it is about, and whether one changed.
    ///
    /// As in etcd: a list is narrowed by type alone, raising type NONE or an unknown one does
    /// nothing, and clearing needs the exact member.
    pub(crate) fn apply(
        &mut self,
        request: &pb::AlarmRequest,
        batch: &mut Batch,
    ) -> (Vec<pb::AlarmMember>, bool) {
        let entry = (request.alarm, MemberId(request.member_id));
        match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => (self.list_of(request.alarm), false),
            Ok(AlarmAction::Activate) if is_alarm(request.alarm) => {
                let new = self.active.insert(entry);
                if new {
                    batch.put(Table::Alarm, key(&entry), Bytes::new());
                }
                (alloc::vec![message(&entry)], new)
            }
            Ok(AlarmAction::Deactivate) if self.active.remove(&entry) => {
                if !planted::on(Bug::DisarmedAlarmReturns) {
                    batch.delete(Table::Alarm, key(&entry));
                }
                (alloc::vec![message(&entry)], true)
            }
            Ok(AlarmAction::Activate | AlarmAction::Deactivate) | Err(_) => (Vec::new(), false),
        }
    }

    /// Reads the active alarms.
    ///
    /// # Errors
    /// The backend cannot be read, or holds something that is no alarm.
    pub(crate) fn restore(read: &dyn Read) -> Result<Self, Error> {
        let mut alarms = Self::default();
        let mut damage = None;
        read.scan(Table::Alarm, &[], None, &mut |key, _| {
            match parse(key) {
                Some(_) if planted::on(Bug::AlarmNotRestored) => {}
                Some(entry) => _ = alarms.active.insert(entry),
                None => damage = Some(Error::Broken(alloc::format!("alarm record {key:02x?}"))),
            }
            damage.is_none()
        })?;
        damage.map_or(Ok(alarms), Err)
    }

    fn list_of(&self, alarm: i32) -> Vec<pb::AlarmMember> {
        let wanted = |kind: i32| alarm == AlarmType::None as i32 || kind == alarm;
        self.active.iter().filter(|(kind, _)| wanted(*kind)).map(message).collect()
    }
}

fn is_alarm(alarm: i32) -> bool {
    alarm == AlarmType::Nospace as i32 || alarm == AlarmType::Corrupt as i32
}

fn message((alarm, member): &(i32, MemberId)) -> pb::AlarmMember {
    pb::AlarmMember { member_id: member.0, alarm: *alarm }
}

fn key((alarm, member): &(i32, MemberId)) -> Bytes {
    let mut key = [0; 9];
    key[..8].copy_from_slice(&member.to_key());
    key[8] = u8::try_from(*alarm).expect("only known alarms are raised");
    Bytes::copy_from_slice(&key)
}

fn parse(key: &[u8]) -> Option<(i32, MemberId)> {
    let (member, alarm) = key.split_first_chunk::<8>()?;
    let [alarm] = alarm else { return None };
    is_alarm((*alarm).into()).then(|| ((*alarm).into(), MemberId(u64::from_be_bytes(*member))))
}
