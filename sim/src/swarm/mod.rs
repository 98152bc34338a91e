//! Many seeds of many scenarios, a process each, and the table at the end.
//!
//! - `queue`: which runs, in which order, and when it is enough;
//! - `job`: one seed, in one or two processes, which must do the same;
//! - `summary`: what all of them add up to; `table`, `junit`: how that is told.

mod job;
mod junit;
mod queue;
mod summary;
mod table;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

pub use job::Twice;
pub use queue::{Queue, Work};
pub use summary::Summary;

use crate::{out, report::Verdict};

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Which runs.
    pub queue: Queue,
    /// Processes at a time.
    pub jobs: usize,
    /// Which seeds run twice.
    pub twice: Twice,
    /// Stop at the first that does not pass.
    pub fail_fast: bool,
    /// Where to write JUnit's XML.
    pub junit: Option<PathBuf>,
    /// Print how often each class of each request field was sent.
    pub coverage: bool,
}

/// Runs the swarm; prints a line per kind of failure, and the table.
///
/// # Errors
/// If the JUnit file cannot be written.
pub fn run(swarm: &Swarm) -> io::Result<Verdict> {
    let shared = Mutex::new((swarm.queue.clone(), Summary::default()));
    let bar = progress(&swarm.queue);
    std::thread::scope(|scope| {
        for _ in 0..swarm.jobs.max(1) {
            scope.spawn(|| while one(swarm, &shared, &bar) {});
        }
    });
    bar.finish_and_clear();
    let (_, summary) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    out::line(table::of(&summary, swarm.coverage));
    if let Some(path) = &swarm.junit {
        std::fs::write(path, junit::of(&summary).map_err(io::Error::other)?)?;
    }
    Ok(summary.worst().unwrap_or(Verdict::Inconclusive))
}

/// Runs the next seed, if there is one.
fn one(swarm: &Swarm, shared: &Mutex<(Queue, Summary)>, bar: &ProgressBar) -> bool {
    let Some(work) = lock(shared).0.next() else {
        return false;
    };
    let done = job::run(&work, swarm.twice);
    let mut locked = lock(shared);
    let (queue, summary) = &mut *locked;
    queue.spend(done.cpu());
    let verdict = done.verdict;
    if let Some(text) = summary.add(done) {
        bar.suspend(|| out::line(&text));
    }
    bar.set_message(summary.in_short());
    bar.inc(1);
    if swarm.fail_fast && verdict != Verdict::Pass {
        queue.stop();
    }
    true
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bar for people who wait; nothing where nobody watches.
fn progress(queue: &Queue) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = queue.left().map_or_else(ProgressBar::no_length, ProgressBar::new);
    let style = "{elapsed_precise} {wide_bar} {pos}/{len} {msg}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}
