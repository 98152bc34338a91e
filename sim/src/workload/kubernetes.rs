//! Behaves like the storage layer of a Kubernetes API server: lists, watches from the revision of
//! the list, keeps a cache from the watch, and writes only guarded by what the cache says.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::{Either, select};
use rand::{RngExt, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Answer, Client, Desk, say,
    values::{Keys, Values, pick_weighted},
    watch::{Habits, Tail, Turn},
};
use crate::history::{
    Body, Change, Request,
    request::{Put, Range, Txn},
};
use crate::history::{WatchSpec, WatchStep};

/// How long a turn of the watch waits for a message.
const TURN: Duration = Duration::from_millis(300);
/// The prefix of all objects.
const PREFIX: &str = "k8s/";
/// Events hang on leases this long, in seconds.
const EVENT_TTL_SECS: i64 = 6;
/// Events on one lease, before another is made.
const EVENTS_PER_LEASE: u32 = 5;

/// The cache: mod revisions of the objects, and where the watch of them goes on.
#[derive(Clone, Default, Debug)]
struct Cache(Arc<Mutex<Objects>>);

#[derive(Default, Debug)]
struct Objects {
    revisions: BTreeMap<String, i64>,
    /// The revision of the list; nothing: there is none, list anew.
    listed: Option<i64>,
}

impl Cache {
    fn with<T>(&self, f: impl FnOnce(&mut Objects) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn apply(&self, changes: &[Change]) {
        self.with(|objects| {
            for change in changes {
                let known = objects.revisions.get(&change.key).copied().unwrap_or(0);
                if change.revision < known {
                    continue;
                }
                match &change.now {
                    Some(_) => _ = objects.revisions.insert(change.key.clone(), change.revision),
                    None => _ = objects.revisions.remove(&change.key),
                }
            }
        });
    }
}

/// Plays an API server until the load is over; its watch goes on until the run is.
pub(super) async fn run(desk: Desk) {
    let cache = Cache::default();
    let watching = watch(&desk, &cache);
    let server = Server::new(&desk, &cache);
    let serving = server.run(desk.clone());
    match select(pin!(watching), pin!(serving)).await {
        Either::Left(((), _)) => {}
        Either::Right(((), watching)) => watching.await,
    }
}

/// Keeps the cache up to date. Never ends.
async fn watch(desk: &Desk, cache: &Cache) {
    let habits = Habits { requires_leader: true, ..Habits::default() };
    let mut tail = Tail::new(desk.scribe.clone(), desk.board.clone(), desk.members, habits);
    loop {
        let is_watching = tail.books().next().is_some();
        if !is_watching && let Some(listed) = cache.with(|objects| objects.listed) {
            tail.add(spec(listed + 1));
        }
        match tail.turn(TURN).await {
            Turn::Step(_, WatchStep::Events { changes, .. }) => cache.apply(&changes),
            Turn::Step(_, WatchStep::Canceled { .. }) => {
                // "too old resource version": list again.
                cache.with(|objects| objects.listed = None);
            }
            Turn::Step(..) | Turn::Idle | Turn::Broken => {}
        }
    }
}

fn spec(start_revision: i64) -> WatchSpec {
    let Range { key, end, .. } = say::list(PREFIX);
    WatchSpec {
        key,
        end,
        start_revision,
        prev_kv: true,
        progress_notify: true,
        ..WatchSpec::default()
    }
}

#[derive(Debug)]
struct Server {
    values: Values,
    keys: Keys,
    cache: Cache,
    /// The lease that events hang on, and how many more may.
    lease: Option<(i64, u32)>,
}

impl Server {
    fn new(desk: &Desk, cache: &Cache) -> Self {
        let (values, keys, cache) = (desk.values(), desk.keys(PREFIX), cache.clone());
        Self { values, keys, cache, lease: None }
    }

