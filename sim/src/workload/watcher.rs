//! Watches of all kinds on one stream: from the past, from now, from the future; of one key, some
//! or all; with filters, previous pairs, fragments, bookmarks; given up and begun anew.
//!
//! The slow one reads its stream now and then only, through a small window, so that the server has
//! to hold back what it cannot send.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use reseed_rt::clock;

use super::{
    Desk, translate,
    values::{pick_weighted, prefix_end},
    watch::{Habits, Tail, Turn},
};
use crate::history::{WatchId, WatchSpec, WatchStep};

/// How long a turn waits for a message.
const TURN: Duration = Duration::from_millis(300);
/// Watches of one client at a time.
const WATCHES_MAX: usize = 6;
/// A slow reader sleeps up to this long between two messages.
const SLOWNESS_MAX: Duration = Duration::from_millis(2500);
/// The prefixes that other roles write under.
const PREFIXES: [&str; 7] = ["reg/", "list/", "bank/", "k8s/", "lease/", "lock/", "fill/"];

/// What a watcher does between two messages.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Whim {
    /// Just waits for the next.
    Wait,
    /// Watches for something more.
    Add(WatchSpec),
    /// Gives up the n-th of its watches.
    Cancel(usize),
    /// Asks how far the server is.
    AskProgress,
}

/// What a watcher knows.
#[derive(Clone, Debug)]
struct Watcher {
    rng: ChaCha8Rng,
    /// The highest revision it has heard of.
    heard: i64,
}

/// Watches until the end of the run.
pub(super) async fn run(desk: Desk, is_slow: bool) {
    let mut watcher = Watcher { rng: desk.rng.clone(), heard: 1 };
    let habits = watcher.habits(is_slow);
    let mut tail = Tail::new(desk.scribe.clone(), desk.board.clone(), desk.members, habits);
    tail.add(watcher.spec());
    loop {
        let loading = desk.board.is_loading();
        if loading {
            let ids: Vec<WatchId> = tail.books().map(|book| book.id).collect();
            match watcher.whim(ids.len()) {
                Whim::Wait => {}
                Whim::Add(spec) => _ = tail.add(spec),
                Whim::Cancel(place) => tail.cancel(ids[place]),
                Whim::AskProgress => tail.ask_progress(),
            }
        }
        let turn = tail.turn(TURN).await;
        if let Turn::Step(_, step) = &turn {
            watcher.hear(step);
        }
        if let Turn::Step(_, WatchStep::Canceled { compact_revision, .. }) = turn {
            let start_revision = compact_revision;
            tail.add(WatchSpec { start_revision, ..watcher.spec() });
        }
        if is_slow && loading {
            clock::sleep(SLOWNESS_MAX.mul_f64(watcher.rng.random())).await;
        }
    }
}

impl Watcher {
    fn habits(&mut self, is_slow: bool) -> Habits {
        let silence_max = Duration::from_millis(self.rng.random_range(3_000..15_000));
        let trusts_bookmarks = self.rng.random();
        let usual = Habits { silence_max, trusts_bookmarks, ..Habits::default() };
        if !is_slow {
            return usual;
        }
        // Longer than its own naps, or it would blame the server for them.
        let silence_max = silence_max + SLOWNESS_MAX;
        Habits { silence_max, window_bytes: Some(65_535), ..usual }
    }

    fn hear(&mut self, step: &WatchStep) {
        if let WatchStep::Created { revision }
        | WatchStep::Events { revision, .. }
        | WatchStep::Progress { revision } = step
        {
            self.heard = self.heard.max(*revision);
        }
    }

    /// What to do next, with `watches` watches open.
    fn whim(&mut self, watches: usize) -> Whim {
        if watches == 0 {
            return Whim::Add(self.spec());
        }
        match pick_weighted(&[60, 4, 2, 6], &mut self.rng) {
            1 if watches < WATCHES_MAX => Whim::Add(self.spec()),
            2 => Whim::Cancel(self.rng.random_range(0..watches)),
            3 => Whim::AskProgress,
            _ => Whim::Wait,
        }
    }

    fn spec(&mut self) -> WatchSpec {
        let (key, end) = self.range();
        let rng = &mut self.rng;
        let start_revision = match pick_weighted(&[4, 4, 1, 2], rng) {
            0 => 0,
            1 => rng.random_range(1..=self.heard),
            2 => 1,
            _ => self.heard + rng.random_range(1..40),
        };
        WatchSpec {
            key,
            end,
            start_revision,
            prev_kv: rng.random(),
            progress_notify: rng.random(),
            no_put: rng.random_ratio(1, 8),
            no_delete: rng.random_ratio(1, 8),
            fragment: rng.random(),
        }
    }

    fn range(&mut self) -> (String, String) {
        let prefix = PREFIXES[self.rng.random_range(0..PREFIXES.len())];
        match pick_weighted(&[4, 4, 2, 1], &mut self.rng) {
            0 => {
                let (key, end) = translate::EVERYTHING;
                (key.to_owned(), end.to_owned())
            }
            1 => (prefix.to_owned(), prefix_end(prefix)),
            2 => (format!("{prefix}{:03}", self.rng.random_range(0..4)), String::new()),
            // From a key on.
            _ => (prefix.to_owned(), "\0".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn watches_of_all_kinds_are_drawn() {
        let mut watcher = Watcher { rng: ChaCha8Rng::seed_from_u64(1), heard: 50 };
        let mut kinds = BTreeSet::new();
        for _ in 0..300 {
            let spec = watcher.spec();
            kinds.insert(match spec.start_revision {
                0 => "now",
                1..=50 => "past",
                _ => "future",
            });
            kinds.insert(match spec.end.as_str() {
                "" => "one key",
                "\0" => "to the end",
                _ => "prefix",
            });
            for (on, kind) in [
                (spec.prev_kv, "prev_kv"),
                (spec.progress_notify, "progress"),
                (spec.no_put, "no put"),
                (spec.no_delete, "no delete"),
                (spec.fragment, "fragment"),
            ] {
                kinds.extend(on.then_some(kind));
            }
        }
        assert_eq!(kinds.len(), 11, "{kinds:?}");
    }

    #[test]
    fn a_watcher_without_a_watch_wants_one() {
        let mut watcher = Watcher { rng: ChaCha8Rng::seed_from_u64(1), heard: 1 };
        assert!((0..50).all(|_| matches!(watcher.whim(0), Whim::Add(_))));
        assert!((0..500).all(|_| !matches!(watcher.whim(WATCHES_MAX), Whim::Add(_))));
    }
}
