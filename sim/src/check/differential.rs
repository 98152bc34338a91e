//! The two checkers agree: random small histories, legal and broken, decided by both.
//!
//! The search (`wgl`) gets the same witness as the pass over revisions: what each revision changed,
//! it knows from the auditor, unless that saw only the later ones. Its semantics are those of
//! `sample`'s naive store. `RESEED_HISTORIES` says how many histories, 20,000 otherwise.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use super::{
    Audit,
    sample::{Sample, Store, delete, get, list, put, swap},
    wgl::{self, Spec, Timed, Verdict},
};
use crate::history::{Body, Change, OpId, Request, Response, What, request::Version};

const HISTORIES: u64 = 20_000;
const BUDGET: u64 = 50_000_000;

/// What a history became on the way.
struct Made {
    sample: Sample,
    audit: Audit,
}

/// An operation on its way.
struct Running {
    client: u32,
    op: OpId,
    request: Request,
    answer: Option<Response>,
    is_lost: bool,
}

fn request(rng: &mut ChaCha8Rng, store: &Store, value: u64) -> Request {
    let key = ["a", "b"][rng.random_range(0..2)];
    match rng.random_range(0..10) {
        0..4 => put(key, &value.to_string()),
        4..6 => get(key),
        6 => list(),
        7 => {
            let near = store.revision - rng.random_range(0..3);
            swap(key, store.state.get(key).map_or(near, |it| it.mod_revision), &value.to_string())
        }
        _ => delete(key),
    }
}

/// A legal history: each operation takes effect once between its beginning and its end, or never
/// if it is lost.
fn legal(rng: &mut ChaCha8Rng) -> Sample {
    let mut sample = Sample::default();
    let (clients, ops) = (rng.random_range(1..5_u32), rng.random_range(2..10_u64));
    let mut begun = 0;
    let mut running: Vec<Running> = Vec::new();
    while begun < ops || running.iter().any(|one| !one.is_lost) {
        let client = rng.random_range(0..clients);
        let slot = running.iter().position(|one| one.client == client && !one.is_lost);
        match slot {
            None if begun < ops => {
                begun += 1;
                let request = request(rng, &sample.store, begun);
                let op = sample.begin(client, request.clone());
                running.push(Running { client, op, request, answer: None, is_lost: false });
            }
            None => {}
            Some(at) => match running[at].answer.take() {
                None if rng.random_bool(0.15) => {
                    sample.lose(client, running[at].op);
                    running[at].is_lost = true;
                }
                None => running[at].answer = Some(sample.store.apply(&running[at].request)),
                Some(_) if rng.random_bool(0.15) => {
                    let done = running.remove(at);
                    sample.lose(client, done.op);
                }
                Some(answer) => {
                    let done = running.remove(at);
                    sample.end(client, done.op, answer);
                }
            },
        }
        // What was lost may still take effect, or not.
        if rng.random_bool(0.2)
            && let Some(at) = running.iter().position(|one| one.is_lost)
        {
            let late = running.remove(at);
            sample.store.apply(&late.request);
        }
    }
    sample
}

/// Breaks something, perhaps.
fn mutate(rng: &mut ChaCha8Rng, made: &mut Made) {
    let Made { sample, audit } = made;
    let ends: Vec<usize> = (0..sample.events.len())
        .filter(|at| matches!(sample.events[*at].what, What::Ok { .. }))
        .collect();
    let Some(at) = ends.choose(rng).copied() else { return };
    match rng.random_range(0..8) {
        7 => {
            let from = rng.random_range(1..=audit.revision);
            audit.changes.retain(|change| change.revision >= from);
            audit.changes_from = audit.changes_from.max(from);
        }
        0 => shift(rng, sample),
        1 => {
            if let What::Ok { response, .. } = &mut sample.events[at].what {
                response.revision += if rng.random_bool(0.5) { 1 } else { -1 };
            }
        }
        2 => stale(rng, sample, at),
        3 => wrong(sample, at),
        4 => {
            let What::Ok { op, .. } = sample.events[at].what else { return };
            let error = "timeout".to_owned();
            sample.events[at].what = What::Unknown { op, error };
        }
        5 => {
            if let Some(change) = audit.changes.choose_mut_by(rng)
                && let Some(now) = &mut change.now
            {
                now.version += 1;
            }
        }
        _ => {
            sample.store.apply(&put("a", "ghost"));
            *audit = sample.audit();
        }
    }
}

