//! Makes histories: a small naive store, and clients whose steps the caller interleaves.
//!
//! Tests and benchmarks of the checkers write legal histories with it and then break them. It
//! shares nothing with `model`: the state is a map of owned strings, and it knows the plain forms
//! of requests only (puts, ranges without options, deletes, transactions of those).

use std::collections::BTreeMap;

use super::{Audit, Case, Checked, Rules, check};
use crate::history::{
    Body, Change, Event, OpId, Request, Response, WatchId, WatchSpec, WatchStep, What,
    request::{Compare, Delete, Pair, Put, Range, Relation, Step, Target, Txn, Version},
};

/// A history in the making.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What clients did and saw.
    pub events: Vec<Event>,
    /// The time of the next event.
    pub now: u64,
    /// What the clock and the leases may do.
    pub rules: Rules,
    /// The store.
    pub store: Store,
    next_op: OpId,
}

/// A naive store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Every key.
    pub state: BTreeMap<String, Version>,
    /// Every change since the beginning.
    pub changes: Vec<Change>,
    /// The last revision.
    pub revision: i64,
}

impl Default for Sample {
    fn default() -> Self {
        let store = Store { state: BTreeMap::new(), changes: Vec::new(), revision: 1 };
        Self { events: Vec::new(), now: 0, rules: rules(), store, next_op: 0 }
    }
}

/// One member, clocks within a thousandth, leases of a second and more that end half a second late.
#[must_use]
pub fn rules() -> Rules {
    Rules { clock_rate: (0.999, 1.001), members: 1, ..Rules::default() }
}

impl Sample {
    /// Adds an event, a nanosecond after the one before.
    pub fn event(&mut self, client: u32, what: What) {
        self.now += 1;
        self.events.push(Event { at: self.now, client, what });
    }

    /// A client begins an operation.
    pub fn begin(&mut self, client: u32, request: Request) -> OpId {
        self.next_op += 1;
        let op = self.next_op;
        self.event(client, What::Invoke { op, member: 0, request });
        op
    }

    /// An operation is answered.
    pub fn end(&mut self, client: u32, op: OpId, response: Response) {
        self.event(client, What::Ok { op, response });
    }

    /// An operation is refused.
    pub fn fail(&mut self, client: u32, op: OpId, error: &str) {
        self.event(client, What::Fail { op, error: error.to_owned() });
    }

    /// An operation's client gives up.
    pub fn lose(&mut self, client: u32, op: OpId) {
        self.event(client, What::Unknown { op, error: "timeout".to_owned() });
    }

    /// An operation that nobody overlaps, carried out by the store.
    pub fn done(&mut self, client: u32, request: Request) -> OpId {
        let response = self.store.apply(&request);
        self.said(client, request, response)
    }

    /// An operation that nobody overlaps, with an answer of the caller's.
    pub fn said(&mut self, client: u32, request: Request, response: Response) -> OpId {
        let op = self.begin(client, request);
        self.end(client, op, response);
        op
    }

    /// An operation that nobody overlaps, refused.
    pub fn refused(&mut self, client: u32, request: Request, error: &str) -> OpId {
        let op = self.begin(client, request);
        self.fail(client, op, error);
        op
    }

    /// A step of a watch.
    pub fn watch(&mut self, watch: WatchId, step: WatchStep) {
        self.event(1000 + watch as u32, What::Watch { watch, member: 0, step });
    }

    /// A watch of everything from a revision on begins.
    pub fn watch_all(&mut self, watch: WatchId, start_revision: i64) {
        let all = "\0".to_owned();
        let spec = WatchSpec { key: all.clone(), end: all, start_revision, ..WatchSpec::default() };
        self.watch(watch, WatchStep::Open { spec });
        let revision = self.store.revision;
        self.watch(watch, WatchStep::Created { revision });
    }

    /// A watch is told of what changed at these revisions, as it was.
    pub fn watched(&mut self, watch: WatchId, revisions: &[i64]) {
        let mut changes = Vec::new();
        for revision in revisions {
            let same = self.store.changes.iter().filter(|one| one.revision == *revision);
            changes.extend(same.cloned().map(without_prev));
        }
        let revision = self.store.revision;
        self.watch(watch, WatchStep::Events { revision, changes, fragment: false });
    }

    /// What an auditor finds.
    #[must_use]
    pub fn audit(&self) -> Audit {
        let Store { state, changes, revision } = &self.store;
        Audit {
            at: self.now + 1,
            changes: changes.clone(),
            changes_from: 1,
            state: pairs(state.iter()),
            revision: *revision,
            ..Audit::default()
        }
    }

    /// Checks it with the audit of the store.
    #[must_use]
    pub fn check(&self) -> Checked {
        self.check_with(&self.audit())
    }

    /// Checks it with an audit of the caller's.
    #[must_use]
    pub fn check_with(&self, audit: &Audit) -> Checked {
        check(&Case { history: &self.events, audit, rules: &self.rules })
    }
}

