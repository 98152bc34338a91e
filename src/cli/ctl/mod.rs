//! `reseed ctl`: etcdctl's commands over our own client.
//!
//! Here: connecting, running a command, and turning what went wrong into etcdctl's words and exit
//! codes. Reading the command line is `args`, printing is `print`, each family of commands has a
//! file. Absent until their services are: users and roles, locks, elections.

mod args;
mod endpoint;
mod kv;
mod lease;
mod member;
mod print;
mod snapshot;
mod text;
mod txn;
mod watch;

use std::{io::Write as _, time::Duration};

use reseed_client::{Client, ClientOptions};
use reseed_proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, CompactionRequest, alarm_request::AlarmAction,
};

use self::{
    args::{AlarmVerb, EndpointVerb, Global, Parsed, SnapshotVerb, Verb},
    print::{Answer, Format, Style},
};
use super::Invocation;

/// Pings more often than this make an etcd server hang up; etcdctl's own library raises its
/// default of 2 s to this.
const KEEPALIVE_TIME_MIN: Duration = Duration::from_secs(10);

/// What went wrong: the text after `Error: `, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CtlError {
    /// Empty if everything has been said already.
    pub(super) text: String,
    pub(super) exit_code: u8,
}

impl CtlError {
    fn new(exit_code: u8, text: impl Into<String>) -> Self {
        Self { text: text.into(), exit_code }
    }

    /// Anything not below.
    fn general(text: impl Into<String>) -> Self {
        Self::new(1, text)
    }

    fn bad_connection(text: impl Into<String>) -> Self {
        Self::new(2, text)
    }

    /// Bad input other than arguments.
    fn invalid_input(text: impl Into<String>) -> Self {
        Self::new(3, text)
    }

    fn bad_feature(text: impl Into<String>) -> Self {
        Self::new(4, text)
    }

    fn interrupted(text: impl Into<String>) -> Self {
        Self::new(5, text)
    }

    fn io(text: impl Into<String>) -> Self {
        Self::new(6, text)
    }

    fn bad_args(text: impl Into<String>) -> Self {
        Self::new(128, text)
    }
}

impl From<reseed_client::Error> for CtlError {
    fn from(error: reseed_client::Error) -> Self {
        Self::general(error.to_string())
    }
}

/// Where answers go, and the cluster they come from.
struct Session {
    client: Client,
    global: Global,
    style: Style,
}

/// Runs one command; returns the exit code.
pub(super) fn run(invocation: &Invocation) -> u8 {
    let outcome = args::parse(&invocation.args, &invocation.env).and_then(|parsed| match parsed {
        Parsed::Print(text) => write_out(text),
        Parsed::Run(cli) => super::block_on(async {
            match cli.command {
                Verb::Version => write_out(version()),
                verb => carry_out(cli.global, verb, invocation).await,
            }
        }),
    });
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            if !error.text.is_empty() {
                warn(format!("Error: {}", error.text));
            }
            error.exit_code
        }
    }
}

async fn carry_out(global: Global, verb: Verb, invocation: &Invocation) -> Result<(), CtlError> {
    let style = Style { format: global.format()?, is_hex: global.hex, is_value_only: false };
    let client = connect(&global, &global.endpoints)?;
    let session = Session { client, global, style };
    match verb {
        Verb::Put(args) => kv::put(&session, &args).await,
        Verb::Get(args) => kv::get(&session, &args).await,
        Verb::Del(args) => kv::del(&session, &args).await,
        Verb::Txn { interactive } => txn::run(&session, interactive).await,
        Verb::Watch(args) => watch::run(&session, args, &invocation.env).await,
        Verb::Compaction { args, physical } => compact(&session, &args, physical).await,
        Verb::Lease(verb) => lease::run(&session, verb).await,
        Verb::Member(verb) => member::run(&session, verb).await,
        Verb::Endpoint(EndpointVerb::Health { cluster }) => {
            endpoint::health(&session, cluster).await
        }
        Verb::Endpoint(EndpointVerb::Status { cluster }) => {
            endpoint::status(&session, cluster).await
        }
        Verb::Endpoint(EndpointVerb::Hashkv { cluster, rev }) => {
            endpoint::hash_kv(&session, cluster, rev).await
        }
        Verb::Snapshot(SnapshotVerb::Save { args }) => snapshot::save(&session, &args).await,
        Verb::Alarm(AlarmVerb::List) => alarm_list(&session).await,
        Verb::Alarm(AlarmVerb::Disarm) => alarm_disarm(&session).await,
        Verb::Defrag { cluster } => endpoint::defragment(&session, cluster).await,
        Verb::MoveLeader { args } => endpoint::move_leader(&session, &args).await,
        Verb::Version => unreachable!("needs no session"),
    }
}