    async fn run(mut self, mut desk: Desk) {
        let mut client = desk.client();
        while desk.board.is_loading() {
            if self.cache.with(|objects| objects.listed.is_none()) {
                self.list(&mut client, &mut desk.rng).await;
            } else {
                self.turn(&mut client, &mut desk.rng).await;
            }
            desk.think().await;
        }
    }

    /// Lists all objects, page by page at one revision, and begins the cache anew with them.
    async fn list(&self, client: &mut Client, rng: &mut ChaCha8Rng) {
        let mut ask = Range { limit: rng.random_range(0..5), ..say::list(PREFIX) };
        let mut found = BTreeMap::new();
        loop {
            let Some(response) = client.ask(ask.clone().into()).await.ok() else { return };
            let Body::Range { kvs, more, .. } = &response.body else { return };
            if ask.revision == 0 {
                ask.revision = response.revision;
            }
            for pair in kvs {
                found.insert(pair.key.clone(), pair.version.mod_revision);
            }
            match kvs.last() {
                Some(last) if *more => ask.key = format!("{}\0", last.key),
                _ => break,
            }
        }
        self.cache.with(|objects| {
            *objects = Objects { revisions: found, listed: Some(ask.revision) };
        });
    }

    async fn turn(&mut self, client: &mut Client, rng: &mut ChaCha8Rng) {
        let lease = match self.lease {
            Some((lease, left)) if left > 0 => {
                self.lease = Some((lease, left - 1));
                lease
            }
            _ if rng.random_ratio(1, 8) => {
                let ttl = EVENT_TTL_SECS;
                let granted = client.ask(Request::Grant { id: 0, ttl }).await;
                if let Answer::Ok(response) = granted
                    && let Body::Lease { id, .. } = response.body
                {
                    self.lease = Some((id, EVENTS_PER_LEASE));
                }
                return;
            }
            _ => 0,
        };
        let request = self.choose(lease, rng);
        if let Answer::Fail(_) = client.ask(request).await {
            // The lease may be gone.
            self.lease = None;
        }
    }

    fn choose(&mut self, lease: i64, rng: &mut ChaCha8Rng) -> Request {
        let known = self.cache.with(|objects| {
            let one = objects.revisions.iter().choose(rng);
            one.map(|(key, revision)| (key.clone(), *revision))
        });
        match (pick_weighted(&[3, 5, 2, 2], rng), known) {
            (1, Some((key, revision))) => {
                let value = self.values.fresh(rng);
                guarded(&key, revision, vec![Put { lease, ..say::put(&key, value) }.into()])
            }
            (2, Some((key, revision))) => guarded(&key, revision, vec![say::delete(&key).into()]),
            (3, Some((key, _))) => say::get(&key).into(),
            _ => {
                let key = self.keys.pick(rng);
                let value = self.values.fresh(rng);
                guarded(&key, 0, vec![Put { lease, ..say::put(&key, value) }.into()])
            }
        }
    }
}

/// Does `then` if `key` is as the cache says; reads it otherwise.
fn guarded(key: &str, revision: i64, then: Vec<crate::history::request::Step>) -> Request {
    let compare = vec![say::modified_at(key, revision)];
    Request::Txn(Txn { compare, then, otherwise: vec![say::get(key).into()] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::request::Version;

    #[test]
    fn the_cache_follows_the_watch_and_never_goes_back() {
        let cache = Cache::default();
        let version = |mod_revision| Version {
            value: String::new(),
            mod_revision,
            create_revision: 1,
            version: 1,
            lease: 0,
        };
        let change = |revision, now: bool| Change {
            key: "k8s/000".to_owned(),
            revision,
            now: now.then(|| version(revision)),
            prev: None,
        };
        let revision = || cache.with(|objects| objects.revisions.get("k8s/000").copied());
        cache.apply(&[change(4, true), change(6, true)]);
        assert_eq!(revision(), Some(6));
        cache.apply(&[change(5, true)]);
        assert_eq!(revision(), Some(6));
        cache.apply(&[change(7, false)]);
        assert_eq!(revision(), None);
    }
}
