//! Elections of the client crate's recipes: campaign, proclaim, observe, resign.

use std::time::Duration;

use futures::future;
use rand::RngExt;
use reseed_client::{Client as Library, recipe::Election};
use reseed_rt::clock;

use super::{
    Desk, ear,
    session::{self, Ending},
    values::Values,
};
use crate::history::LockStep;

/// The one election there is.
const ELECTION: &str = "elect/one";
/// How long a candidate waits before it gives up.
const CAMPAIGN_MAX: Duration = Duration::from_secs(25);
/// Between two proclamations, at most.
const TERM_STEP_MAX: Duration = Duration::from_millis(1500);
/// How long an observer waits for news before it looks whether the load is over.
const QUIET_MAX: Duration = Duration::from_millis(500);
/// After an error, an observer waits before it goes on.
const PAUSE: Duration = Duration::from_millis(200);

/// Campaigns and leads, and observes meanwhile, until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let Some(library) = ear::heard_library(&desk) else { return };
    let (observing, mut values) = (observe(desk.clone(), library.clone()), desk.values());
    let standing = async {
        while desk.board.is_loading() {
            once(&mut desk, &library, &mut values).await;
            desk.think().await;
        }
    };
    future::join(standing, observing).await;
}

/// Follows who leads; what it is told must not go back.
async fn observe(desk: Desk, library: Library) {
    let mut observation = Election::observe(&library, ELECTION);
    let mut told = (0, 0);
    while desk.board.is_loading() {
        let leader = match clock::timeout(QUIET_MAX, observation.next()).await {
            Ok(Ok(leader)) => leader,
            Ok(Err(_)) => {
                clock::sleep(PAUSE).await;
                continue;
            }
            Err(_) => continue,
        };
        let now = (leader.token, leader.revision);
        if now <= told {
            let client = desk.scribe.client();
            let story = format!("client {client} is told of leader {now:?} after {told:?}");
            desk.board.complain("lock.observer", story);
        }
        told = now;
    }
}

async fn once(desk: &mut Desk, library: &Library, values: &mut Values) {
    let Some(session) = session::begin(desk, library).await else { return };
    let mut election = Election::new(&session, ELECTION);
    let value = values.tag();
    let campaign = election.campaign(&value);
    if let Some(Ok(token)) = session::patiently(desk, CAMPAIGN_MAX, campaign).await {
        session::note_acquired(desk, ELECTION, election.key(), (token, session.lease()));
        for _ in 0..desk.rng.random_range(1..5) {
            // What is not known to be said may be said later; the next word is another one.
            drop(election.proclaim(&values.tag()).await);
            if election.key().is_none() || !session.is_alive() {
                break;
            }
            session::pass(&session, TERM_STEP_MAX.mul_f64(desk.rng.random())).await;
        }
        if election.key().is_none() || !session.is_alive() {
            return desk.scribe.note_lock(ELECTION, LockStep::Lost);
        }
        desk.scribe.note_lock(ELECTION, LockStep::Released);
    }
    match session::ending(desk) {
        // What does not work is left to the lease.
        Ending::Leave => drop(election.resign().await),
        Ending::End => drop(session.end().await),
        Ending::Vanish => {}
    }
}
