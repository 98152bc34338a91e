//! Draws requests that the history has words for, each field by class.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::{Desk, say, values::Values};
use crate::{
    history::{
        Body, Request, Response, WatchSpec,
        request::{
            Compare, Delete, Put, Range, Relation, Sort, SortBy, SortOrder, Step, Target, Txn,
        },
    },
    workload::values::pick_weighted,
};

/// Under which all keys of an explorer are, but for the odd ones.
const PREFIX: &str = "wild/";
/// Keys of the usual kind.
const KEYS: u32 = 6;
/// Operations of a transaction that is not meant to have too many.
const STEPS_MAX: u32 = 4;
/// More than any member takes in one transaction.
const STEPS_TOO_MANY: usize = 200;
/// How deep transactions are nested at most.
const DEPTH_MAX: u32 = 3;
/// Longer than most, in bytes.
const LONG: usize = 1200;
/// Values of one byte, each written once by whoever it belongs to: values tell who wrote them.
const ONE_BYTE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
/// As many explorers share them.
const ONE_BYTE_SHARES: usize = 8;
/// Leases that live on for ever, at most.
const IMMORTAL_MAX: u32 = 8;

#[derive(Clone, Debug)]
pub(super) struct Explorer {
    values: Values,
    /// The highest revision heard of.
    revision: i64,
    lease: i64,
    immortal: u32,
    /// Values of one byte that it has not written yet.
    one_byte: Vec<u8>,
}

impl Explorer {
    pub(super) fn new(desk: &Desk) -> Self {
        Self::with(desk.values(), desk.scribe.client())
    }

    fn with(values: Values, client: u32) -> Self {
        let mine = client as usize % ONE_BYTE_SHARES;
        let one_byte = ONE_BYTE.iter().skip(mine).step_by(ONE_BYTE_SHARES).copied().collect();
        Self { values, revision: 1, lease: 0, immortal: 0, one_byte }
    }

    pub(super) fn remember(&mut self, _: &Request, response: &Response) {
        self.revision = self.revision.max(response.revision);
        if let Body::Lease { id, .. } = response.body {
            self.lease = id;
        }
    }

    pub(super) fn request(&mut self, rng: &mut ChaCha8Rng) -> Request {
        match pick_weighted(&[10, 10, 4, 12, 2, 3, 2, 2, 2, 1, 1, 1], rng) {
            0 => self.range(rng).into(),
            1 => self.put(rng).into(),
            2 => self.delete(rng).into(),
            3 => Request::Txn(self.txn(DEPTH_MAX, rng)),
            4 => {
                // What can succeed is the operator's business: it knows how far the witness is.
                let revision = [-1, 0, i64::MIN, i64::MAX][rng.random_range(0..4)];
                Request::Compact { revision, physical: rng.random() }
            }
            5 => self.grant(rng),
            6 => Request::Revoke { id: self.lease_id(rng) },
            7 => Request::KeepAlive { id: self.lease_id(rng) },
            8 => Request::TimeToLive { id: self.lease_id(rng), keys: rng.random() },
            9 => Request::Leases,
            10 => Request::HashKv { revision: self.number(rng) },
            _ => {
                let alarm = ["nospace", "corrupt", "none"][rng.random_range(0..3)];
                say::alarm("get", alarm, self.number(rng).cast_unsigned())
            }
        }
    }

    /// Raises an alarm of a member that is none, and ends it. Nobody can write in between, just as
    /// if a member had run out of space. CORRUPT is left to the members: etcd answers whatever it
    /// is asked with a loss of data then, which no role could tell from a real one.
    pub(super) fn alarms(&self, rng: &mut ChaCha8Rng) -> [Request; 2] {
        let nobody = [1, 7, u64::MAX, i64::MAX.cast_unsigned()][rng.random_range(0..4)];
        [say::alarm("activate", "nospace", nobody), say::alarm("deactivate", "nospace", nobody)]
    }