impl Store {
    /// Carries out a request.
    pub fn apply(&mut self, request: &Request) -> Response {
        let before = self.changes.len();
        let body = match request {
            Request::Range(range) => self.range(range),
            Request::Put(put) => self.put(put),
            Request::Delete(delete) => self.delete(delete),
            Request::Txn(txn) => self.txn(txn),
            _ => Body::Done,
        };
        if self.changes.len() > before {
            self.revision += 1;
        }
        Response { revision: self.revision, body }
    }

    /// All keys of a lease go.
    pub fn end_lease(&mut self, lease: i64) {
        let of_lease = self.state.iter().filter(|(_, version)| version.lease == lease);
        let keys: Vec<String> = of_lease.map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.delete_one(key);
        }
        self.revision += i64::from(!keys.is_empty());
    }

    fn range(&self, range: &Range) -> Body {
        let found = self.state.iter().filter(|(key, _)| covers(&range.key, &range.end, key));
        let kvs = pairs(found);
        Body::Range { count: kvs.len() as i64, kvs, more: false }
    }

    fn put(&mut self, put: &Put) -> Body {
        let prev = self.state.get(&put.key).cloned();
        let mod_revision = self.revision + 1;
        let (create_revision, version) =
            prev.as_ref().map_or((mod_revision, 1), |old| (old.create_revision, old.version + 1));
        let (value, lease) = (put.value.clone(), put.lease);
        let now = Version { value, mod_revision, create_revision, version, lease };
        self.state.insert(put.key.clone(), now.clone());
        let change = Change { key: put.key.clone(), revision: mod_revision, now: Some(now), prev };
        let prev = change.prev.clone().filter(|_| put.prev_kv);
        self.changes.push(change);
        Body::Put { prev: prev.map(|version| Pair { key: put.key.clone(), version }) }
    }

    fn delete(&mut self, delete: &Delete) -> Body {
        let found = self.state.iter().filter(|(key, _)| covers(&delete.key, &delete.end, key));
        let found = pairs(found);
        for pair in &found {
            self.delete_one(&pair.key);
        }
        let deleted = found.len() as i64;
        Body::Delete { deleted, prev: if delete.prev_kv { found } else { Vec::new() } }
    }

    fn delete_one(&mut self, key: &str) {
        let prev = self.state.remove(key);
        let (key, revision) = (key.to_owned(), self.revision + 1);
        self.changes.push(Change { key, revision, now: None, prev });
    }

    fn txn(&mut self, txn: &Txn) -> Body {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let steps = if succeeded { &txn.then } else { &txn.otherwise };
        let mut bodies = Vec::with_capacity(steps.len());
        for step in steps {
            bodies.push(match step {
                Step::Range(range) => self.range(range),
                Step::Put(put) => self.put(put),
                Step::Delete(delete) => self.delete(delete),
                Step::Txn(nested) => self.txn(nested),
            });
        }
        Body::Txn { succeeded, steps: bodies }
    }

    /// Mod revisions only.
    fn holds(&self, compare: &Compare) -> bool {
        let now = self.state.get(&compare.key).map_or(0, |version| version.mod_revision);
        match (&compare.target, compare.is) {
            (Target::Mod(wanted), Relation::Equal) => now == *wanted,
            (Target::Mod(wanted), Relation::NotEqual) => now != *wanted,
            _ => false,
        }
    }
}

fn covers(key: &str, end: &str, other: &str) -> bool {
    if end.is_empty() { key == other } else { key <= other && (end == "\0" || other < end) }
}

fn pairs<'s>(found: impl Iterator<Item = (&'s String, &'s Version)>) -> Vec<Pair> {
    let pair =
        |(key, version): (&String, &Version)| Pair { key: key.clone(), version: version.clone() };
    let mut pairs: Vec<Pair> = found.map(pair).collect();
    pairs.shrink_to_fit();
    pairs
}

fn without_prev(change: Change) -> Change {
    Change { prev: None, ..change }
}

/// Writes a key.
#[must_use]
pub fn put(key: &str, value: &str) -> Request {
    Request::Put(Put { key: key.to_owned(), value: value.to_owned(), ..Put::default() })
}

/// Reads a key.
#[must_use]
pub fn get(key: &str) -> Request {
    Request::Range(Range { key: key.to_owned(), ..Range::default() })
}

/// Reads everything.
#[must_use]
pub fn list() -> Request {
    let all = "\0".to_owned();
    Request::Range(Range { key: all.clone(), end: all, ..Range::default() })
}

/// Deletes a key.
#[must_use]
pub fn delete(key: &str) -> Request {
    Request::Delete(Delete { key: key.to_owned(), ..Delete::default() })
}

/// Writes `value` if the key is as at `mod_revision`, reads it otherwise.
#[must_use]
pub fn swap(key: &str, mod_revision: i64, value: &str) -> Request {
    let (key, end, is) = (key.to_owned(), String::new(), Relation::Equal);
    let compare = vec![Compare { key: key.clone(), end, is, target: Target::Mod(mod_revision) }];
    let range = Range { key: key.clone(), ..Range::default() };
    let put = Put { key, value: value.to_owned(), ..Put::default() };
    Request::Txn(Txn { compare, then: vec![Step::Put(put)], otherwise: vec![Step::Range(range)] })
}
