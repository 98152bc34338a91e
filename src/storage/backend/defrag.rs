//! Defragmentation beside the running member: copy, catch up, swap.
//!
//! The flusher is held at the two ends only. In between, flushes go on into the old file, and
//! their layers are kept to be written into the new one too. A crash at any point leaves the old
//! file under its name until the new one, complete and synced, takes it by a rename.

use std::sync::Arc;

use reseed_planted::{self as planted, Bug};
use reseed_rt::probe::{self, Probe};

use super::{AppliedAt, Backend, BackendError, Rebuild, Size, View, flush::Flusher};

/// A defragmentation under way: begun, not yet swapped in.
#[derive(Debug)]
pub(super) struct Defragmentation {
    rebuild: Box<dyn Rebuild>,
    view: Arc<dyn View>,
}

impl Defragmentation {
    /// Copies the state the defragmentation began with. Takes long; holds nothing up.
    pub(super) fn copy(&mut self) -> Result<(), BackendError> {
        self.rebuild.copy(self.view.as_ref())
    }
}

impl Backend {
    /// Rewrites the engine's file without holes. Commits, reads and flushes go on meanwhile.
    ///
    /// # Errors
    /// `Full` if there is no room for a second file, any other if copying fails: the old file
    /// stays in use then. An error after the new file took its name is final.
    pub fn defragment_blocking(&self) -> Result<Size, BackendError> {
        let Some(mut defragmentation) = self.begin_defragmentation()? else {
            return Ok(self.size());
        };
        let copied = defragmentation.copy();
        self.end_defragmentation(defragmentation, copied)
    }

    /// From here on, what is flushed is kept for the new file too. `None` = nothing to gain.
    pub(super) fn begin_defragmentation(&self) -> Result<Option<Defragmentation>, BackendError> {
        let mut flusher = self.shared.flusher.lock();
        if flusher.catch_up.is_some() {
            return Err(BackendError::Engine("a defragmentation is running already".to_owned()));
        }
        let Some(rebuild) = flusher.engine.rebuild()? else { return Ok(None) };
        flusher.catch_up = Some(Vec::new());
        let view = Arc::clone(&self.shared.state.read().view);
        Ok(Some(Defragmentation { rebuild, view }))
    }

    /// Adds what was flushed meanwhile and swaps the files, if copying worked.
    pub(super) fn end_defragmentation(
        &self,
        defragmentation: Defragmentation,
        copied: Result<(), BackendError>,
    ) -> Result<Size, BackendError> {
        let Defragmentation { mut rebuild, view } = defragmentation;
        // The old file's pages may be reused as soon as nobody looks at them.
        drop(view);
        let mut flusher = self.shared.flusher.lock();
        let layers = flusher.catch_up.take().unwrap_or_default();
        let at = match layers.as_slice() {
            [] if planted::on(Bug::DefragForgetsIndex) => AppliedAt::default(),
            _ => self.persisted(),
        };
        let ready = copied.and_then(|()| rebuild.catch_up(&layers, at));
        probe::hit_if(!layers.is_empty(), Probe::DefragWithWrites);
        let swapped = match ready {
            Ok(()) => self.swap(&mut flusher, rebuild).map_err(|error| self.poison(error)),
            Err(error) => {
                rebuild.discard();
                Err(error)
            }
        };
        drop(flusher);
        self.shared.rebuilt.notify_all();
        probe::hit_if(swapped.is_ok(), Probe::Defragmented);
        swapped.map(|()| self.size())
    }

    fn swap(&self, flusher: &mut Flusher, rebuild: Box<dyn Rebuild>) -> Result<(), BackendError> {
        let engine = rebuild.take_over()?;
        let (view, size) = (engine.view()?, engine.size()?);
        flusher.engine = engine;
        let mut state = self.shared.state.write();
        state.view = view;
        state.size = size;
        Ok(())
    }
}