    /// A watch, and the number it is to have on its stream.
    pub(super) fn watch(&mut self, rng: &mut ChaCha8Rng) -> (WatchSpec, i64) {
        let spec = WatchSpec {
            key: self.key(rng),
            end: self.end(rng),
            start_revision: self.number(rng),
            prev_kv: rng.random(),
            progress_notify: rng.random(),
            no_put: rng.random_ratio(1, 8),
            no_delete: rng.random_ratio(1, 8),
            fragment: rng.random(),
        };
        // A number of -1 stands for no watch in the answers.
        let number = match self.number(rng) {
            -1 => -2,
            number => number,
        };
        (spec, number)
    }

    /// Of the class of numbers: zero, one, usual, negative, as large as can be.
    fn number(&self, rng: &mut ChaCha8Rng) -> i64 {
        match pick_weighted(&[10, 2, 8, 1, 1, 1], rng) {
            0 => 0,
            1 => 1,
            2 => rng.random_range(1..=self.revision),
            3 => -rng.random_range(1..100),
            4 => i64::MAX,
            _ => i64::MIN,
        }
    }

    fn key(&mut self, rng: &mut ChaCha8Rng) -> String {
        match pick_weighted(&[20, 1, 1, 1, 1, 1], rng) {
            0 => self.usual_key(rng),
            1 => String::new(),
            2 => "\0".to_owned(),
            3 => format!("{PREFIX}\u{1f980}\u{7}"),
            4 => format!("{PREFIX}{}", "k".repeat(LONG)),
            _ => "z".to_owned(),
        }
    }

    fn usual_key(&self, rng: &mut ChaCha8Rng) -> String {
        format!("{PREFIX}{}", rng.random_range(0..KEYS))
    }

    fn end(&mut self, rng: &mut ChaCha8Rng) -> String {
        match pick_weighted(&[20, 8, 4, 2, 2, 1, 1], rng) {
            0 => String::new(),
            1 => self.usual_key(rng),
            2 => "\0".to_owned(),
            // Before any key of ours: an empty range.
            3 => "a".to_owned(),
            4 => format!("{PREFIX}{}", "l".repeat(LONG)),
            5 => "z".to_owned(),
            _ => "\u{10ffff}".to_owned(),
        }
    }

    /// A value that nobody else writes, of each class but the empty one.
    fn value(&mut self, rng: &mut ChaCha8Rng) -> String {
        match pick_weighted(&[20, 1, 1, 1], rng) {
            1 => match self.one_byte.pop() {
                Some(byte) => char::from(byte).to_string(),
                None => self.values.fresh(rng),
            },
            2 => format!("{}\u{7}\u{1f980}", self.values.tag()),
            3 => self.values.of_len(LONG as u64),
            _ => self.values.fresh(rng),
        }
    }

    fn lease_id(&self, rng: &mut ChaCha8Rng) -> i64 {
        if rng.random() { self.lease } else { self.number(rng) }
    }

    fn range(&mut self, rng: &mut ChaCha8Rng) -> Range {
        let by = [SortBy::Key, SortBy::Version, SortBy::Create, SortBy::Mod, SortBy::Value];
        let order = [SortOrder::None, SortOrder::Ascend, SortOrder::Descend];
        let seldom = |one: i64, rng: &mut ChaCha8Rng| if rng.random_ratio(1, 4) { one } else { 0 };
        let (key, end) = (self.key(rng), self.end(rng));
        let number = |rng: &mut ChaCha8Rng| {
            let number = self.number(rng);
            seldom(number, rng)
        };
        Range {
            key,
            end,
            revision: number(rng),
            limit: number(rng),
            sort: Sort { by: by[rng.random_range(0..5)], order: order[rng.random_range(0..3)] },
            serializable: rng.random(),
            keys_only: rng.random_ratio(1, 4),
            count_only: rng.random_ratio(1, 4),
            min_mod: number(rng),
            max_mod: number(rng),
            min_create: number(rng),
            max_create: number(rng),
        }
    }

    fn put(&mut self, rng: &mut ChaCha8Rng) -> Put {
        let ignore_value = rng.random_ratio(1, 8);
        // Refused if both are given.
        let value = match (ignore_value, rng.random_ratio(1, 4)) {
            (true, false) => String::new(),
            _ => self.value(rng),
        };
        Put {
            key: self.key(rng),
            value,
            lease: if rng.random() { 0 } else { self.lease_id(rng) },
            prev_kv: rng.random(),
            ignore_value,
            ignore_lease: rng.random_ratio(1, 8),
        }
    }