fn version() -> String {
    let etcd = reseed_core::ETCD_VERSION;
    let api = etcd.rsplit_once('.').map_or(etcd, |(api, _)| api);
    format!("etcdctl version: {etcd}\nAPI version: {api}\n")
}

fn connect(global: &Global, endpoints: &[String]) -> Result<Client, CtlError> {
    let options = ClientOptions {
        dial_timeout: global.dial_timeout,
        request_timeout: Some(global.command_timeout),
        keepalive_interval: Some(global.keepalive_time.max(KEEPALIVE_TIME_MIN)),
        keepalive_timeout: global.keepalive_timeout,
        ..ClientOptions::new(endpoints)
    };
    Client::connect(options).map_err(|error| CtlError::bad_args(error.to_string()))
}

impl Session {
    fn show(&self, answer: &Answer) -> Result<(), CtlError> {
        self.show_as(answer, self.style)
    }

    fn show_as(&self, answer: &Answer, style: Style) -> Result<(), CtlError> {
        write_out(answer.render(style)?)
    }

    fn is_simple(&self) -> bool {
        self.style.format == Format::Simple
    }
}

/// Writes to standard output; a reader that has gone away ends the command.
fn write_out(text: impl AsRef<[u8]>) -> Result<(), CtlError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref())
        .and_then(|()| out.flush())
        .map_err(|error| CtlError::io(error.to_string()))
}

/// A line on standard error.
fn warn(text: String) {
    super::complain(&(text + "\n"));
}

/// A lease as it is written on the command line, in hexadecimal.
fn lease_id(text: &str, what: &str) -> Result<i64, CtlError> {
    text::parse_int(text, 16)
        .map_err(|why| CtlError::bad_args(format!("bad {what} ({why}), expecting ID in Hex")))
}

async fn compact(session: &Session, args: &[String], physical: bool) -> Result<(), CtlError> {
    let [revision] = args else {
        return Err(CtlError::bad_args("compaction command needs 1 argument"));
    };
    let revision = text::parse_int(revision, 10).map_err(CtlError::general)?;
    session.client.compact(CompactionRequest { revision, physical }).await?;
    write_out(format!("compacted revision {revision}\n"))
}

async fn alarm_list(session: &Session) -> Result<(), CtlError> {
    let response = session.client.alarm(AlarmRequest::default()).await?;
    session.show(&Answer::Alarms(response))
}

/// Clears each alarm there is, one by one, and tells which.
async fn alarm_disarm(session: &Session) -> Result<(), CtlError> {
    let raised = session.client.alarm(AlarmRequest::default()).await?;
    let mut cleared = AlarmResponse { header: raised.header, alarms: Vec::new() };
    for alarm in raised.alarms {
        let request = AlarmRequest {
            action: AlarmAction::Deactivate.into(),
            member_id: alarm.member_id,
            alarm: alarm.alarm,
        };
        let response = session.client.alarm(request).await?;
        cleared.header = response.header;
        cleared.alarms.extend(response.alarms);
    }
    session.show(&Answer::Alarms(cleared))
}

#[cfg(test)]
mod tests;
