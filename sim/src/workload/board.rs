//! What a run tells its machines, and they it: a notice board outside the simulated world.
//!
//! Nobody in the world could know this; clients use it only for what must not depend on the server
//! under test: when to stop, how far the witness has seen, whether every watch has caught up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use crate::{check::Violation, history::WatchId};

/// The notice board of a run; clones are the same board.
#[derive(Clone, Default, Debug)]
pub struct Board(Arc<Notices>);

#[derive(Default, Debug)]
struct Notices {
    load_over: AtomicBool,
    settle_at: AtomicI64,
    witnessed: AtomicI64,
    /// Whose each watch is, and how far it has seen.
    watches: Mutex<BTreeMap<WatchId, (u32, i64)>>,
    sent: Mutex<BTreeMap<String, u64>>,
    complaints: Mutex<Vec<Violation>>,
}

impl Board {
    /// May clients send more?
    #[must_use]
    pub fn is_loading(&self) -> bool {
        !self.0.load_over.load(Ordering::Relaxed)
    }

    /// Clients finish what they are at and send no more.
    pub fn end_load(&self) {
        self.0.load_over.store(true, Ordering::Relaxed);
    }

    /// From now on watchers prove that they have seen everything up to `revision`.
    pub fn settle(&self, revision: i64) {
        self.0.settle_at.store(revision, Ordering::Relaxed);
    }

    /// What watchers have to prove, once that is due.
    #[must_use]
    pub fn settle_at(&self) -> Option<i64> {
        match self.0.settle_at.load(Ordering::Relaxed) {
            0 => None,
            revision => Some(revision),
        }
    }

    /// The witness has seen everything up to `revision`.
    pub fn witness(&self, revision: i64) {
        self.0.witnessed.fetch_max(revision, Ordering::Relaxed);
    }

    /// How far the witness has seen: history up to there may be compacted away without making the
    /// run undecidable.
    #[must_use]
    pub fn witnessed(&self) -> i64 {
        self.0.witnessed.load(Ordering::Relaxed)
    }

    /// `watch` of `client` has seen everything up to `revision`.
    pub fn watch_complete_to(&self, client: u32, watch: WatchId, revision: i64) {
        let mut watches = lock(&self.0.watches);
        let (_, seen) = watches.entry(watch).or_insert((client, revision));
        *seen = revision.max(*seen);
    }

    /// Nobody waits for `watch` any more.
    pub fn watch_ended(&self, watch: WatchId) {
        lock(&self.0.watches).remove(&watch);
    }

    /// Nobody waits for any watch of `client` any more.
    pub fn client_is_gone(&self, client: u32) {
        lock(&self.0.watches).retain(|_, (whose, _)| *whose != client);
    }

    /// A watch that has not seen everything up to `revision`, and how far it is.
    #[must_use]
    pub fn watch_behind(&self, revision: i64) -> Option<(WatchId, i64)> {
        let watches = lock(&self.0.watches);
        let mut behind = watches.iter().filter(|(_, (_, seen))| *seen < revision);
        behind.next().map(|(watch, (_, seen))| (*watch, *seen))
    }

    /// A request was sent that the history has no words for; `cell` is what it covers.
    pub fn sent(&self, cell: &str) {
        *lock(&self.0.sent).entry(cell.to_owned()).or_default() += 1;
    }

    /// Everything given to [`Board::sent`], and how often.
    #[must_use]
    pub fn all_sent(&self) -> BTreeMap<String, u64> {
        lock(&self.0.sent).clone()
    }

    /// A client saw what must not be, and what no checker would find in the history.
    pub fn complain(&self, class: &str, story: String) {
        let violation = Violation { class: class.to_owned(), story, ops: Vec::new() };
        lock(&self.0.complaints).push(violation);
    }

    /// Everything clients complained of.
    #[must_use]
    pub fn complaints(&self) -> Vec<Violation> {
        lock(&self.0.complaints).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_behind_until_it_has_seen_enough_or_ended() {
        let board = Board::default();
        assert_eq!(board.watch_behind(5), None);
        board.watch_complete_to(7, 1, 3);
        board.watch_complete_to(7, 2, 5);
        assert_eq!(board.watch_behind(5), Some((1, 3)));
        board.watch_complete_to(7, 1, 6);
        board.watch_complete_to(7, 1, 4);
        assert_eq!(board.watch_behind(6), Some((2, 5)));
        board.watch_ended(2);
        assert_eq!(board.watch_behind(6), None);
        board.watch_complete_to(8, 3, 1);
        board.client_is_gone(8);
        assert_eq!(board.watch_behind(6), None);
    }
}