/// `choose` for a place to change.
trait ChooseMutBy<T> {
    fn choose_mut_by(&mut self, rng: &mut ChaCha8Rng) -> Option<&mut T>;
}

impl<T> ChooseMutBy<T> for Vec<T> {
    fn choose_mut_by(&mut self, rng: &mut ChaCha8Rng) -> Option<&mut T> {
        let len = self.len();
        if len == 0 { None } else { self.get_mut(rng.random_range(0..len)) }
    }
}

/// Moves an event to another time; an outcome stays behind its beginning.
fn shift(rng: &mut ChaCha8Rng, sample: &mut Sample) {
    let from = rng.random_range(0..sample.events.len());
    let event = sample.events.remove(from);
    let id = |what: &What| match what {
        What::Invoke { op, .. } | What::Ok { op, .. } | What::Unknown { op, .. } => *op,
        _ => 0,
    };
    let other = sample.events.iter().position(|other| id(&other.what) == id(&event.what));
    let (low, high) = match (&event.what, other) {
        (What::Invoke { .. }, Some(end)) => (0, end),
        (What::Invoke { .. }, None) => (0, sample.events.len()),
        (_, Some(begin)) => (begin + 1, sample.events.len()),
        (_, None) => (0, sample.events.len()),
    };
    let to = rng.random_range(low..=high);
    sample.events.insert(to, event);
    for (at, event) in (1..).zip(&mut sample.events) {
        event.at = at;
    }
}

/// Gives a read the answer of an earlier revision.
fn stale(rng: &mut ChaCha8Rng, sample: &mut Sample, at: usize) {
    let What::Ok { op, .. } = sample.events[at].what else { return };
    let asked = sample.events.iter().find_map(|event| match &event.what {
        What::Invoke { op: same, request, .. } if *same == op => Some(request.clone()),
        _ => None,
    });
    let Some(request @ Request::Range(_)) = asked else { return };
    let back = rng.random_range(1..=sample.store.revision);
    let mut then = as_of(&sample.store, back);
    let response = then.apply(&request);
    sample.events[at].what = What::Ok { op, response };
}

/// Makes an answer untrue.
fn wrong(sample: &mut Sample, at: usize) {
    let What::Ok { response, .. } = &mut sample.events[at].what else { return };
    match &mut response.body {
        Body::Range { kvs, count, .. } => match kvs.pop() {
            Some(_) => *count -= 1,
            None => *count += 1,
        },
        Body::Delete { deleted, .. } => *deleted = 1 - *deleted,
        Body::Txn { succeeded, .. } => *succeeded = !*succeeded,
        _ => {}
    }
}

/// The store as it was.
fn as_of(store: &Store, revision: i64) -> Store {
    let mut then = Sample::default().store;
    for change in store.changes.iter().filter(|change| change.revision <= revision) {
        match &change.now {
            Some(version) => then.state.insert(change.key.clone(), version.clone()),
            None => then.state.remove(&change.key),
        };
    }
    Store { revision, ..then }
}

/// The store, which changes as the auditor saw it change.
struct Seen<'a> {
    audit: &'a Audit,
}

enum Call {
    Known(Request, Response),
    Unknown(Request),
    End,
}

impl Spec for Seen<'_> {
    type State = (i64, BTreeMap<String, Version>);
    type Call = Call;

    fn init(&self) -> Self::State {
        (1, BTreeMap::new())
    }

    fn step(&self, state: &Self::State, call: &Call) -> Option<Self::State> {
        let (request, answer) = match call {
            Call::End => {
                let in_the_end = self.audit.state.iter().map(|pair| (&pair.key, &pair.version));
                let is_it = state.0 == self.audit.revision && in_the_end.eq(&state.1);
                return is_it.then(|| state.clone());
            }
            Call::Known(request, response) => (request, Some(response)),
            Call::Unknown(request) => (request, None),
        };
        let (revision, state) = state.clone();
        let mut store = Store { state, changes: Vec::new(), revision };
        let response = store.apply(request);
        let Store { state, changes, revision } = store;
        if answer.is_some_and(|answer| *answer != response) || revision > self.audit.revision {
            return None;
        }
        let what = |change: &Change| (change.key.clone(), change.now.clone());
        let is_seen = changes.is_empty() || revision < self.audit.changes_from || {
            let seen = self.audit.changes.iter().filter(|change| change.revision == revision);
            seen.map(what).eq(changes.iter().map(what))
        };
        is_seen.then_some((revision, state))
    }
}

