//! Carries out a request on the model, and compares the answer on the way if there is one.
//!
//! Reads at a past revision are left out here: the model is at one revision only, so `replay`
//! compares them when it passes theirs.

use super::{
    model::{Draft, Live, Model, covers},
    range::{self, Answer, Wrong},
};
use crate::history::{
    Body, Request,
    request::{Compare, Delete, Pair, Put, Range, Relation, Step, Target, Txn},
};

/// What is kept where there is nothing.
const NOTHING: Live<'static> =
    Live { value: "", mod_revision: 0, create_revision: 0, version: 0, lease: 0 };

/// Carries out one request.
pub(super) struct Exec<'a, 'm> {
    draft: Draft<'a, 'm>,
    /// Which way each transaction takes, in the order of execution; all are decided before the
    /// first write.
    branches: std::vec::IntoIter<bool>,
    /// The first thing wrong with the answer.
    wrong: Option<Wrong>,
}

/// What a request did, and what was wrong with its answer.
pub(super) struct Done<'a> {
    pub(super) effects: Vec<super::model::Effect<'a>>,
    pub(super) wrong: Option<Wrong>,
}

/// Tries a request out at the model's revision. With `body`, compares it.
pub(super) fn try_out<'a>(
    model: &mut Model<'a>,
    request: &'a Request,
    body: Option<&'a Body>,
) -> Done<'a> {
    let (draft, wrong) = carry_out(model, request, body);
    Done { effects: draft.take_back(), wrong }
}

/// The same; what it did may be kept.
pub(super) fn carry_out<'a, 'm>(
    model: &'m mut Model<'a>,
    request: &'a Request,
    body: Option<&'a Body>,
) -> (Draft<'a, 'm>, Option<Wrong>) {
    let mut branches = Vec::new();
    if let Request::Txn(txn) = request {
        decide(model, txn, &mut branches);
    }
    let branches = branches.into_iter();
    let mut exec = Exec { draft: model.draft(), branches, wrong: None };
    match request {
        Request::Range(range) => exec.range(range, body),
        Request::Put(put) => exec.put(put, body),
        Request::Delete(delete) => exec.delete(delete, body),
        Request::Txn(txn) => exec.txn(txn, body),
        Request::Revoke { id } => exec.end_lease(*id),
        _ => {}
    }
    (exec.draft, exec.wrong)
}

/// Which branches a transaction takes: its own first, then those of the nested ones it reaches.
fn decide(model: &Model<'_>, txn: &Txn, branches: &mut Vec<bool>) {
    let succeeded = txn.compare.iter().all(|compare| holds(model, compare));
    branches.push(succeeded);
    for step in if succeeded { &txn.then } else { &txn.otherwise } {
        if let Step::Txn(nested) = step {
            decide(model, nested, branches);
        }
    }
}

/// Whether a condition holds: for all keys of its range, or, if there are none, for a key that is
/// not there.
fn holds(model: &Model<'_>, compare: &Compare) -> bool {
    let mut found = model.range(&compare.key, &compare.end).peekable();
    if found.peek().is_none() {
        return match &compare.target {
            Target::Value(_) => false,
            Target::Version(n) | Target::Create(n) | Target::Mod(n) | Target::Lease(n) => {
                relates(compare.is, &0, n)
            }
        };
    }
    let is = compare.is;
    found.all(|(_, live)| match &compare.target {
        Target::Version(n) => relates(is, &live.version, n),
        Target::Create(n) => relates(is, &live.create_revision, n),
        Target::Mod(n) => relates(is, &live.mod_revision, n),
        Target::Lease(n) => relates(is, &live.lease, n),
        Target::Value(value) => relates(is, live.value, value.as_str()),
    })
}

fn relates<T: Ord + ?Sized>(is: Relation, left: &T, right: &T) -> bool {
    match is {
        Relation::Equal => left == right,
        Relation::NotEqual => left != right,
        Relation::Greater => left > right,
        Relation::Less => left < right,
    }
}

