//! What clients do to the store, over real gRPC, and how they write it down.
//!
//! `kv` sends requests that touch one key each, `watch` watches everything, `audit` looks at what
//! is left when all is quiet. They speak through generated stubs and not through our client crate,
//! because what that one retries or hides is not the server's doing.

mod audit;
mod kv;
mod translate;
mod watch;

use std::time::Duration;

use reseed_rt::net::{ChannelOptions, channel};
use tonic::transport::Channel;

pub use audit::audit;
pub use kv::KvClient;
pub use watch::watch_all;

use crate::{
    kv_history::{Event, Recorder, What},
    world::Room,
};

/// Where the member listens.
pub const ENDPOINT: &str = "member:2379";
/// How long a client waits for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(7);
/// Responses may hold the whole history.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// A new connection to the member, made when it is first used.
fn connection() -> Channel {
    let connect_timeout = Duration::from_secs(2);
    channel(ENDPOINT, ChannelOptions { connect_timeout, ..ChannelOptions::default() })
}

/// Writes down what one client does.
#[derive(Clone)]
pub struct Scribe {
    recorder: Recorder,
    room: Room,
    client: u32,
}

impl Scribe {
    /// For client number `client` of the running simulation.
    #[must_use]
    pub fn new(recorder: Recorder, client: u32) -> Self {
        Self { recorder, room: Room::current(), client }
    }

    /// Records an event, now, in the history and in the fingerprint.
    fn note(&self, what: What) {
        let at = u64::try_from(self.room.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let event = Event { at, client: self.client, what };
        let text = serde_json::to_vec(&event).unwrap_or_default();
        self.room.trace("history", &[&text]);
        self.recorder.record(event);
    }
}
