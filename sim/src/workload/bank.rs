//! Accounts: money moves between them in transactions, and the sum stays.
//!
//! A value is the tag of the transaction that wrote it and the balance after it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    Client, Desk, say,
    values::{Keys, Values},
};
use crate::history::{
    Request,
    request::{Compare, Pair, Relation, Target, Txn},
};

/// What each account begins with.
const BALANCE: i64 = 100;

#[derive(Clone, Debug)]
struct Bank {
    values: Values,
    keys: Keys,
}

/// Moves money until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let mut bank = Bank { values: desk.values(), keys: desk.keys("bank/") };
    let mut client = desk.client();
    while desk.board.is_loading() {
        bank.turn(&mut client, &mut desk.rng).await;
        desk.think().await;
    }
}

impl Bank {
    async fn turn(&mut self, client: &mut Client, rng: &mut ChaCha8Rng) {
        let Some(response) = client.ask(say::list(self.keys.prefix()).into()).await.ok() else {
            return;
        };
        let accounts = say::pairs(&response.body);
        let request = match self.transfer(accounts, rng) {
            Some(transfer) => transfer,
            None => self.open(),
        };
        client.ask(request).await;
    }

    /// Opens all accounts, if there are none.
    fn open(&mut self) -> Request {
        let count = self.keys.count().max(2);
        let names: Vec<String> = (0..count).map(|number| self.keys.named(number)).collect();
        let all = say::list(self.keys.prefix());
        // No account exists: the condition holds if it holds for every key in the range.
        let none = Compare {
            key: all.key.clone(),
            end: all.end.clone(),
            is: Relation::Equal,
            target: Target::Version(0),
        };
        let then = names.iter().map(|name| say::put(name, self.balance(BALANCE)).into()).collect();
        Request::Txn(Txn { compare: vec![none], then, otherwise: vec![all.into()] })
    }

    /// Moves money between two accounts if they are as they were read; looks at all otherwise.
    fn transfer(&mut self, accounts: &[Pair], rng: &mut ChaCha8Rng) -> Option<Request> {
        let from = accounts.get(rng.random_range(0..accounts.len().max(1)))?;
        let to = accounts.get(rng.random_range(0..accounts.len()))?;
        if from.key == to.key {
            return Some(say::get(&from.key).into());
        }
        let amount = rng.random_range(1..=BALANCE / 2).min(balance_of(from)?);
        let then = vec![
            say::put(&from.key, self.balance(balance_of(from)? - amount)).into(),
            say::put(&to.key, self.balance(balance_of(to)? + amount)).into(),
        ];
        let unchanged = |pair: &Pair| say::modified_at(&pair.key, pair.version.mod_revision);
        let compare = vec![unchanged(from), unchanged(to)];
        let otherwise = vec![say::list(self.keys.prefix()).into()];
        Some(Request::Txn(Txn { compare, then, otherwise }))
    }

    fn balance(&mut self, balance: i64) -> String {
        format!("{}{balance}", self.values.tag())
    }
}

fn balance_of(pair: &Pair) -> Option<i64> {
    pair.version.value.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::history::request::{Step, Version};

    #[test]
    fn a_transfer_keeps_the_sum_and_no_balance_is_negative() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut bank = Bank { values: Values::new(1, 0), keys: Keys::new("bank/", 3, 0) };
        let mut values = BTreeMap::new();
        let Request::Txn(open) = bank.open() else { panic!("a transaction") };
        let mut carry_out = |txn: Txn| {
            for step in txn.then {
                let Step::Put(put) = step else { panic!("a put") };
                values.insert(put.key, put.value);
            }
            let pair = |(key, value): (&String, &String)| Pair {
                key: key.clone(),
                version: Version {
                    value: value.clone(),
                    mod_revision: 2,
                    create_revision: 2,
                    version: 1,
                    lease: 0,
                },
            };
            values.iter().map(pair).collect::<Vec<Pair>>()
        };
        let mut accounts = carry_out(open);
        for _ in 0..100 {
            if let Some(Request::Txn(txn)) = bank.transfer(&accounts, &mut rng) {
                assert_eq!(txn.compare.len(), 2);
                accounts = carry_out(txn);
            }
            let balances = accounts.iter().map(|pair| balance_of(pair).expect("a balance"));
            assert!(balances.clone().all(|balance| balance >= 0));
            assert_eq!(balances.sum::<i64>(), 3 * BALANCE);
        }
    }
}