    fn delete(&mut self, rng: &mut ChaCha8Rng) -> Delete {
        let key = self.key(rng);
        // From the first key on would be everything there is.
        let end = if key.starts_with(PREFIX) { self.end(rng) } else { String::new() };
        Delete { key, end, prev_kv: rng.random() }
    }

    fn txn(&mut self, depth: u32, rng: &mut ChaCha8Rng) -> Txn {
        let compare = (0..rng.random_range(0..3)).map(|_| self.compare(rng)).collect();
        let mut txn =
            Txn { compare, then: self.steps(depth, rng), otherwise: self.steps(depth, rng) };
        if rng.random_ratio(1, 20) {
            match rng.random_range(0..3) {
                0 => txn.compare = vec![say::modified_at(PREFIX, 0); STEPS_TOO_MANY],
                1 => txn.then = vec![Step::Range(say::get(PREFIX)); STEPS_TOO_MANY],
                _ => txn.otherwise = vec![Step::Range(say::get(PREFIX)); STEPS_TOO_MANY],
            }
        }
        txn
    }

    fn steps(&mut self, depth: u32, rng: &mut ChaCha8Rng) -> Vec<Step> {
        (0..rng.random_range(0..STEPS_MAX)).map(|_| self.step(depth, rng)).collect()
    }

    fn step(&mut self, depth: u32, rng: &mut ChaCha8Rng) -> Step {
        match pick_weighted(&[3, 6, 2, u32::from(depth > 0)], rng) {
            0 => self.range(rng).into(),
            // A few keys only, so that duplicates come.
            1 => Put { key: self.usual_key(rng), ..self.put(rng) }.into(),
            2 => self.delete(rng).into(),
            _ => Step::Txn(self.txn(depth - 1, rng)),
        }
    }

    fn compare(&mut self, rng: &mut ChaCha8Rng) -> Compare {
        let is = [Relation::Equal, Relation::NotEqual, Relation::Greater, Relation::Less];
        let number = self.number(rng);
        let target = match rng.random_range(0..5) {
            0 => Target::Version(number),
            1 => Target::Create(number),
            2 => Target::Mod(number),
            3 => Target::Value(match rng.random_range(0..5) {
                0 => String::new(),
                1 => "5".to_owned(),
                2 => "\u{1f980}\u{7}".to_owned(),
                3 => "v".repeat(LONG),
                _ => "wild".to_owned(),
            }),
            _ => Target::Lease(self.lease_id(rng)),
        };
        let end = if rng.random_ratio(1, 3) { self.end(rng) } else { String::new() };
        let key = if rng.random_ratio(1, 4) { self.key(rng) } else { self.usual_key(rng) };
        Compare { key, end, is: is[rng.random_range(0..4)], target }
    }

