//! The keys of leases: which they are, and that they go.

use std::collections::{BTreeMap, BTreeSet};

use super::{Against, life::Lives};
use crate::{
    check::{
        model::Live,
        ops::Op,
        timeline::{Cause, Timeline},
        told::Told,
    },
    history::{Body, Request},
};

/// Every key that ever hung on a lease.
type Attached<'a> = BTreeMap<i64, BTreeSet<&'a str>>;

/// Checks attachments against the timeline.
pub(super) fn check(against: &Against<'_, '_>, lives: &Lives, told: &mut Told) {
    if against.timeline.unknown_from().is_some() {
        return;
    }
    let mut attached = Attached::new();
    for fact in against.timeline.facts() {
        if let Some(Live { lease, .. }) = fact.now.filter(|now| now.lease != 0) {
            attached.entry(lease).or_default().insert(fact.key);
        }
    }
    granted(against, lives, told);
    after_death(against, lives, told);
    for (id, keys) in &attached {
        if let Some(life) = lives.by_id.get(id).filter(|life| life.grants == 1) {
            for (op, at) in &life.revoked {
                left_over(against, (*id, *op, *at), keys, told);
            }
        }
    }
    for op in against.parts.special() {
        if against.case.rules.members == 1 {
            answered(against, op, &attached, told);
        }
    }
}

/// A key hangs only on what somebody granted.
fn granted(against: &Against<'_, '_>, lives: &Lives, told: &mut Told) {
    for fact in against.timeline.facts() {
        let Some(Live { lease, .. }) = fact.now.filter(|now| now.lease != 0) else { continue };
        let is_granted = lives.by_id.get(&lease).is_some_and(|life| life.grants > 0);
        if !is_granted && !lives.may_be_nameless(u64::MAX) {
            let (key, revision) = (fact.key, fact.revision);
            let story = || format!("{key} hangs on lease {lease} at {revision}; nobody granted it");
            told.tell("lease.unknown", &[], story);
        }
    }
}

/// Nothing hangs on a lease at a later revision than the one that ended it.
fn after_death(against: &Against<'_, '_>, lives: &Lives, told: &mut Told) {
    let timeline = against.timeline;
    for fact in timeline.facts() {
        let Some(Live { lease, .. }) = fact.now.filter(|now| now.lease != 0) else { continue };
        let Some(life) = lives.by_id.get(&lease).filter(|life| life.grants == 1) else { continue };
        let certain = |revision: &&i64| {
            matches!(timeline.cause(**revision), Cause::Lease { certain: true, .. })
        };
        let death = life.deaths.iter().find(certain).copied().unwrap_or(i64::MAX);
        if death < fact.revision {
            let (key, revision) = (fact.key, fact.revision);
            told.tell("lease.zombie", &[], || {
                format!("lease {lease} ended at revision {death}, has {key} at {revision}")
            });
        }
    }
}

/// When a revocation is acknowledged, its keys are gone.
fn left_over(
    against: &Against<'_, '_>,
    (id, op, at): (i64, u64, u64),
    keys: &BTreeSet<&str>,
    told: &mut Told,
) {
    let revision = against.bounds.possibly(at).min(against.timeline.last());
    let here =
        |key: &&&str| against.timeline.state(key, revision).is_some_and(|live| live.lease == id);
    if let Some(key) = keys.iter().find(here) {
        told.tell("lease.keys_left", &[op], || {
            format!("lease {id} is revoked, but {key} is there at revision {revision}")
        });
    }
}

/// The keys an answer names are those of some revision it may be of.
fn answered(against: &Against<'_, '_>, op: &Op<'_>, attached: &Attached<'_>, told: &mut Told) {
    let Request::TimeToLive { id, keys: true } = op.request else { return };
    let Some(Body::TimeToLive { ttl, keys, .. }) = op.response().map(|it| &it.body) else { return };
    let (from, to) = (against.bounds.surely(op.invoked), against.bounds.possibly(op.returned));
    if *ttl < 0 || from > to {
        return;
    }
    let none = BTreeSet::new();
    let all = attached.get(id).unwrap_or(&none);
    let timeline = against.timeline;
    let mut revisions = BTreeSet::from([from]);
    for key in all {
        let facts = timeline.of_key(key).iter().map(|index| timeline.fact(*index).revision);
        revisions.extend(facts.filter(|revision| (from..=to).contains(revision)));
    }
    let is_it = |revision: &i64| keys_at(timeline, *id, all, *revision).eq(keys.iter());
    if !revisions.iter().any(is_it) {
        told.tell("lease.keys", &[op.id], || {
            let now: Vec<&str> = keys_at(timeline, *id, all, to).collect();
            format!("lease {id} is said to have {keys:?}; it has {now:?}")
        });
    }
}

fn keys_at<'k>(
    timeline: &'k Timeline<'_>,
    id: i64,
    all: &'k BTreeSet<&'k str>,
    revision: i64,
) -> impl Iterator<Item = &'k str> {
    let of_it = move |key: &&str| timeline.state(key, revision).is_some_and(|it| it.lease == id);
    all.iter().copied().filter(of_it)
}
