//! Error-level lines of the server's log: each needs a reason.
//!
//! A line of this level says that something is wrong with the member. In a run it must be the
//! consequence of a fault that bit; which lines which faults explain is the table [`EXPLAINED`].
//! One process runs one simulation, so the lines are kept in one place.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use crate::{check::Violation, figures::Counts};

/// Lines kept; a member that says more has said enough.
const LINES_MAX: usize = 100;

/// Beginnings of lines, and the faults any of which explains them.
const EXPLAINED: &[(&str, &[&str])] = &[
    (
        "the member stops",
        &["sync_error", "read_error", "write_error", "disk_full", "bit_rot", "misdirected_write"],
    ),
    // A power failure alone leaves a backend that can be used, and members that agree.
    ("the backend cannot be used", &["bit_rot", "misdirected_write"]),
    ("the members' data differ", &["bit_rot", "misdirected_write"]),
];

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes all lines there are.
#[must_use]
pub fn take() -> Vec<String> {
    std::mem::take(&mut *lines())
}

/// A violation for each line that no fault explains.
#[must_use]
pub fn unexplained(lines: &[String], fired: &Counts) -> Vec<Violation> {
    let bit = |fault: &&str| fired.get(*fault).is_some_and(|times| *times > 0);
    let is_explained = |line: &&String| {
        let fits = |(begin, _): &&(&str, &[&str])| line.starts_with(begin);
        EXPLAINED.iter().filter(fits).any(|(_, faults)| faults.iter().any(bit))
    };
    let violation = |line: &String| Violation {
        class: "log.error".to_owned(),
        story: line.clone(),
        ops: Vec::new(),
    };
    lines.iter().filter(|line| !is_explained(line)).map(violation).collect()
}

/// Collects error-level lines of our own crates.
#[derive(Clone, Copy, Default, Debug)]
pub struct Collect;

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != Level::ERROR || !metadata.target().starts_with("reseed") {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let mut kept = lines();
        if kept.len() < LINES_MAX {
            kept.push(format!("{}{}", line.message, line.fields));
        }
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields += &format!(" {}={value:?}", field.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn an_error_line_needs_a_fault_that_explains_it() {
        let subscriber = tracing_subscriber::registry().with(Collect);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!("no error");
            tracing::error!(reason = "a sync failed", "the member stops: it could not");
            tracing::error!(target: "h2::proto", "not ours");
        });
        let lines = take();
        assert_eq!(lines, ["the member stops: it could not reason=\"a sync failed\""]);
        let fired = |name: &str, times| Counts::from([(name.to_owned(), times)]);
        assert!(unexplained(&lines, &fired("sync_error", 1)).is_empty());
        for fired in [fired("sync_error", 0), fired("pause", 3), Counts::new()] {
            assert_eq!(unexplained(&lines, &fired)[0].class, "log.error");
        }
        let other = ["something else".to_owned()];
        assert_eq!(unexplained(&other, &fired("sync_error", 1)).len(), 1);
    }
}
