//! The witness of a run: watches everything from the beginning, and never gives up.
//!
//! What it sees is, for the checker, the order of all writes. Compactions are only asked for up to
//! where it has seen; should history be compacted away before it nevertheless, it starts over from
//! the oldest revision there is, and the checker has to make do with the gap.

use std::time::Duration;

use super::{
    Desk, translate,
    watch::{Habits, Tail, Turn},
};
use crate::history::{WatchSpec, WatchStep};

/// How long a turn waits for a message.
const TURN: Duration = Duration::from_millis(500);

/// Watches everything until the end of the run.
pub async fn run(desk: Desk) {
    let habits = Habits { trusts_bookmarks: false, ..Habits::default() };
    let mut tail = Tail::new(desk.scribe.clone(), desk.board.clone(), desk.members, habits);
    tail.add(everything(1));
    loop {
        match tail.turn(TURN).await {
            Turn::Step(_, WatchStep::Canceled { compact_revision, .. }) => {
                tail.add(everything(compact_revision.max(1)));
            }
            Turn::Step(..) => {
                let seen = tail.books().map(|book| book.next() - 1).min();
                desk.board.witness(seen.unwrap_or(0));
            }
            Turn::Idle | Turn::Broken => {}
        }
    }
}

fn everything(start_revision: i64) -> WatchSpec {
    let (key, end) = translate::EVERYTHING;
    WatchSpec {
        key: key.to_owned(),
        end: end.to_owned(),
        start_revision,
        prev_kv: true,
        ..WatchSpec::default()
    }
}