fn search(made: &Made) -> Verdict {
    let mut calls: Vec<Timed<Call>> = Vec::new();
    let mut of_op: BTreeMap<OpId, usize> = BTreeMap::new();
    for event in &made.sample.events {
        match &event.what {
            What::Invoke { op, request, .. } => {
                of_op.insert(*op, calls.len());
                let call = Call::Unknown(request.clone());
                calls.push(Timed { invoked: event.at, returned: u64::MAX, call });
            }
            What::Ok { op, response } => {
                let timed = &mut calls[of_op[op]];
                timed.returned = event.at;
                if let Call::Unknown(request) = &timed.call {
                    timed.call = Call::Known(request.clone(), response.clone());
                }
            }
            _ => {}
        }
    }
    let at = made.audit.at;
    calls.push(Timed { invoked: at, returned: at + 1, call: Call::End });
    wgl::check(&Seen { audit: &made.audit }, &[calls], BUDGET)
}

fn make(seed: u64) -> Made {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sample = legal(&mut rng);
    let audit = sample.audit();
    let mut made = Made { sample, audit };
    for _ in 0..rng.random_range(0..3) {
        mutate(&mut rng, &mut made);
    }
    made
}

#[test]
fn both_checkers_agree_on_random_histories() {
    let count = std::env::var("RESEED_HISTORIES").ok().and_then(|text| text.parse().ok());
    let count = count.unwrap_or(HISTORIES);
    let (mut legal, mut broken) = (0_u64, 0_u64);
    for seed in 0..count {
        let made = make(seed);
        let checked = made.sample.check_with(&made.audit);
        let found = search(&made);
        assert_eq!(checked.undecided, None, "seed {seed}");
        let agreed = match found {
            Verdict::Linearizable => checked.violations.is_empty(),
            Verdict::Impossible => !checked.violations.is_empty(),
            Verdict::Undecided => false,
        };
        assert!(
            agreed,
            "seed {seed}: the search says {found:?}, the pass {checked:#?}\n{:#?}\n{:#?}",
            made.sample.events, made.audit
        );
        if checked.violations.is_empty() { legal += 1 } else { broken += 1 }
    }
    eprintln!("{count} histories: {legal} legal, {broken} broken, no disagreement");
    assert!(count < 1000 || (legal > count / 5 && broken > count / 5), "{legal} and {broken}");
}

/// Deletions nobody knows about are where the two differ most easily.
#[test]
fn a_lost_delete_explains_only_what_came_after_it() {
    let mut sample = Sample::default();
    sample.done(1, put("a", "1"));
    let op = sample.begin(2, delete("a"));
    sample.lose(2, op);
    sample.store.apply(&delete("a"));
    let audit = sample.audit();
    let mut made = Made { sample, audit };
    assert_eq!(search(&made), Verdict::Linearizable);
    assert!(made.sample.check().violations.is_empty());
    let lost = made.sample.events.pop().expect("two of it");
    let asked = made.sample.events.pop().expect("two of it");
    let seen = Version {
        value: "1".to_owned(),
        mod_revision: 2,
        create_revision: 2,
        version: 1,
        lease: 0,
    };
    assert_eq!(made.audit.changes[0].now, Some(seen));
    made.sample.done(3, get("a"));
    made.sample.events.push(asked);
    made.sample.events.push(lost);
    for (at, event) in (1..).zip(&mut made.sample.events) {
        event.at = at;
    }
    made.audit.at = 100;
    assert_eq!(search(&made), Verdict::Impossible);
    assert_eq!(made.sample.check_with(&made.audit).violations[0].class, "order.write");
}
