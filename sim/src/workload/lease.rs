//! Leases of seconds: granted, hung with keys, kept alive, asked after, revoked, and left to
//! expire.

use std::collections::BTreeMap;

use rand::{RngExt, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Desk, Part, say,
    values::{Keys, Values, pick_weighted},
};
use crate::history::{
    Body, Request, Response,
    request::{Put, Step, Txn},
};

/// Leases of one client at a time.
const LEASES_MAX: usize = 5;
/// The shortest time to live that is asked for; the server raises what is too short for it.
const TTL_SECS_MIN: i64 = 1;

/// What a client of leases knows.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    values: Values,
    keys: Keys,
    ttl_secs_max: i64,
    /// Leases that may be alive, and whether this client cares for them.
    held: BTreeMap<i64, bool>,
    /// Leases that are gone, to ask for what must not be.
    gone: Vec<i64>,
    last_id: i64,
}

impl Leases {
    pub(super) fn new(desk: &Desk) -> Self {
        Self {
            values: desk.values(),
            keys: desk.keys("lease/"),
            ttl_secs_max: i64::try_from(desk.load.lease_ttl_secs_max).unwrap_or(i64::MAX),
            held: BTreeMap::new(),
            gone: Vec::new(),
            last_id: i64::from(desk.scribe.client()) * 1_000_000,
        }
    }

    fn grant(&mut self, rng: &mut ChaCha8Rng) -> Request {
        let ttl = rng.random_range(TTL_SECS_MIN..=self.ttl_secs_max.max(TTL_SECS_MIN));
        if rng.random() {
            return Request::Grant { id: 0, ttl };
        }
        // An id of our own, now and then one that is taken.
        if !rng.random_ratio(1, 10) {
            self.last_id += 1;
        }
        // Ids below zero are as good as any (etcd issue 14239).
        let sign = if rng.random_ratio(1, 4) { -1 } else { 1 };
        Request::Grant { id: sign * self.last_id.max(1), ttl }
    }

    /// A lease that may be alive, or now and then one that is gone.
    fn one(&self, rng: &mut ChaCha8Rng) -> Option<i64> {
        if rng.random_ratio(1, 12) {
            return self.gone.iter().choose(rng).copied();
        }
        self.held.keys().choose(rng).copied()
    }

    /// A lease this client keeps alive.
    fn cared_for(&self, rng: &mut ChaCha8Rng) -> Option<i64> {
        let cared = self.held.iter().filter(|(_, cares)| **cares).map(|(id, _)| *id);
        cared.choose(rng)
    }

    /// A lease nobody keeps alive.
    fn left_alone(&self, rng: &mut ChaCha8Rng) -> Option<i64> {
        let alone = self.held.iter().filter(|(_, cares)| !**cares).map(|(id, _)| *id);
        alone.choose(rng)
    }

    fn attach(&mut self, lease: i64, rng: &mut ChaCha8Rng) -> Request {
        let mut put = |rng: &mut ChaCha8Rng| {
            let (key, value) = (self.keys.pick(rng), self.values.fresh(rng));
            // Now and then a key is taken off its lease.
            let lease = if rng.random_ratio(1, 10) { 0 } else { lease };
            Put { lease, ignore_lease: false, ..say::put(&key, value) }
        };
        let first = put(rng);
        if rng.random_ratio(3, 4) {
            return first.into();
        }
        let second = put(rng);
        let mut then: Vec<Step> = vec![first.clone().into()];
        // No key twice in a transaction.
        then.extend((second.key != first.key).then(|| second.into()));
        Request::Txn(Txn { then, ..Txn::default() })
    }

    fn forget(&mut self, id: i64) {
        self.held.remove(&id);
        self.gone.push(id);
        if self.gone.len() > LEASES_MAX {
            self.gone.remove(0);
        }
    }
}

impl Part for Leases {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Request {
        let weights: [u32; 8] = if self.held.len() < LEASES_MAX {
            [8, 22, 30, 4, 8, 3, 4, 3]
        } else {
            [0, 22, 30, 9, 8, 3, 4, 3]
        };
        let lease = self.one(rng);
        match (pick_weighted(&weights, rng), lease) {
            (1, Some(id)) => self.attach(id, rng),
            (2, _) => match self.cared_for(rng).or(lease) {
                Some(id) => Request::KeepAlive { id },
                None => self.grant(rng),
            },
            (3, Some(id)) => {
                // What is left alone is seldom ended: it has to grow old.
                let cared = self.cared_for(rng).filter(|_| rng.random_ratio(4, 5));
                Request::Revoke { id: cared.unwrap_or(id) }
            }
            (4, Some(id)) => {
                let alone = self.left_alone(rng).filter(|_| rng.random());
                Request::TimeToLive { id: alone.unwrap_or(id), keys: rng.random() }
            }
            (5, _) => Request::Leases,
            (6, _) => say::list(self.keys.prefix()).into(),
            (7, _) => {
                let key = self.keys.pick(rng);
                Put { ignore_lease: true, ..say::put(&key, self.values.fresh(rng)) }.into()
            }
            _ => self.grant(rng),
        }
    }

    fn learn(&mut self, request: &Request, response: &Response) {
        match (request, &response.body) {
            (Request::Grant { .. }, Body::Lease { id, .. }) => {
                // Every second lease is left alone and has to expire.
                let cares = self.held.len().is_multiple_of(2);
                self.held.insert(*id, cares);
            }
            (Request::KeepAlive { id }, Body::Lease { ttl: ..=0, .. })
            | (Request::TimeToLive { id, .. }, Body::TimeToLive { ttl: ..=-1, .. })
            | (Request::Revoke { id }, _) => self.forget(*id),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn leases() -> Leases {
        Leases {
            values: Values::new(1, 10),
            keys: Keys::new("lease/", 3, 0),
            ttl_secs_max: 8,
            held: BTreeMap::new(),
            gone: Vec::new(),
            last_id: 1_000_000,
        }
    }

    fn granted(leases: &mut Leases, id: i64) {
        let response = Response { revision: 5, body: Body::Lease { id, ttl: 3 } };
        leases.learn(&Request::Grant { id, ttl: 3 }, &response);
    }

    #[test]
    fn only_every_second_lease_is_cared_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut leases = leases();
        assert_eq!(leases.cared_for(&mut rng), None);
        for id in 1..=4 {
            granted(&mut leases, id);
        }
        for _ in 0..50 {
            assert!(leases.cared_for(&mut rng).is_some_and(|id| id % 2 == 1));
        }
    }

    #[test]
    fn a_lease_that_is_gone_is_held_no_more() {
        let mut leases = leases();
        granted(&mut leases, 7);
        let gone = Response { revision: 6, body: Body::Lease { id: 7, ttl: 0 } };
        leases.learn(&Request::KeepAlive { id: 7 }, &gone);
        assert!(leases.held.is_empty());
        assert_eq!(leases.gone, [7]);
    }

    #[test]
    fn a_transaction_never_writes_a_key_twice() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut leases = leases();
        let mut pairs = 0;
        for _ in 0..300 {
            let Request::Txn(txn) = leases.attach(9, &mut rng) else { continue };
            let keys: Vec<&String> = txn
                .then
                .iter()
                .map(|step| match step {
                    Step::Put(put) => &put.key,
                    other => panic!("{other:?}"),
                })
                .collect();
            pairs += usize::from(keys.len() == 2);
            assert!(keys.len() == 1 || keys[0] != keys[1]);
        }
        assert!(pairs > 10);
    }
}
