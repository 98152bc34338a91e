//! The graph and the search must agree on small random histories, legal and broken.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::check::wgl::{self, Spec, Timed, Verdict};

const HISTORIES: u64 = 20_000;
const BUDGET: u64 = 1_000_000;

/// All lists at once, as a search sees them.
struct Store;

impl Spec for Store {
    type State = BTreeMap<Edn, Vec<Edn>>;
    type Call = Vec<Mop>;

    fn init(&self) -> Self::State {
        BTreeMap::new()
    }

    fn step(&self, state: &Self::State, mops: &Vec<Mop>) -> Option<Self::State> {
        let mut state = state.clone();
        for mop in mops {
            match mop {
                Mop::Append(key, element) => {
                    state.entry(key.clone()).or_default().push(element.clone());
                }
                Mop::Read(_, None) => {}
                Mop::Read(key, Some(found)) => {
                    let is = state.get(key).map_or(&[][..], Vec::as_slice);
                    if is != found.as_slice() {
                        return None;
                    }
                }
            }
        }
        Some(state)
    }
}

/// A few clients whose transactions overlap; each takes effect at a moment of its own, once, or
/// never if its outcome is unknown or it failed.
fn legal(rng: &mut ChaCha8Rng) -> Vec<Txn> {
    let mut lists: BTreeMap<Edn, Vec<Edn>> = BTreeMap::new();
    let mut txns: Vec<Txn> = Vec::new();
    let mut running: Vec<Option<(usize, bool)>> = vec![None; rng.random_range(1..=4)];
    let (mut element, count) = (0, rng.random_range(2..=7));
    // Every moment is another; those between are for `break_it`.
    for now in (2_u64..).step_by(2) {
        let client = rng.random_range(0..running.len());
        running[client] = match running[client] {
            None if txns.len() < count => {
                let mops = (0..rng.random_range(1..=3)).map(|_| mop(&mut element, rng)).collect();
                txns.push(Txn {
                    invoked: now,
                    returned: u64::MAX,
                    outcome: Outcome::Unknown,
                    mops,
                });
                Some((txns.len() - 1, false))
            }
            None if running.iter().all(Option::is_none) => break,
            None => None,
            Some((index, false)) => {
                let fate = rng.random_range(0..10);
                if fate == 0 {
                    txns[index].outcome = Outcome::Failed;
                }
                if fate > 1 {
                    apply(&mut lists, &mut txns[index].mops);
                }
                (fate > 1).then_some((index, true))
            }
            Some((index, true)) => {
                if rng.random_ratio(4, 5) {
                    (txns[index].returned, txns[index].outcome) = (now, Outcome::Ok);
                }
                None
            }
        };
    }
    for txn in txns.iter_mut().filter(|txn| txn.outcome != Outcome::Ok) {
        forget(&mut txn.mops);
    }
    txns
}

/// A step that has not found anything yet.
fn mop(element: &mut i128, rng: &mut ChaCha8Rng) -> Mop {
    let key = Edn::Number(rng.random_range(0..2));
    *element += 1;
    if rng.random() { Mop::Append(key, Edn::Number(*element)) } else { Mop::Read(key, None) }
}

fn apply(lists: &mut BTreeMap<Edn, Vec<Edn>>, mops: &mut [Mop]) {
    for mop in mops {
        match mop {
            Mop::Append(key, element) => {
                lists.entry(key.clone()).or_default().push(element.clone())
            }
            Mop::Read(key, found) => *found = Some(lists.get(key).cloned().unwrap_or_default()),
        }
    }
}

/// Nobody knows what a transaction read that was not answered.
fn forget(mops: &mut [Mop]) {
    for mop in mops {
        if let Mop::Read(_, found) = mop {
            *found = None;
        }
    }
}

/// Changes a read or a time.
fn break_it(txns: &mut [Txn], rng: &mut ChaCha8Rng) {
    let index = rng.random_range(0..txns.len());
    let last = txns.iter().map(|txn| txn.invoked).max().unwrap_or(0);
    let txn = &mut txns[index];
    if rng.random_ratio(1, 3) && txn.outcome == Outcome::Ok {
        // Later or earlier than it was.
        txn.returned = rng.random_range(txn.invoked / 2..=last.max(txn.invoked) / 2) * 2 + 1;
        return;
    }
    for mop in &mut txn.mops {
        if let Mop::Read(_, Some(found)) = mop {
            match rng.random_range(0..3) {
                0 => _ = found.pop(),
                1 if found.len() > 1 => found.reverse(),
                1 => found.clear(),
                _ => found.push(Edn::Number(rng.random_range(1..20))),
            }
            return;
        }
    }
}

fn searched(txns: &[Txn]) -> Verdict {
    let counts = txns.iter().filter(|txn| txn.outcome != Outcome::Failed);
    let timed =
        |txn: &Txn| Timed { invoked: txn.invoked, returned: txn.returned, call: txn.mops.clone() };
    wgl::check(&Store, &[counts.map(timed).collect()], BUDGET)
}

#[test]
fn the_graph_and_the_search_agree() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut passed, mut refused, mut cycles) = (0_u64, 0_u64, 0_u64);
    for number in 0..HISTORIES {
        let mut txns = legal(&mut rng);
        let is_broken = number % 2 == 1 && !txns.is_empty();
        if is_broken {
            (0..rng.random_range(1..=6)).for_each(|_| break_it(&mut txns, &mut rng));
        }
        let found = check(&txns).expect("elements are unique");
        let wanted = searched(&txns);
        assert_ne!(wanted, Verdict::Undecided);
        assert!(is_broken || found.is_empty(), "{txns:#?}: {found:?}");
        let agreed = found.is_empty() == (wanted == Verdict::Linearizable);
        assert!(agreed, "the search says {wanted:?}, the graph {found:?} of {txns:#?}");
        if found.is_empty() {
            passed += 1
        } else {
            refused += 1
        }
        cycles += u64::from(found.iter().any(|one| one.class == "append.cycle"));
    }
    let enough = refused > HISTORIES / 10 && passed > HISTORIES / 2 && cycles > HISTORIES / 50;
    assert!(enough, "{passed} passed, {refused} refused, {cycles} of them cycles");
}
