//! Answers on paper: one value, four formats.
//!
//! A command hands over an [`Answer`]; what it looks like is decided here alone. `simple` is for
//! people, `fields` and `json` for scripts, `table` for the few answers that are lists of members
//! or endpoints. The formats are etcdctl 3.7's, letter by letter, including what is odd in them.

mod fields;
mod json;
mod simple;
mod table;

use std::time::Duration;

use clap::ValueEnum;
use reseed_proto::{
    etcdserverpb::{
        AlarmResponse, DeleteRangeResponse, HashKvResponse, LeaseGrantResponse,
        LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeResponse, LeaseTimeToLiveResponse,
        Member, MemberListResponse, MoveLeaderResponse, PutResponse, RangeResponse, ResponseHeader,
        StatusResponse, TxnResponse,
    },
    mvccpb::Event,
};

use super::{CtlError, text};

/// What can be printed.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Put(PutResponse),
    Get(RangeResponse),
    Delete(DeleteRangeResponse),
    Txn(TxnResponse),
    Watch(WatchAnswer),
    Grant(LeaseGrantResponse),
    Revoke(i64, LeaseRevokeResponse),
    KeepAlive(LeaseKeepAliveResponse),
    TimeToLive { response: LeaseTimeToLiveResponse, with_keys: bool },
    Leases(LeaseLeasesResponse),
    Members(MemberListResponse),
    Changed(Changed),
    Health(Vec<Health>),
    Status(Vec<(String, StatusResponse)>),
    HashKv(Vec<(String, HashKvResponse)>),
    Alarms(AlarmResponse),
    MoveLeader { from: u64, to: u64, response: MoveLeaderResponse },
}

/// A batch of events, or the end of a watch.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchAnswer {
    pub(super) header: ResponseHeader,
    pub(super) events: Vec<Event>,
    pub(super) compact_revision: i64,
    pub(super) is_canceled: bool,
}

/// A change of the membership.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    /// Such as `removed from`.
    pub(super) what: &'static str,
    /// Whom it is about.
    pub(super) id: u64,
    pub(super) header: Option<ResponseHeader>,
    /// The new member, if it is one.
    pub(super) added: Option<Member>,
    /// The members afterwards.
    pub(super) members: Vec<Member>,
}

/// How one endpoint is.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) endpoint: String,
    pub(super) took: Duration,
    /// Why it is not healthy.
    pub(super) error: Option<String>,
}

/// `--write-out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Simple,
    Json,
    Fields,
    Table,
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) format: Format,
    /// Keys and values as `\xNN` (simple), ids in hex (json).
    pub(super) is_hex: bool,
    /// Values without keys (simple).
    pub(super) is_value_only: bool,
}

impl Answer {
    /// The answer as it is printed, each line ended.
    ///
    /// # Errors
    /// This answer has no such format.
    pub(super) fn render(&self, style: Style) -> Result<Vec<u8>, CtlError> {
        match style.format {
            Format::Simple => Ok(simple::render(self, style)),
            Format::Json => Ok((json::render(self, style.is_hex) + "\n").into_bytes()),
            Format::Fields if matches!(self, Self::Changed(_)) => {
                Err(CtlError::bad_feature("fields not supported as output format"))
            }
            Format::Fields => Ok(fields::render(self).into_bytes()),
            Format::Table => table::of(self)
                .map(|table| table.render().into_bytes())
                .ok_or_else(|| CtlError::bad_feature("table not supported as output format")),
        }
    }
}

/// `NOSPACE` or `CORRUPT`; other numbers as they are.
fn alarm_name(alarm: i32) -> String {
    match reseed_proto::etcdserverpb::AlarmType::try_from(alarm) {
        Ok(alarm) => alarm.as_str_name().to_owned(),
        Err(_) => alarm.to_string(),
    }
}

/// `PUT` or `DELETE`.
fn event_name(event: &Event) -> &'static str {
    event.r#type().as_str_name()
}

fn is_started(member: &Member) -> &'static str {
    if member.name.is_empty() { "unstarted" } else { "started" }
}

#[cfg(test)]
mod tests;
