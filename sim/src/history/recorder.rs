//! Collects a history from many tasks of one simulation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Event, OpId, WatchId};

/// Clones record into one history.
#[derive(Clone, Default, Debug)]
pub struct Recorder(Arc<Mutex<Recorded>>);

#[derive(Default, Debug)]
struct Recorded {
    events: Vec<Event>,
    next_op: OpId,
    next_watch: WatchId,
}

impl Recorder {
    /// Adds an event.
    pub fn record(&self, event: Event) {
        self.lock().events.push(event);
    }

    /// A name for a new operation, from 1.
    #[must_use]
    pub fn next_op(&self) -> OpId {
        let mut recorded = self.lock();
        recorded.next_op += 1;
        recorded.next_op
    }

    /// A name for a new watch, from 1.
    #[must_use]
    pub fn next_watch(&self) -> WatchId {
        let mut recorded = self.lock();
        recorded.next_watch += 1;
        recorded.next_watch
    }

    /// Looks at everything recorded so far.
    pub fn with_events<T>(&self, look: impl FnOnce(&[Event]) -> T) -> T {
        look(&self.lock().events)
    }

    /// Takes everything recorded so far.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.lock().events)
    }

    /// Puts back what was taken, before what was recorded since.
    pub fn give_back(&self, mut events: Vec<Event>) {
        let mut recorded = self.lock();
        events.append(&mut recorded.events);
        recorded.events = events;
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