    fn grant(&mut self, rng: &mut ChaCha8Rng) -> Request {
        let mut ttl = match rng.random_range(0..6) {
            0 => 0,
            1 => 1,
            2 => -rng.random_range(1..100),
            3 => i64::MAX,
            4 => 9_000_000_000,
            _ => 5,
        };
        if ttl == 9_000_000_000 {
            self.immortal += 1;
            ttl = if self.immortal > IMMORTAL_MAX { 2 } else { ttl };
        }
        Request::Grant { id: if rng.random() { 0 } else { self.lease_id(rng) }, ttl }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::{
        history::{Event, WatchStep, What},
        workload::{Board, Part as _, coverage, maintenance::Maintenance},
    };

    fn explorer() -> Explorer {
        Explorer { revision: 90, lease: 7, ..Explorer::with(Values::new(1, 20), 1) }
    }

    /// Every key a request may write or delete.
    fn written(request: &Request, keys: &mut Vec<(String, String)>) {
        fn steps(txn: &Txn, keys: &mut Vec<(String, String)>) {
            for step in txn.then.iter().chain(&txn.otherwise) {
                match step {
                    Step::Put(put) => keys.push((put.key.clone(), String::new())),
                    Step::Delete(delete) => keys.push((delete.key.clone(), delete.end.clone())),
                    Step::Txn(txn) => steps(txn, keys),
                    Step::Range(_) => {}
                }
            }
        }
        match request {
            Request::Put(put) => keys.push((put.key.clone(), String::new())),
            Request::Delete(delete) => keys.push((delete.key.clone(), delete.end.clone())),
            Request::Txn(txn) => steps(txn, keys),
            _ => {}
        }
    }

    #[test]
    fn nothing_that_others_rely_on_is_written() {
        let (mut explorer, mut rng) = (explorer(), ChaCha8Rng::seed_from_u64(1));
        let mut keys = Vec::new();
        for _ in 0..3000 {
            written(&explorer.request(&mut rng), &mut keys);
        }
        assert!(keys.len() > 2000);
        for (key, end) in keys {
            let own = key.starts_with(PREFIX);
            let odd = ["", "\0", "z"].contains(&key.as_str());
            assert!(own || odd && end.is_empty(), "{key:?} to {end:?}");
        }
    }

    #[test]
    fn values_of_one_byte_are_written_once_by_one_explorer() {
        let (mut seen, mut rng) = (BTreeSet::new(), ChaCha8Rng::seed_from_u64(3));
        for client in 1..=8 {
            let mut explorer = Explorer::with(Values::new(client, 20), client);
            for _ in 0..400 {
                let value = explorer.value(&mut rng);
                assert!(seen.insert(value.clone()), "{value:?} comes twice");
            }
        }
        assert_eq!(seen.iter().filter(|value| value.len() == 1).count(), ONE_BYTE.len());
    }

    #[test]
    fn every_cell_can_be_sent_by_some_role() {
        let (mut explorer, mut rng) = (explorer(), ChaCha8Rng::seed_from_u64(4));
        let event = |what| Event { at: 0, client: 1, what };
        let ask = |request| event(What::Invoke { op: 1, member: 0, request });
        let mut history: Vec<Event> =
            (0..20_000).map(|_| ask(explorer.request(&mut rng))).collect();
        history.extend((0..20).flat_map(|_| explorer.alarms(&mut rng)).map(ask));
        // What operators and those who hold leases ask for, and explorers leave to them.
        let board = Board::default();
        board.witness(50);
        let mut operator = Maintenance::knowing(board, 50);
        history.extend((0..3_000).map(|_| ask(operator.choose(&mut rng))));
        let mut sent: BTreeSet<String> = BTreeSet::new();
        for _ in 0..2_000 {
            let (spec, number) = explorer.watch(&mut rng);
            sent.insert(coverage::of_watch_id(number));
            let step = WatchStep::Open { spec };
            history.push(event(What::Watch { watch: 1, member: 0, step }));
        }
        sent.extend(coverage::of(&history).into_keys());
        sent.extend(super::super::RAW_CELLS.iter().map(|cell| (*cell).to_owned()));
        sent.insert(coverage::PROGRESS_REQUEST.to_owned());
        let dead: Vec<String> = coverage::cells().filter(|cell| !sent.contains(cell)).collect();
        assert!(dead.is_empty(), "nobody sends {dead:?}");
    }

    #[test]
    fn what_is_too_much_or_makes_no_sense_is_drawn_too() {
        let (mut explorer, mut rng) = (explorer(), ChaCha8Rng::seed_from_u64(2));
        let requests: Vec<Request> = (0..3000).map(|_| explorer.request(&mut rng)).collect();
        let some = |holds: fn(&Request) -> bool| requests.iter().any(holds);
        assert!(some(|ask| matches!(ask, Request::Txn(txn) if txn.then.len() == STEPS_TOO_MANY)));
        assert!(some(|ask| matches!(ask, Request::Range(range) if range.limit < 0)));
        assert!(some(|ask| matches!(ask, Request::Put(put) if put.key.is_empty())));
        assert!(some(
            |ask| matches!(ask, Request::Put(put) if put.ignore_value && !put.value.is_empty())
        ));
        assert!(some(|ask| matches!(ask, Request::Grant { ttl: i64::MAX, .. })));
    }
}
