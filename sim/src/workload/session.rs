//! What locks and elections are made of, as in etcd's concurrency recipes: a lease that is kept
//! alive, a key under a prefix that hangs on it, and waiting until no older key is left.
//!
//! A client does one thing at a time, so the lease is renewed between other things, and what may
//! take long is asked with little patience. A session believes in its lease only until the time
//! it would have ended had the last successful renewal taken effect when it was sent.

use std::time::Duration;

use reseed_rt::clock::{self, Instant};

use super::{
    Answer, Client, Desk, say,
    watch::{Habits, Tail, Turn},
};
use crate::history::{
    Body, LockStep, Request, WatchSpec, WatchStep,
    request::{Range, Sort, SortBy, SortOrder, Txn},
};

/// The client's clock may run this much slower than the member's without it believing too long,
/// percent.
const MARGIN_PERCENT: u32 = 20;
/// How long a turn of a watch waits at most.
const TURN: Duration = Duration::from_millis(500);

/// A lease, and what is believed of it.
#[derive(Debug)]
pub(super) struct Session {
    /// Its lease.
    pub(super) lease: i64,
    ttl: Duration,
    renewed: Instant,
    believed_until: Instant,
}

/// A place in the queue for a lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The key that stands for it.
    pub(super) key: String,
    /// When it was created: who is before whom.
    pub(super) token: i64,
}

impl Session {
    /// A new session of `ttl_secs` seconds.
    pub(super) async fn begin(client: &mut Client, ttl_secs: i64) -> Option<Self> {
        let sent = Instant::now();
        let answer = client.ask(Request::Grant { id: 0, ttl: ttl_secs }).await;
        let Some(Body::Lease { id, ttl }) = answer.ok().map(|response| response.body) else {
            return None;
        };
        let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
        let believed_until = sent + believed(ttl);
        Some(Self { lease: id, ttl, renewed: sent, believed_until })
    }

    /// May the lease still be believed in?
    pub(super) fn is_believed(&self) -> bool {
        Instant::now() < self.believed_until
    }

    /// How long requests may take without costing the session its lease.
    pub(super) fn patience(&self) -> Duration {
        self.ttl / 3
    }

    /// Renews the lease if that is due.
    pub(super) async fn tend(&mut self, client: &mut Client) {
        if self.renewed.elapsed() < self.ttl / 4 {
            return;
        }
        let sent = Instant::now();
        self.renewed = sent;
        let renewal = Request::KeepAlive { id: self.lease };
        let answer = client.ask_within(renewal, self.patience()).await;
        match answer.ok().map(|response| response.body) {
            Some(Body::Lease { ttl: 1.., .. }) => self.believed_until = sent + believed(self.ttl),
            Some(_) => self.believed_until = sent,
            None => {}
        }
    }

    /// Does nothing but keep the session up for `lasting`, or until it is lost.
    pub(super) async fn pass(&mut self, client: &mut Client, lasting: Duration) {
        let end = Instant::now() + lasting;
        while Instant::now() < end && self.is_believed() {
            let rest = end - Instant::now();
            clock::sleep(rest.min(self.ttl / 5)).await;
            self.tend(client).await;
        }
    }

    /// Queues under `prefix`: a key of this session, unless it is there already.
    pub(super) async fn queue(
        &self,
        client: &mut Client,
        prefix: &str,
        value: String,
    ) -> Option<Place> {
        let key = format!("{prefix}{:x}", self.lease);
        let owner = || Range {
            limit: 1,
            sort: Sort { by: SortBy::Create, order: SortOrder::Ascend },
            ..say::list(prefix)
        };
        let put = crate::history::request::Put { lease: self.lease, ..say::put(&key, value) };
        let request = Txn {
            compare: vec![say::created_at(&key, 0)],
            then: vec![put.into(), owner().into()],
            otherwise: vec![say::get(&key).into(), owner().into()],
        };
        let response = client.ask_within(Request::Txn(request), self.patience()).await.ok()?;
        let token = match &response.body {
            Body::Txn { succeeded: true, .. } => response.revision,
            Body::Txn { steps, .. } => say::pairs(steps.first()?).first()?.version.create_revision,
            _ => return None,
        };
        Some(Place { key, token })
    }

