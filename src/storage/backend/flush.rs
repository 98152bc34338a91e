//! The flusher's side: out of memory, into the engine, durably.
//!
//! Called on a thread that may block; one call at a time does the work. Not here: when to flush,
//! which is the server's loop.

use std::sync::Arc;

use reseed_planted::{self as planted, Bug};
use reseed_rt::probe::{self, Probe};

use super::{AppliedAt, Backend, BackendError, Engine, Layer, overlay::State};

/// What only one flush or the ends of a defragmentation may touch.
#[derive(Debug)]
pub(super) struct Flusher {
    pub(super) engine: Box<dyn Engine>,
    /// Layers flushed since a running defragmentation began.
    pub(super) catch_up: Option<Vec<Arc<Layer>>>,
}

impl Flusher {
    pub(super) fn new(engine: Box<dyn Engine>) -> Self {
        Self { engine, catch_up: None }
    }

    pub(super) fn catch_up_bytes(&self) -> usize {
        self.catch_up.iter().flatten().map(|layer| layer.bytes()).sum()
    }
}

impl Backend {
    /// Writes everything committed so far to the engine, in one durable transaction together with
    /// the applied index, which is returned.
    ///
    /// # Errors
    /// `Full` if there is no space: nothing is lost, and the call may be repeated (after a pause).
    /// Anything else is final.
    pub fn flush_blocking(&self) -> Result<AppliedAt, BackendError> {
        let mut flusher = self.shared.flusher.lock();
        let catch_up_max = self.shared.options.overlay_bytes_max.saturating_mul(4);
        while flusher.catch_up_bytes() > catch_up_max {
            self.shared.rebuilt.wait(&mut flusher);
        }
        let flushed = self.flush_with(&mut flusher);
        drop(flusher);
        if !planted::on(Bug::RoomNotAnnounced) {
            self.shared.flushed.notify_waiters();
        }
        flushed
    }

    pub(super) fn flush_with(&self, flusher: &mut Flusher) -> Result<AppliedAt, BackendError> {
        let (layers, at) = {
            let mut state = self.shared.state.write();
            state.check_poison()?;
            if state.applied == state.persisted && state.bytes() == 0 {
                return Ok(state.persisted);
            }
            state.freeze();
            state.flushing = state.frozen.len();
            (state.frozen.clone(), state.applied)
        };
        let written = flusher.engine.write(&layers, at);
        let settled = written.and_then(|()| Ok((flusher.engine.view()?, flusher.engine.size()?)));
        let (view, size) = match settled {
            Ok(settled) => settled,
            Err(BackendError::Full) => return Err(self.flush_found_no_space(flusher)),
            Err(error) => return Err(self.poison(error)),
        };
        if let Some(catch_up) = &mut flusher.catch_up {
            catch_up.extend(layers);
        }
        let mut state = self.shared.state.write();
        let State { frozen, flushing, .. } = &mut *state;
        // What was frozen meanwhile lies behind what was flushed.
        drop(frozen.drain(..std::mem::take(flushing)));
        state.view = view;
        state.size = size;
        state.persisted = at;
        state.full = false;
        Ok(at)
    }

    /// The engine went back to its last transaction: the layers stay, readers get a new view.
    fn flush_found_no_space(&self, flusher: &Flusher) -> BackendError {
        match flusher.engine.view() {
            Ok(view) => {
                let mut state = self.shared.state.write();
                state.view = view;
                state.flushing = 0;
                state.full = true;
                probe::hit(Probe::FlushNoRoom);
                if planted::on(Bug::FullDiskDropsOverlay) {
                    state.frozen.clear();
                }
                BackendError::Full
            }
            Err(error) => self.poison(error),
        }
    }

    /// Remembers that nothing may be written any more.
    pub(super) fn poison(&self, error: BackendError) -> BackendError {
        let mut state = self.shared.state.write();
        state.flushing = 0;
        state.poisoned = Some(error.to_string());
        error
    }
}
