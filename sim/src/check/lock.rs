//! Locks and elections made of leases and transactions: what they can promise, and no more.
//!
//! Nobody can know that it holds a lock: its lease may have ended while it looked. What is promised
//! is fencing: the holder's token is its key's create revision, and whoever comes later has a
//! greater one. So a holder may believe only when every key of the lock older than its own may be
//! gone; two may believe at the same time only if the first one's lease can have ended.

use std::collections::BTreeMap;

use super::{
    lease::Against,
    ops::{LockAt, Outcome},
    told::Told,
};
use crate::history::{Body, LockStep, Request};

/// A time in which a client believes.
struct Belief<'a> {
    client: u32,
    key: &'a str,
    token: i64,
    lease: i64,
    from: u64,
    to: u64,
}

/// By lease: until when it certainly lives, and from when on somebody wanted it revoked.
type Spans = BTreeMap<i64, (u64, u64)>;

/// Checks every lock.
pub(super) fn check(against: &Against<'_, '_>, told: &mut Told) {
    let spans = spans(against);
    for (lock, beliefs) in beliefs(&against.parts.locks) {
        for (index, one) in beliefs.iter().enumerate() {
            justified(against, lock, one, told);
            for other in &beliefs[..index] {
                exclusive(&spans, lock, (other, one), told);
            }
        }
    }
}

/// Who believed what, by lock, in the order of time.
fn beliefs<'a>(steps: &[LockAt<'a>]) -> BTreeMap<&'a str, Vec<Belief<'a>>> {
    let mut all: BTreeMap<&str, Vec<Belief<'_>>> = BTreeMap::new();
    for step in steps {
        let beliefs = all.entry(step.lock).or_default();
        if let Some(open) = beliefs.iter_mut().rfind(|one| one.client == step.client) {
            open.to = open.to.min(step.at);
        }
        if let LockStep::Acquired { key, token, lease } = step.step {
            let (client, from, to) = (step.client, step.at, u64::MAX);
            beliefs.push(Belief { client, key, token: *token, lease: *lease, from, to });
        }
    }
    all
}

/// Every older key of the lock can be gone when somebody believes.
fn justified(against: &Against<'_, '_>, lock: &str, one: &Belief<'_>, told: &mut Told) {
    let timeline = against.timeline;
    let Some((folder, _)) = one.key.rsplit_once('/') else { return };
    let revision = against.bounds.possibly(one.from).min(timeline.last());
    if timeline.unknown_from().is_some() {
        return;
    }
    let born = timeline.at(one.token).iter().find(|fact| fact.key == one.key);
    if born.and_then(|fact| fact.now).is_none_or(|now| now.create_revision != one.token) {
        told.tell("lock.token", &[], || {
            format!("{lock}: {} was not created at {}", one.key, one.token)
        });
    }
    let from = against.bounds.surely(one.from);
    for fact in timeline.facts().iter().take_while(|fact| fact.revision < one.token) {
        let is_rival = fact.key != one.key
            && fact.key.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        if !is_rival {
            continue;
        }
        // Gone at any revision that may have been the current one will do.
        let stays = |at: i64| {
            timeline.state(fact.key, at).is_some_and(|live| live.create_revision < one.token)
        };
        if stays(revision) && stays(from) {
            told.tell("lock.order", &[], || {
                let (client, token, key) = (one.client, one.token, fact.key);
                format!("{lock}: client {client} believes with token {token}, {key} is before it")
            });
            return;
        }
    }
}

/// Two believe at once only if the first one's lease can have ended; tokens grow.
fn exclusive(
    spans: &Spans,
    lock: &str,
    (first, second): (&Belief<'_>, &Belief<'_>),
    told: &mut Told,
) {
    let (begin, end) = (second.from, first.to.min(second.to));
    let overlap = first.client != second.client && begin < end;
    let tell = |told: &mut Told, class: &'static str| {
        told.tell(class, &[], || {
            format!(
                "{lock}: client {} believes with token {} from {begin} ns, client {} with {} \
                 until {} ns",
                second.client, second.token, first.client, first.token, first.to
            )
        });
    };
    if !lives(spans, second.lease, begin) {
        return;
    }
    if overlap && lives(spans, first.lease, begin) {
        tell(told, "lock.overlap");
    } else if second.token < first.token {
        tell(told, "lock.token");
    }
}

/// Until when leases certainly live, and when somebody first asked to revoke them.
fn spans(against: &Against<'_, '_>) -> Spans {
    let mut spans = Spans::new();
    for op in against.parts.special() {
        match (op.request, op.outcome) {
            (Request::Revoke { .. }, Outcome::Fail(_)) => {}
            (Request::Revoke { id }, _) => {
                let span = spans.entry(*id).or_insert((0, u64::MAX));
                span.1 = span.1.min(op.invoked);
            }
            (Request::Grant { .. } | Request::KeepAlive { .. }, Outcome::Ok(response)) => {
                let Body::Lease { id, ttl } = response.body else { continue };
                if ttl > 0 {
                    let span = spans.entry(id).or_insert((0, u64::MAX));
                    span.0 = span.0.max(op.invoked.saturating_add(against.shortest(ttl)));
                }
            }
            _ => {}
        }
    }
    spans
}

fn lives(spans: &Spans, lease: i64, at: u64) -> bool {
    spans.get(&lease).is_some_and(|(until, revoked)| at < *until && at < *revoked)
}