    /// Waits until nobody is before `place`, then makes sure it is still there: the lease may have
    /// ended while waiting (etcd-io/etcd#11408). Gives up when the session is lost or after
    /// `limit`.
    pub(super) async fn wait_for_turn(
        &mut self,
        desk: &Desk,
        client: &mut Client,
        place: &Place,
        limit: Duration,
    ) -> bool {
        let prefix = place.key.rsplit_once('/').map_or("", |(prefix, _)| prefix);
        let prefix = format!("{prefix}/");
        let end = Instant::now() + limit;
        while Instant::now() < end && self.is_believed() && desk.board.is_loading() {
            self.tend(client).await;
            let before = Range {
                limit: 1,
                sort: Sort { by: SortBy::Create, order: SortOrder::Descend },
                max_create: place.token - 1,
                ..say::list(&prefix)
            };
            let Some(response) = client.ask_within(before.into(), self.patience()).await.ok()
            else {
                continue;
            };
            match say::pairs(&response.body).first() {
                Some(last) => {
                    let (key, from) = (last.key.clone(), response.revision + 1);
                    self.wait_for_deletion(desk, client, key, from, end).await;
                }
                None => return self.still_there(client, place).await,
            }
        }
        false
    }

    async fn still_there(&self, client: &mut Client, place: &Place) -> bool {
        let answer = client.ask_within(say::get(&place.key).into(), self.patience()).await;
        let Some(response) = answer.ok() else { return false };
        let same =
            |pair: &crate::history::request::Pair| pair.version.create_revision == place.token;
        say::pairs(&response.body).first().is_some_and(same) && self.is_believed()
    }

    /// Watches `key` until it is deleted, the session is lost, or `end`.
    async fn wait_for_deletion(
        &mut self,
        desk: &Desk,
        client: &mut Client,
        key: String,
        from: i64,
        end: Instant,
    ) {
        let (scribe, board) = (desk.scribe.clone(), desk.board.clone());
        let mut tail = Tail::new(scribe, board, desk.members, Habits::default());
        let id = tail.add(WatchSpec { key, start_revision: from, ..WatchSpec::default() });
        while Instant::now() < end && self.is_believed() && desk.board.is_loading() {
            match tail.turn(TURN.min(self.ttl / 5)).await {
                Turn::Step(_, WatchStep::Events { changes, .. })
                    if changes.iter().any(|change| change.now.is_none()) =>
                {
                    break;
                }
                Turn::Step(_, WatchStep::Canceled { .. }) => return,
                Turn::Step(..) | Turn::Idle | Turn::Broken => {}
            }
            self.tend(client).await;
        }
        tail.cancel(id);
    }

    /// Gives the place up: by its key, or with the whole lease.
    pub(super) async fn leave(self, client: &mut Client, place: &Place, with_lease: bool) {
        let request = if with_lease {
            Request::Revoke { id: self.lease }
        } else {
            Request::Txn(Txn {
                compare: vec![say::created_at(&place.key, place.token)],
                then: vec![say::delete(&place.key).into()],
                otherwise: vec![],
            })
        };
        client.ask(request).await;
    }

    /// Says that the lock is ours.
    pub(super) fn note_acquired(&self, desk: &Desk, lock: &str, place: &Place) {
        let (key, token, lease) = (place.key.clone(), place.token, self.lease);
        desk.scribe.note_lock(lock, LockStep::Acquired { key, token, lease });
    }
}

/// How long a lease of `ttl` is believed in.
fn believed(ttl: Duration) -> Duration {
    ttl * (100 - MARGIN_PERCENT) / 100
}

/// Was the guarded write refused because the place is gone?
pub(super) fn was_fenced_off(answer: &Answer) -> bool {
    let Answer::Ok(response) = answer else { return false };
    matches!(response.body, Body::Txn { succeeded: false, .. })
}
