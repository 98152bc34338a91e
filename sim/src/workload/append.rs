//! Lists that transactions append to: read a few, then write them all longer, if none changed.
//!
//! A list is the text of its elements; an element is the tag of the transaction that appended it.

use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Desk, say,
    values::{Keys, Values},
};
use crate::history::{
    Request, Response,
    request::{Pair, Step, Txn},
};

/// A list this long is begun anew, so that values stay small.
const ELEMENTS_MAX: usize = 12;
/// Lists of one transaction.
const LISTS_MAX: usize = 4;

#[derive(Clone, Debug)]
pub(super) struct Append {
    values: Values,
    keys: Keys,
}

/// Appends until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let mut append = Append { values: desk.values(), keys: desk.keys("list/") };
    let mut client = desk.client();
    while desk.board.is_loading() {
        let lists = append.choose(&mut desk.rng);
        let read = append.read(&lists, &mut desk.rng);
        if let Some(response) = client.ask(read).await.ok() {
            let write = append.write(&lists, &response, &mut desk.rng);
            client.ask(write).await;
        }
        desk.think().await;
    }
}

impl Append {
    /// The lists of one transaction, each once.
    fn choose(&self, rng: &mut ChaCha8Rng) -> Vec<String> {
        let wanted = rng.random_range(1..=LISTS_MAX);
        let mut lists: Vec<String> = (0..wanted).map(|_| self.keys.pick(rng)).collect();
        lists.sort();
        lists.dedup();
        lists.shuffle(rng);
        lists
    }

    /// Reads them, all at one revision.
    fn read(&self, lists: &[String], rng: &mut ChaCha8Rng) -> Request {
        if rng.random() {
            return say::list(self.keys.prefix()).into();
        }
        let then = lists.iter().map(|key| say::get(key).into()).collect();
        Request::Txn(Txn { then, ..Txn::default() })
    }

    /// Appends to them if they are still as they were read; reads them otherwise.
    fn write(&mut self, lists: &[String], read: &Response, rng: &mut ChaCha8Rng) -> Request {
        let ranged = say::pairs(&read.body).iter();
        let known: Vec<&Pair> = ranged.chain(say::pairs_of_steps(&read.body)).collect();
        let mut txn = Txn::default();
        for key in lists {
            let found = known.iter().find(|pair| pair.key == *key);
            let revision = found.map_or(0, |pair| pair.version.mod_revision);
            txn.compare.push(say::modified_at(key, revision));
            let old = found.map_or("", |pair| pair.version.value.as_str());
            txn.then.push(say::put(key, self.longer(old)).into());
            txn.otherwise.push(say::get(key).into());
        }
        // Reads between writes see what was written so far.
        if rng.random_ratio(1, 4) {
            let key = &lists[rng.random_range(0..lists.len())];
            let place = rng.random_range(0..=txn.then.len());
            txn.then.insert(place, Step::Range(say::get(key)));
        }
        Request::Txn(txn)
    }

    fn longer(&mut self, old: &str) -> String {
        let element = self.values.tag();
        if old.is_empty() || old.split(',').count() >= ELEMENTS_MAX {
            return element;
        }
        format!("{old},{element}")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::history::{Body, request::Version};

    #[test]
    fn a_list_grows_only_if_it_is_as_it_was_read() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut append = Append { values: Values::new(1, 0), keys: Keys::new("list/", 3, 0) };
        let version = Version {
            value: "9.1.".to_owned(),
            mod_revision: 7,
            create_revision: 7,
            version: 1,
            lease: 0,
        };
        let kvs = vec![Pair { key: "list/000".to_owned(), version }];
        let read = Response { revision: 8, body: Body::Range { kvs, count: 1, more: false } };
        let lists = ["list/000".to_owned(), "list/001".to_owned()];
        let Request::Txn(txn) = append.write(&lists, &read, &mut rng) else { panic!("a txn") };
        let conditions = vec![say::modified_at("list/000", 7), say::modified_at("list/001", 0)];
        assert_eq!(txn.compare, conditions);
        let values: Vec<&str> = txn
            .then
            .iter()
            .filter_map(|step| match step {
                Step::Put(put) => Some(put.value.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(values, ["9.1.,1.1.", "1.2."]);
    }

    #[test]
    fn no_list_is_written_twice_and_none_grows_for_ever() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut append = Append { values: Values::new(1, 0), keys: Keys::new("list/", 3, 0) };
        for _ in 0..100 {
            let mut lists = append.choose(&mut rng);
            let all = lists.len();
            lists.sort();
            lists.dedup();
            assert_eq!(lists.len(), all);
        }
        let mut list = String::new();
        for _ in 0..100 {
            list = append.longer(&list);
            assert!(list.split(',').count() <= ELEMENTS_MAX);
        }
    }
}
