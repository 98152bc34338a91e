//! Renews and asks after the leases of others, at every member, and goes on when they are gone.
//!
//! Who holds a lease asks for it where its last request was answered. This one asks each member in
//! turn for whatever it has heard of: a member that does not know yet that a lease was revoked, or
//! that another one leads, has somebody to whom it could lie.

use std::collections::BTreeSet;

use rand::{RngExt, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;

use super::Part;
use crate::history::{Body, Request, Response};

/// Leases it has in mind.
const LEASES_MAX: usize = 12;

/// What a keeper has heard of.
#[derive(Clone, Debug, Default)]
pub(super) struct Keeper {
    leases: BTreeSet<i64>,
}

impl Part for Keeper {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Request {
        let Some(id) = self.leases.iter().choose(rng).copied() else { return Request::Leases };
        match rng.random_range(0..8) {
            0 => Request::Leases,
            1 => Request::TimeToLive { id, keys: false },
            _ => Request::KeepAlive { id },
        }
    }

    fn learn(&mut self, request: &Request, response: &Response) {
        match (request, &response.body) {
            (Request::Leases, Body::Leases { ids }) => self.leases.extend(ids),
            // It is sure now.
            (Request::KeepAlive { id }, Body::Lease { ttl: ..=0, .. }) => {
                self.leases.remove(id);
            }
            _ => {}
        }
        while self.leases.len() > LEASES_MAX {
            self.leases.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn it_asks_for_what_it_heard_of_until_that_is_gone() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut keeper = Keeper::default();
        assert_eq!(keeper.choose(&mut rng), Request::Leases);
        let heard = Response { revision: 1, body: Body::Leases { ids: vec![7] } };
        keeper.learn(&Request::Leases, &heard);
        let asked: Vec<Request> = (0..50).map(|_| keeper.choose(&mut rng)).collect();
        assert!(asked.contains(&Request::KeepAlive { id: 7 }));
        assert!(asked.contains(&Request::TimeToLive { id: 7, keys: false }));
        let gone = Response { revision: 2, body: Body::Lease { id: 7, ttl: 0 } };
        keeper.learn(&Request::KeepAlive { id: 7 }, &gone);
        assert_eq!(keeper.choose(&mut rng), Request::Leases);
    }
}
