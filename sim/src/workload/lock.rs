//! Locks made of leases and transactions, with writes that are fenced by the lock's key.

use std::time::Duration;

use rand::RngExt;

use super::{
    Client, Desk, say,
    session::{Place, Session, was_fenced_off},
    values::Values,
};
use crate::history::{LockStep, Request, request::Txn};

/// Locks in use.
const LOCKS: u32 = 2;
/// How long a client queues before it gives up.
const QUEUE_MAX: Duration = Duration::from_secs(20);
/// How long a lock is held at most.
const HOLD_MAX: Duration = Duration::from_millis(2500);

/// Takes locks and gives them back until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let (mut client, mut values) = (desk.client(), desk.values());
    while desk.board.is_loading() {
        once(&mut desk, &mut client, &mut values).await;
        desk.think().await;
    }
}

async fn once(desk: &mut Desk, client: &mut Client, values: &mut Values) {
    let lock = format!("lock/{}", desk.rng.random_range(0..LOCKS));
    let ttl_secs = desk.rng.random_range(2..=desk.load.lease_ttl_secs_max.max(2));
    let ttl_secs = i64::try_from(ttl_secs).unwrap_or(i64::MAX);
    let Some(mut session) = Session::begin(client, ttl_secs).await else { return };
    let queued = session.queue(client, &format!("{lock}/"), values.tag()).await;
    let Some(place) = queued else { return };
    if !session.wait_for_turn(desk, client, &place, QUEUE_MAX).await {
        return session.leave(client, &place, desk.rng.random()).await;
    }
    session.note_acquired(desk, &lock, &place);
    hold(desk, client, &mut session, &place, values).await;
    if !session.is_believed() {
        return desk.scribe.note_lock(&lock, LockStep::Lost);
    }
    // Said before it is done: whoever gets it next may be faster than the answer.
    desk.scribe.note_lock(&lock, LockStep::Released);
    session.leave(client, &place, desk.rng.random()).await;
}

/// Works under the lock: writes that only its holder may make.
async fn hold(
    desk: &mut Desk,
    client: &mut Client,
    session: &mut Session,
    place: &Place,
    values: &mut Values,
) {
    for _ in 0..desk.rng.random_range(1..4) {
        let fenced = Txn {
            compare: vec![say::created_at(&place.key, place.token)],
            then: vec![say::put("guarded/by-lock", values.tag()).into()],
            otherwise: vec![],
        };
        let answer = client.ask_within(Request::Txn(fenced), session.patience()).await;
        if was_fenced_off(&answer) || !session.is_believed() {
            return;
        }
        session.pass(client, HOLD_MAX.mul_f64(desk.rng.random())).await;
    }
}