impl<'a> Exec<'a, '_> {
    fn fail(&mut self, class: &'static str, story: impl FnOnce() -> String) {
        if self.wrong.is_none() {
            self.wrong = Some((class, story()));
        }
    }

    fn range(&mut self, range: &'a Range, body: Option<&'a Body>) {
        match body {
            None => {}
            // `replay` compares it when it is at that revision.
            Some(Body::Range { .. }) if range.revision > 0 => {}
            Some(Body::Range { kvs, count, more }) => {
                let answer = Answer { kvs, count: *count, more: *more };
                if let Some((class, story)) = range::check(self.draft.model(), range, answer) {
                    self.fail(class, || story);
                }
            }
            Some(other) => self.fail("answers.kind", || format!("a range answered by {other:?}")),
        }
    }

    fn put(&mut self, put: &'a Put, body: Option<&'a Body>) {
        let before = self.draft.model().get(&put.key).copied();
        // Deleted by the same transaction: there is nothing to keep, and it is too late to refuse.
        let gone = || self.draft.has_deleted(&put.key).then_some(NOTHING);
        let Some(before_kept) = kept(put, before).or_else(gone) else {
            let story = || format!("{} is not there, but its value or lease was kept", put.key);
            if body.is_some() {
                self.fail("answers.accepted", story);
            }
            return;
        };
        let value = if put.ignore_value { before_kept.value } else { &put.value };
        let lease = if put.ignore_lease { before_kept.lease } else { put.lease };
        self.draft.put(&put.key, before, (value, lease));
        match body {
            None => {}
            Some(Body::Put { prev }) => {
                let expected = before.filter(|_| put.prev_kv);
                let expected = expected.map(|live| (put.key.as_str(), live));
                if let Some(story) = differ(expected.as_slice(), prev.as_slice()) {
                    self.fail("put.prev", || story);
                }
            }
            Some(other) => self.fail("answers.kind", || format!("a put answered by {other:?}")),
        }
    }

    fn delete(&mut self, delete: &'a Delete, body: Option<&'a Body>) {
        if delete.end.is_empty() {
            let before = self.draft.model().get(&delete.key).copied();
            let found = before.map(|live| (delete.key.as_str(), live));
            return self.delete_found(delete, found.as_slice(), body);
        }
        let found = self.draft.model().range(&delete.key, &delete.end);
        let found: Vec<(&'a str, Live<'a>)> = found.map(|(key, live)| (key, *live)).collect();
        self.delete_found(delete, &found, body);
    }

    fn delete_found(
        &mut self,
        delete: &Delete,
        found: &[(&'a str, Live<'a>)],
        body: Option<&'a Body>,
    ) {
        for (key, _) in found {
            self.draft.delete(key);
        }
        match body {
            None => {}
            Some(Body::Delete { deleted, prev }) => {
                if *deleted != found.len() as i64 {
                    let story = || format!("says {deleted} keys deleted, not {}", found.len());
                    self.fail("delete.count", story);
                }
                let expected = if delete.prev_kv { found } else { &[] };
                if let Some(story) = differ(expected, prev) {
                    self.fail("delete.prev", || story);
                }
            }
            Some(other) => self.fail("answers.kind", || format!("a delete answered by {other:?}")),
        }
    }

    fn txn(&mut self, txn: &'a Txn, body: Option<&'a Body>) {
        let succeeded = self.branches.next().unwrap_or_default();
        let steps = if succeeded { &txn.then } else { &txn.otherwise };
        let mut answers: Option<&'a [Body]> = None;
        match body {
            None => {}
            Some(Body::Txn { succeeded: said, steps: said_steps }) => {
                if *said != succeeded {
                    self.fail("txn.branch", || format!("says {said}, conditions say {succeeded}"));
                } else if said_steps.len() != steps.len() {
                    let said = said_steps.len();
                    self.fail("txn.steps", || format!("{said} answers to {} steps", steps.len()));
                } else {
                    answers = Some(said_steps);
                }
            }
            Some(other) => self.fail("answers.kind", || format!("a txn answered by {other:?}")),
        }
        for (index, step) in steps.iter().enumerate() {
            let body = answers.and_then(|bodies| bodies.get(index));
            match step {
                Step::Range(range) => self.range(range, body),
                Step::Put(put) => self.put(put, body),
                Step::Delete(delete) => self.delete(delete, body),
                Step::Txn(nested) => self.txn(nested, body),
            }
        }
    }

    /// All keys of a lease go, in order.
    fn end_lease(&mut self, lease: i64) {
        let keys: Vec<&'a str> =
            self.draft.model().attached(lease).into_iter().flatten().copied().collect();
        for key in keys {
            self.draft.delete(key);
        }
    }
}

