//! Locks of the client crate's recipes, with writes that are fenced by the lock's key.

use std::time::Duration;

use rand::{RngExt, seq::IndexedRandom};
use reseed_client::{
    Client as Library, Put, Txn,
    recipe::{Mutex, Session},
};

use super::{
    Desk, ear,
    session::{self, Ending},
    values::Values,
};
use crate::history::LockStep;

/// Locks in use.
const LOCKS: u32 = 2;
/// How long a client queues before it gives up, one of these.
const QUEUE_MAX: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(20)];
/// How long a lock is held at most, from write to write.
const HOLD_MAX: Duration = Duration::from_millis(2500);

/// Takes locks and gives them back until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let Some(library) = ear::heard_library(&desk) else { return };
    let mut values = desk.values();
    while desk.board.is_loading() {
        once(&mut desk, &library, &mut values).await;
        desk.think().await;
    }
}

async fn once(desk: &mut Desk, library: &Library, values: &mut Values) {
    let lock = format!("lock/{}", desk.rng.random_range(0..LOCKS));
    let Some(session) = session::begin(desk, library).await else { return };
    let mut mutex = Mutex::new(&session, &lock);
    // Who gives up leaves the middle of the queue: nobody behind may take that for its turn.
    let patience = *QUEUE_MAX.choose(&mut desk.rng).expect("there are some");
    if let Some(Ok(token)) = session::patiently(desk, patience, mutex.lock()).await {
        session::note_acquired(desk, &lock, mutex.key(), (token, session.lease()));
        hold(desk, &session, &mutex, values).await;
        if !session.is_alive() {
            return desk.scribe.note_lock(&lock, LockStep::Lost);
        }
        // Said before it is done: whoever gets it next may be faster than the answer.
        desk.scribe.note_lock(&lock, LockStep::Released);
    }
    match session::ending(desk) {
        // What does not work is left to the lease.
        Ending::Leave => drop(mutex.unlock().await),
        Ending::End => drop(session.end().await),
        Ending::Vanish => {}
    }
}

/// Works under the lock: writes that only its holder may make.
async fn hold(desk: &mut Desk, session: &Session, mutex: &Mutex, values: &mut Values) {
    for _ in 0..desk.rng.random_range(1..4) {
        let put = Put::new("guarded/by-lock", values.tag());
        let fenced = Txn::new().when(mutex.fence()).then([put]);
        let patient = session.client().with_timeout(session::patience(session));
        let answer = patient.txn(fenced).await;
        let was_fenced_off = answer.is_ok_and(|answer| !answer.succeeded);
        if was_fenced_off || !session.is_alive() {
            return;
        }
        session::pass(session, HOLD_MAX.mul_f64(desk.rng.random())).await;
    }
}
