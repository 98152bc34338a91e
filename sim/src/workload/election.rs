//! Elections: campaign, proclaim, observe, resign.

use std::time::Duration;

use rand::RngExt;

use super::{
    Client, Desk, say,
    session::{Place, Session, was_fenced_off},
    values::Values,
};
use crate::history::{
    LockStep, Request,
    request::{Range, Sort, SortBy, SortOrder, Txn},
};

/// The one election there is.
const ELECTION: &str = "elect/one";
/// How long a candidate waits before it gives up.
const CAMPAIGN_MAX: Duration = Duration::from_secs(25);
/// Between two proclamations, at most.
const TERM_STEP_MAX: Duration = Duration::from_millis(1500);

/// Campaigns, leads and observes until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let (mut client, mut values) = (desk.client(), desk.values());
    while desk.board.is_loading() {
        if desk.rng.random_ratio(1, 3) {
            client.ask(leader().into()).await;
        } else {
            campaign(&mut desk, &mut client, &mut values).await;
        }
        desk.think().await;
    }
}

/// Who leads: the oldest candidate.
fn leader() -> Range {
    Range {
        limit: 1,
        sort: Sort { by: SortBy::Create, order: SortOrder::Ascend },
        ..say::list(&format!("{ELECTION}/"))
    }
}

async fn campaign(desk: &mut Desk, client: &mut Client, values: &mut Values) {
    let ttl_secs = desk.rng.random_range(2..=desk.load.lease_ttl_secs_max.max(2));
    let ttl_secs = i64::try_from(ttl_secs).unwrap_or(i64::MAX);
    let Some(mut session) = Session::begin(client, ttl_secs).await else { return };
    let queued = session.queue(client, &format!("{ELECTION}/"), values.tag()).await;
    let Some(place) = queued else { return };
    if !session.wait_for_turn(desk, client, &place, CAMPAIGN_MAX).await {
        return session.leave(client, &place, desk.rng.random()).await;
    }
    session.note_acquired(desk, ELECTION, &place);
    let mut deposed = false;
    for _ in 0..desk.rng.random_range(1..5) {
        let answer =
            client.ask_within(proclaim(&session, &place, values), session.patience()).await;
        deposed = was_fenced_off(&answer);
        if deposed || !session.is_believed() {
            break;
        }
        session.pass(client, TERM_STEP_MAX.mul_f64(desk.rng.random())).await;
    }
    if deposed || !session.is_believed() {
        return desk.scribe.note_lock(ELECTION, LockStep::Lost);
    }
    desk.scribe.note_lock(ELECTION, LockStep::Released);
    session.leave(client, &place, false).await;
}

/// A new value of the leader's key, as long as it leads.
fn proclaim(session: &Session, place: &Place, values: &mut Values) -> Request {
    let put =
        crate::history::request::Put { lease: session.lease, ..say::put(&place.key, values.tag()) };
    Request::Txn(Txn {
        compare: vec![say::created_at(&place.key, place.token)],
        then: vec![put.into()],
        otherwise: vec![],
    })
}
