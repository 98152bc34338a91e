//! What clients do with sessions of the client crate, whether for a lock or an election.

use std::time::Duration;

use rand::RngExt;
use reseed_client::{
    Client as Library,
    recipe::{Session, SessionOptions},
};
use reseed_rt::clock::{self, Instant};

use super::{Board, Desk};
use crate::history::LockStep;

/// Clients' clocks may run this much slower than members' without their believing too long.
const MARGIN_PERCENT: u32 = 20;
/// How often a client looks whether the load is over.
const LOOK: Duration = Duration::from_millis(300);

/// How a client parts with its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// It gives it back.
    Leave,
    /// It revokes its lease.
    End,
    /// It forgets about it, and the lease runs out.
    Vanish,
}

/// How to part with a place.
pub(super) fn ending(desk: &mut Desk) -> Ending {
    match desk.rng.random_range(0..8) {
        0 => Ending::Vanish,
        1..4 => Ending::End,
        _ => Ending::Leave,
    }
}

/// A new session of some seconds.
pub(super) async fn begin(desk: &mut Desk, library: &Library) -> Option<Session> {
    let ttl_secs = desk.rng.random_range(2..=desk.load.lease_ttl_secs_max.max(2));
    let ttl_secs = i64::try_from(ttl_secs).unwrap_or(i64::MAX);
    let clock_margin_percent = MARGIN_PERCENT;
    let options = SessionOptions { ttl_secs, clock_margin_percent, ..SessionOptions::default() };
    Session::begin(library, options).await.ok()
}

/// What `work` gives, unless it takes too long or the load is over.
pub(super) async fn patiently<T>(
    desk: &Desk,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock::sleep(limit) => None,
        () = load_is_over(&desk.board) => None,
    }
}

async fn load_is_over(board: &Board) {
    while board.is_loading() {
        clock::sleep(LOOK).await;
    }
}

/// How long a write may take under a lock.
pub(super) fn patience(session: &Session) -> Option<Duration> {
    let until = session.until()?;
    Some(until.saturating_duration_since(Instant::now()).max(LOOK))
}

/// Does nothing for `lasting`, or until the session is lost.
pub(super) async fn pass(session: &Session, lasting: Duration) {
    // Which of the two it was is seen by whoever looks next.
    let _over = clock::timeout(lasting, session.lost()).await;
}

/// Says that the lock is ours.
pub(super) fn note_acquired(
    desk: &Desk,
    lock: &str,
    key: Option<&str>,
    (token, lease): (i64, i64),
) {
    let key = key.unwrap_or_default().to_owned();
    desk.scribe.note_lock(lock, LockStep::Acquired { key, token, lease });
}
