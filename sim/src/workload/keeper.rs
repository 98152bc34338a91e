//! Renews and asks after the leases of others, at every member, and goes on when they are gone.
//!
//! Who holds a lease asks for it where its last request was answered. This one asks each member in
//! turn for whatever it has heard of: a member that does not know yet that a lease was revoked, or
//! that another one leads, has somebody to whom it could lie.

use std::collections::BTreeMap;

use rand::{RngExt, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;

use super::Part;
use crate::history::{Body, Request, Response};

/// Leases it has in mind.
const LEASES_MAX: usize = 12;
/// So often it is told that a lease is gone before it believes it.
const TOLD_MAX: u32 = 6;
/// Of so many leases one is only asked after, so that some are left to grow old.
const LEFT_ALONE: i64 = 3;

/// What a keeper has heard of.
#[derive(Clone, Debug, Default)]
pub(super) struct Keeper {
    /// Leases, and how often it was told that they are gone.
    leases: BTreeMap<i64, u32>,
}

impl Part for Keeper {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Request {
        while self.leases.len() > LEASES_MAX
            && let Some(id) = self.leases.keys().choose(rng).copied()
        {
            self.leases.remove(&id);
        }
        let Some(id) = self.leases.keys().choose(rng).copied() else { return Request::Leases };
        match rng.random_range(0..8) {
            0 => Request::Leases,
            1 => Request::TimeToLive { id, keys: false },
            _ if id % LEFT_ALONE == 0 => Request::TimeToLive { id, keys: false },
            _ => Request::KeepAlive { id },
        }
    }

    fn learn(&mut self, request: &Request, response: &Response) {
        match (request, &response.body) {
            (Request::Leases, Body::Leases { ids }) => {
                for id in ids {
                    self.leases.entry(*id).or_default();
                }
            }
            (Request::KeepAlive { id }, Body::Lease { ttl: ..=0, .. })
            | (Request::TimeToLive { id, .. }, Body::TimeToLive { ttl: ..=-1, .. }) => {
                let told = self.leases.entry(*id).or_default();
                *told += 1;
                if *told == TOLD_MAX {
                    self.leases.remove(id);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn heard(keeper: &mut Keeper, ids: Vec<i64>) {
        let heard = Response { revision: 1, body: Body::Leases { ids } };
        keeper.learn(&Request::Leases, &heard);
    }

    #[test]
    fn it_asks_for_what_it_heard_of_for_a_while_after_that_is_gone() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut keeper = Keeper::default();
        assert_eq!(keeper.choose(&mut rng), Request::Leases);
        heard(&mut keeper, vec![7]);
        let gone = Response { revision: 2, body: Body::Lease { id: 7, ttl: 0 } };
        for _ in 0..TOLD_MAX {
            let asked: Vec<Request> = (0..50).map(|_| keeper.choose(&mut rng)).collect();
            assert!(asked.contains(&Request::KeepAlive { id: 7 }));
            assert!(asked.contains(&Request::TimeToLive { id: 7, keys: false }));
            keeper.learn(&Request::KeepAlive { id: 7 }, &gone);
        }
        assert_eq!(keeper.choose(&mut rng), Request::Leases);
    }

    #[test]
    fn it_leaves_some_leases_alone_and_has_few_in_mind() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut keeper = Keeper::default();
        heard(&mut keeper, (-30..30).collect());
        let asked: Vec<Request> = (0..200).map(|_| keeper.choose(&mut rng)).collect();
        assert_eq!(keeper.leases.len(), LEASES_MAX);
        let renewed = asked.iter().filter_map(|request| match request {
            Request::KeepAlive { id } => Some(*id),
            _ => None,
        });
        assert!(renewed.clone().count() > 50 && renewed.clone().all(|id| id % LEFT_ALONE != 0));
    }
}