/// What a put that keeps something keeps; an empty one if it keeps nothing; `None` if there is
/// nothing to keep.
fn kept<'a>(put: &Put, before: Option<Live<'a>>) -> Option<Live<'a>> {
    if put.ignore_value || put.ignore_lease { before } else { Some(NOTHING) }
}

/// How what was there before differs from what an answer says of it.
fn differ(expected: &[(&str, Live<'_>)], said: &[Pair]) -> Option<String> {
    let same = expected.len() == said.len()
        && expected
            .iter()
            .zip(said)
            .all(|((k, live), pair)| pair.key == *k && live.is(&pair.version));
    if same { None } else { Some(format!("before it was {expected:?}; the answer says {said:?}")) }
}

/// Whether the answer says that the request wrote something. A put always does.
pub(super) fn wrote(body: &Body) -> bool {
    match body {
        Body::Put { .. } => true,
        Body::Delete { deleted, .. } => *deleted > 0,
        Body::Txn { steps, .. } => steps.iter().any(wrote),
        _ => false,
    }
}

/// Visits every range that an answered request carried out, with its answer.
pub(super) fn each_range<'a>(
    request: &'a Request,
    body: &'a Body,
    visit: &mut impl FnMut(&'a Range, Answer<'a>),
) {
    match (request, body) {
        (Request::Range(range), Body::Range { kvs, count, more }) => {
            visit(range, Answer { kvs, count: *count, more: *more });
        }
        (Request::Txn(txn), body) => each_range_of_txn(txn, body, visit),
        _ => {}
    }
}

fn each_range_of_txn<'a>(
    txn: &'a Txn,
    body: &'a Body,
    visit: &mut impl FnMut(&'a Range, Answer<'a>),
) {
    let Body::Txn { succeeded, steps } = body else { return };
    let asked = if *succeeded { &txn.then } else { &txn.otherwise };
    for (step, body) in asked.iter().zip(steps) {
        match (step, body) {
            (Step::Range(range), Body::Range { kvs, count, more }) => {
                visit(range, Answer { kvs, count: *count, more: *more });
            }
            (Step::Txn(nested), body) => each_range_of_txn(nested, body, visit),
            _ => {}
        }
    }
}

/// Whether one of a request's ranges names a revision.
pub(super) fn names_revision(request: &Request) -> bool {
    fn of_txn(txn: &Txn) -> bool {
        txn.then.iter().chain(&txn.otherwise).any(|step| match step {
            Step::Range(range) => range.revision != 0,
            Step::Txn(nested) => of_txn(nested),
            Step::Put(_) | Step::Delete(_) => false,
        })
    }
    match request {
        Request::Range(range) => range.revision != 0,
        Request::Txn(txn) => of_txn(txn),
        _ => false,
    }
}

/// Whether a request could write a key.
pub(super) fn touches(request: &Request, key: &str) -> bool {
    match request {
        Request::Put(put) => put.key == key,
        Request::Delete(delete) => covers(&delete.key, &delete.end, key),
        Request::Txn(txn) => txn_touches(txn, key),
        _ => false,
    }
}

fn txn_touches(txn: &Txn, key: &str) -> bool {
    txn.then.iter().chain(&txn.otherwise).any(|step| match step {
        Step::Put(put) => put.key == key,
        Step::Delete(delete) => covers(&delete.key, &delete.end, key),
        Step::Txn(nested) => txn_touches(nested, key),
        Step::Range(_) => false,
    })
}
