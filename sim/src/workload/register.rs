//! Puts, gets, deletes and compare-and-swaps of single keys.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    Desk, Part, say,
    values::{Keys, Values, pick_weighted},
};
use crate::history::{
    Body, Request, Response,
    request::{Compare, Pair, Put, Relation, Step, Target, Txn, Version},
};

/// What a client of single keys knows.
#[derive(Clone, Debug)]
pub(super) struct Register {
    values: Values,
    keys: Keys,
    /// Keys as last seen, so that swaps have a chance.
    seen: BTreeMap<String, Version>,
}

impl Register {
    pub(super) fn new(desk: &Desk) -> Self {
        Self { values: desk.values(), keys: desk.keys("reg/"), seen: BTreeMap::new() }
    }

    fn put(&mut self, key: &str, rng: &mut ChaCha8Rng) -> Put {
        let (prev_kv, ignore_lease) = (rng.random_ratio(1, 4), rng.random_ratio(1, 20));
        // Refused if the key is not there.
        let ignore_value = rng.random_ratio(1, 20);
        let value = if ignore_value { String::new() } else { self.values.fresh(rng) };
        Put { key: key.to_owned(), value, prev_kv, ignore_value, ignore_lease, lease: 0 }
    }

    fn swap(&mut self, key: &str, rng: &mut ChaCha8Rng) -> Request {
        let compare = self.condition(key, rng);
        let then = vec![say::put(key, self.values.fresh(rng)).into()];
        let otherwise = match rng.random_range(0..10) {
            // Another value than in the other branch: it tells which one was taken.
            0 => vec![say::put(key, self.values.fresh(rng)).into()],
            1 => vec![],
            _ => vec![Step::Range(say::get(key))],
        };
        Request::Txn(Txn { compare: vec![compare], then, otherwise })
    }

    /// A condition that holds if the key is still as it was last seen.
    fn condition(&self, key: &str, rng: &mut ChaCha8Rng) -> Compare {
        let Some(seen) = self.seen.get(key) else {
            return say::created_at(key, 0);
        };
        let target = match pick_weighted(&[6, 2, 1, 1, 1], rng) {
            0 => Target::Mod(seen.mod_revision),
            1 => Target::Value(seen.value.clone()),
            2 => Target::Version(seen.version),
            3 => Target::Create(seen.create_revision),
            _ => Target::Lease(0),
        };
        let is = match rng.random_range(0..10) {
            0 => Relation::NotEqual,
            1 => Relation::Greater,
            2 => Relation::Less,
            _ => Relation::Equal,
        };
        Compare { key: key.to_owned(), end: String::new(), is, target }
    }

    fn learn_pairs<'a>(&mut self, key: &str, pairs: impl Iterator<Item = &'a Pair>) {
        self.seen.remove(key);
        for pair in pairs {
            self.seen.insert(pair.key.clone(), pair.version.clone());
        }
    }

    /// A write of ours at `revision`. Version and creation are guesses; a wrong one only makes a
    /// condition fail.
    fn learn_put(&mut self, put: &Put, revision: i64) {
        let seen = self.seen.entry(put.key.clone()).or_insert(Version {
            value: String::new(),
            mod_revision: 0,
            create_revision: revision,
            version: 0,
            lease: 0,
        });
        seen.mod_revision = revision;
        seen.version += 1;
        if !put.ignore_value {
            seen.value.clone_from(&put.value);
        }
    }
}

impl Part for Register {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Request {
        let key = self.keys.pick(rng);
        match pick_weighted(&[40, 24, 8, 2, 24, 2], rng) {
            0 => self.put(&key, rng).into(),
            1 => say::get(&key).into(),
            2 => Request::Delete(crate::history::request::Delete {
                prev_kv: rng.random_ratio(1, 4),
                ..say::delete(&key)
            }),
            3 => {
                // A few keys at once: this one and those after it.
                let end = self.keys.named(self.keys.count());
                let prev_kv = rng.random();
                Request::Delete(crate::history::request::Delete { key, end, prev_kv })
            }
            4 => self.swap(&key, rng),
            _ => say::list(self.keys.prefix()).into(),
        }
    }

    fn learn(&mut self, request: &Request, response: &Response) {
        match (request, &response.body) {
            (Request::Put(put), _) => self.learn_put(put, response.revision),
            (Request::Range(range), body) => {
                self.learn_pairs(&range.key, say::pairs(body).iter());
            }
            (Request::Delete(delete), _) => _ = self.seen.remove(&delete.key),
            (Request::Txn(txn), Body::Txn { succeeded, .. }) => {
                let steps = if *succeeded { &txn.then } else { &txn.otherwise };
                match steps.first() {
                    Some(Step::Put(put)) => self.learn_put(put, response.revision),
                    Some(Step::Range(range)) => {
                        self.learn_pairs(&range.key, say::pairs_of_steps(&response.body));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
