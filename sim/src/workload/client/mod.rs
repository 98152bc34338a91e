//! One client: asks one thing at a time, writes it down, and knows what a failure means.
//!
//! It retries nothing. After a silence the connection is not worth keeping, since its other end
//! may have lost power, which nobody hears; the next request goes over a new one, to the next
//! member if there are several.

mod renewals;
mod send;

use std::time::Duration;

use reseed_rt::{
    clock,
    net::{ChannelOptions, channel},
};
use tonic::{Status, transport::Channel};

use self::renewals::Renewals;
use super::{Board, Scribe, quota, refusal, say, translate};
use crate::history::{Request, Response, What, request::Delete};

/// Answers may hold the whole history.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Between a connection that could not be made and the next attempt.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a member listens.
#[must_use]
pub fn endpoint(member: u32) -> String {
    format!("{}:2379", member_name(member))
}

/// What a member's machine is called.
#[must_use]
pub fn member_name(member: u32) -> String {
    format!("member-{member}")
}

/// Where a member is reached by the others.
#[must_use]
pub fn peer_url(member: u32, port: u16) -> String {
    format!("http://{}:{port}", member_name(member))
}

/// A new connection, made when it is first used.
pub(super) fn connection(member: u32, options: ChannelOptions) -> Channel {
    channel(&endpoint(member), options)
}

/// How clients connect.
pub(super) fn options() -> ChannelOptions {
    ChannelOptions { connect_timeout: Duration::from_secs(2), ..ChannelOptions::default() }
}

/// What became of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It was answered.
    Ok(Response),
    /// It was refused with this text, or never sent, and had no effect.
    Fail(String),
    /// Nobody knows; what the client saw.
    Unknown(String),
}

impl Answer {
    /// The answer, if there is one.
    #[must_use]
    pub fn ok(self) -> Option<Response> {
        match self {
            Self::Ok(response) => Some(response),
            Self::Fail(_) | Self::Unknown(_) => None,
        }
    }
}

/// A client with its connection.
#[derive(Debug)]
pub struct Client {
    scribe: Scribe,
    members: u32,
    member: u32,
    answer_max: Duration,
    channel: Channel,
    renewals: Option<Renewals>,
}

impl Client {
    /// A client of `members` members that waits `answer_max` for an answer.
    #[must_use]
    pub fn new(scribe: Scribe, members: u32, answer_max: Duration) -> Self {
        let members = members.max(1);
        let member = scribe.client() % members;
        let channel = connection(member, options());
        Self { scribe, members, member, answer_max, channel, renewals: None }
    }

    /// The same, beginning with this member.
    #[must_use]
    pub fn at(self, member: u32) -> Self {
        Self { member, channel: connection(member, options()), ..self }
    }

    /// Writes down what this client does.
    #[must_use]
    pub fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    /// The member it asks.
    #[must_use]
    pub fn member(&self) -> u32 {
        self.member
    }

    /// Asks, and waits for the answer as long as this client waits.
    pub async fn ask(&mut self, request: Request) -> Answer {
        self.ask_within(request, self.answer_max).await
    }

    /// Asks, and waits for the answer for `limit` at most.
    pub async fn ask_within(&mut self, request: Request, limit: Duration) -> Answer {
        let op = self.scribe.next_op();
        let member = self.member;
        self.scribe.note(What::Invoke { op, member, request: request.clone() });
        let outcome = clock::timeout(limit, self.send(&request)).await;
        let (what, answer) = match outcome {
            Ok(Ok(response)) => (What::Ok { op, response: response.clone() }, Answer::Ok(response)),
            Ok(Err(status)) => self.failed(op, &request, &status).await,
            Err(elapsed) => {
                self.go_elsewhere();
                let error = elapsed.to_string();
                if refusal::has_no_effect(&request) {
                    (What::Fail { op, error: error.clone() }, Answer::Fail(error))
                } else {
                    (What::Unknown { op, error: error.clone() }, Answer::Unknown(error))
                }
            }
        };
        self.scribe.note(what);
        answer
    }

    /// Makes room at the member it asks: deletes what fillers wrote, or `all` keys, forgets what
    /// was before, makes the file small, and ends the alarms.
    pub async fn make_room(&mut self, board: &Board, all: bool) {
        let of_fillers = say::list(quota::FILLED);
        let (key, end) = match all {
            true => (translate::EVERYTHING.0.to_owned(), translate::EVERYTHING.1.to_owned()),
            false => (of_fillers.key, of_fillers.end),
        };
        quota::make_room(self, board, Delete { key, end, prev_kv: false }, true).await;
    }

    /// Ends all alarms, should there be any.
    pub async fn lift_alarms(&mut self) {
        quota::lift_alarms(self).await;
    }

    async fn failed(&mut self, op: u64, request: &Request, status: &Status) -> (What, Answer) {
        let error = status.message().to_owned();
        match refusal::meaning(request, status) {
            refusal::Meaning::Refused => {
                (What::Fail { op, error: error.clone() }, Answer::Fail(error))
            }
            refusal::Meaning::Unsent => {
                clock::sleep(PAUSE).await;
                self.go_elsewhere();
                (What::Fail { op, error: error.clone() }, Answer::Fail(error))
            }
            refusal::Meaning::Unknown => {
                self.renewals = None;
                let error = format!("{:?}: {error}", status.code());
                (What::Unknown { op, error: error.clone() }, Answer::Unknown(error))
            }
        }
    }

    /// Gives up the connection, and asks the next member from now on.
    pub(super) fn go_elsewhere(&mut self) {
        self.member = (self.member + 1) % self.members;
        self.channel = connection(self.member, options());
        self.renewals = None;
    }
}
