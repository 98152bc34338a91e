//! How fast is checking? A long legal history, made to measure.
//!
//! Clients put, get, delete and swap keys; each key has a watcher that sees all of it with what
//! was there before. Some answers never come.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{
    Audit,
    file::CaseFile,
    sample::{Sample, delete, get, put, swap},
};
use crate::history::{Change, OpId, Request, Response, WatchSpec, WatchStep};

/// Events a watcher gets at once.
const BATCH: usize = 100;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Operations.
    pub ops: u64,
    /// Clients at once.
    pub clients: u32,
    /// Keys, and as many watchers.
    pub keys: u32,
    /// Of a hundred operations, so many have no known outcome.
    pub unknown_percent: u32,
}

/// What a client is doing.
struct Running {
    op: OpId,
    request: Request,
    answer: Option<Response>,
}

/// Makes a history of that size; equal seeds make equal histories.
#[must_use]
pub fn history(size: Size, seed: u64) -> CaseFile {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sample = Sample::default();
    let mut clients: Vec<Option<Running>> = (0..size.clients).map(|_| None).collect();
    let mut begun = 0;
    while begun < size.ops {
        let client = rng.random_range(0..size.clients);
        let slot = &mut clients[client as usize];
        *slot = match slot.take() {
            None => {
                begun += 1;
                let request = request(&mut rng, &sample, size.keys, begun);
                let op = sample.begin(client, request.clone());
                Some(Running { op, request, answer: None })
            }
            Some(Running { op, request, answer: None }) => {
                let answer = Some(sample.store.apply(&request));
                Some(Running { op, request, answer })
            }
            Some(Running { op, answer: Some(_), .. })
                if rng.random_range(0..100) < size.unknown_percent =>
            {
                sample.lose(client, op);
                None
            }
            Some(Running { op, answer: Some(answer), .. }) => {
                sample.end(client, op, answer);
                None
            }
        };
    }
    watch(&mut sample);
    // What is measured is the history and not its making: nothing else stays in memory.
    let changes = std::mem::take(&mut sample.store.changes);
    let audit = Audit { changes, ..sample.audit() };
    CaseFile { rules: sample.rules, audit, history: sample.events, ..CaseFile::default() }
}

fn request(rng: &mut ChaCha8Rng, sample: &Sample, keys: u32, value: u64) -> Request {
    let key = format!("key/{}", rng.random_range(0..keys));
    match rng.random_range(0..10) {
        0..4 => put(&key, &format!("value/{value}")),
        4..8 => get(&key),
        8 => {
            let now = sample.store.state.get(&key).map_or(0, |version| version.mod_revision);
            swap(&key, now, &format!("value/{value}"))
        }
        _ => delete(&key),
    }
}

/// A watcher for each key, told of everything.
fn watch(sample: &mut Sample) {
    let mut of_key: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for change in &sample.store.changes {
        of_key.entry(change.key.clone()).or_default().push(change.clone());
    }
    for (watch, (key, changes)) in (1..).zip(of_key) {
        let spec = WatchSpec { key, start_revision: 1, prev_kv: true, ..WatchSpec::default() };
        sample.watch(watch, WatchStep::Open { spec });
        let revision = sample.store.revision;
        sample.watch(watch, WatchStep::Created { revision });
        let mut rest = changes.into_iter();
        while rest.len() > 0 {
            let changes = rest.by_ref().take(BATCH).collect();
            sample.watch(watch, WatchStep::Events { revision, changes, fragment: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Checked, check};

    #[test]
    fn what_is_measured_is_legal() {
        let size = Size { ops: 20_000, clients: 32, keys: 100, unknown_percent: 5 };
        let made = history(size, 1);
        assert!(made.audit.revision > 10_000);
        assert_eq!(check(&made.case()), Checked::default());
    }
}
