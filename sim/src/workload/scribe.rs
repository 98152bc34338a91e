//! Writes down what one client does.

use std::{fmt, sync::Arc, time::Duration};

use crate::history::{Event, LockStep, OpId, Recorder, WatchId, WatchStep, What};

/// Where a workload plays: true time, and who else wants to know what happened.
pub trait Scene: Send + Sync {
    /// True time since the run began.
    fn now(&self) -> Duration;
    /// Told of every event of the history.
    fn trace(&self, event: &Event);
}

/// Writes down what one client does. Clones write for the same client.
#[derive(Clone)]
pub struct Scribe {
    recorder: Recorder,
    scene: Arc<dyn Scene>,
    client: u32,
}

impl Scribe {
    /// For client number `client`.
    #[must_use]
    pub fn new(recorder: Recorder, scene: Arc<dyn Scene>, client: u32) -> Self {
        Self { recorder, scene, client }
    }

    /// The client's number.
    #[must_use]
    pub fn client(&self) -> u32 {
        self.client
    }

    /// A name for a new operation.
    #[must_use]
    pub fn next_op(&self) -> OpId {
        self.recorder.next_op()
    }

    /// A name for a new watch.
    #[must_use]
    pub fn next_watch(&self) -> WatchId {
        self.recorder.next_watch()
    }

    /// True time since the run began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.scene.now()
    }

    /// Records an event, now.
    pub fn note(&self, what: What) {
        let at = u64::try_from(self.scene.now().as_nanos()).unwrap_or(u64::MAX);
        let event = Event { at, client: self.client, what };
        self.scene.trace(&event);
        self.recorder.record(event);
    }

    /// Records a step of a watch.
    pub fn note_watch(&self, member: u32, watch: WatchId, step: WatchStep) {
        self.note(What::Watch { watch, member, step });
    }

    /// Records what this client believes of a lock.
    pub fn note_lock(&self, lock: &str, step: LockStep) {
        self.note(What::Lock { lock: lock.to_owned(), step });
    }
}

impl fmt::Debug for Scribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scribe").field("client", &self.client).finish_non_exhaustive()
    }
}
