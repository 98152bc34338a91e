//! What clients do to the store, over real gRPC, and how they write it down.
//!
//! A file per role, each with its choices (pure, from a random stream and what it knows) and the
//! loop that carries them out until the load is over. They share:
//!
//! - [`Scribe`]: writes the history; [`Board`]: what the run tells its machines;
//! - [`Client`]: one connection, any request of the history, and what its failure means;
//! - `translate`: between the history's words and the wire's; `say`: requests in few words;
//! - `watch`: streams of watches; `values`: values nobody else writes, keys by skew.
//!
//! Clients speak through generated stubs and not through our client crate, because what that one
//! retries or hides is not the server's doing; [`Role::Library`], [`Role::Lock`] and
//! [`Role::Election`] are there to test it too, the latter two with an `ear` at its requests.
//! Nothing here knows the simulator: time, chance and sockets come from `rt`, and a [`Scene`] tells
//! the true time.

mod append;
mod audit;
mod bank;
mod board;
mod client;
pub mod coverage;
mod ear;
mod election;
mod explorer;
mod keeper;
mod kubernetes;
mod lease;
mod library;
mod lock;
mod maintenance;
mod operator;
mod past_reader;
mod quota;
mod reader;
mod refusal;
mod register;
mod say;
mod scribe;
mod session;
mod translate;
mod values;
mod watch;
mod watcher;
pub mod witness;

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use reseed_rt::clock;

pub use audit::Auditor;
pub use board::Board;
pub use client::{Answer, Client, endpoint, member_name, peer_url};
pub use operator::Operator;
pub use scribe::{Scene, Scribe};

use self::{
    keeper::Keeper,
    lease::Leases,
    maintenance::Maintenance,
    past_reader::PastReader,
    reader::Reader,
    register::Register,
    values::{Keys, Values},
};
use crate::{
    history::{Request, Response},
    plan::{Load, Role},
};

/// How long one that asks everywhere waits for an answer, at least and at most.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(800));

/// All that a client's machine is given.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Writes down what it does.
    pub scribe: Scribe,
    /// Where the run tells it when to stop.
    pub board: Board,
    /// Its chance.
    pub rng: ChaCha8Rng,
    /// What all clients share.
    pub load: Arc<Load>,
    /// Members of the cluster.
    pub members: u32,
}

impl Desk {
    fn client(&self) -> Client {
        Client::new(self.scribe.clone(), self.members, self.load.answer_max)
    }

    fn values(&self) -> Values {
        Values::new(self.scribe.client(), self.load.value_bytes_max)
    }

    fn keys(&self, prefix: &'static str) -> Keys {
        Keys::new(prefix, self.load.keys, self.load.key_skew_percent)
    }

    /// Pauses between two requests.
    async fn think(&mut self) {
        clock::sleep(self.load.think_max.mul_f64(self.rng.random())).await;
    }
}

/// A role that asks one thing after the other.
trait Part {
    /// What to ask next.
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Request;
    /// Learns from an answer.
    fn learn(&mut self, request: &Request, response: &Response);
}

/// Plays `role` until the load is over; watchers go on until the run is.
pub async fn play(role: Role, desk: Desk) {
    match role {
        Role::Register => {
            let part = Register::new(&desk);
            ask_on_and_on(desk, part).await;
        }
        Role::Lease => {
            let part = Leases::new(&desk);
            ask_on_and_on(desk, part).await;
        }
        Role::Maintenance => {
            let part = Maintenance::new(&desk);
            ask_on_and_on(desk, part).await;
        }
        Role::PastReader => ask_on_and_on(desk, PastReader::new()).await,
        Role::Reader => {
            let part = Reader::new(&desk);
            ask_everywhere(desk, part).await;
        }
        Role::Keeper => ask_everywhere(desk, Keeper::default()).await,
        Role::Append => append::run(desk).await,
        Role::Bank => bank::run(desk).await,
        Role::Kubernetes => kubernetes::run(desk).await,
        Role::Watcher => watcher::run(desk, false).await,
        Role::SlowWatcher => watcher::run(desk, true).await,
        Role::Lock => lock::run(desk).await,
        Role::Election => election::run(desk).await,
        Role::Quota => quota::run(desk).await,
        Role::Explorer => explorer::run(desk).await,
        Role::Library => library::run(desk).await,
    }
}

/// Does a role go on after the load, until the run ends?
#[must_use]
pub fn goes_on(role: Role) -> bool {
    matches!(role, Role::Watcher | Role::SlowWatcher | Role::Kubernetes)
}

async fn ask_on_and_on(mut desk: Desk, mut part: impl Part) {
    let mut client = desk.client();
    while desk.board.is_loading() {
        let request = part.choose(&mut desk.rng);
        if let Answer::Ok(response) = client.ask(request.clone()).await {
            part.learn(&request, &response);
        }
        desk.think().await;
    }
}

/// Asks one member after the other, and waits for none of them for long.
///
/// A client that writes to a member without a quorum, or waits long for one that stands still, asks
/// nothing more. One that soon asks another has a question at each member at any time, which is
/// when a deposed leader could lie.
async fn ask_everywhere(mut desk: Desk, mut part: impl Part) {
    let mut client = desk.client();
    while desk.board.is_loading() {
        let request = part.choose(&mut desk.rng);
        let (least, most) = PATIENCE;
        let patience = least + (most - least).mul_f64(desk.rng.random());
        // Where nobody answers in time it goes elsewhere by itself.
        if let Some(response) = client.ask_within(request.clone(), patience).await.ok() {
            part.learn(&request, &response);
            if desk.rng.random_ratio(1, 8) {
                client.go_elsewhere();
            }
        }
        desk.think().await;
    }
}
