//! Defragmentation beside the running member: copy, catch up, swap.
//!
//! The flusher is held at the two ends only. In between, flushes go on into the old file, and
//! their layers are kept to be written into the new one too. A crash at any point leaves the old
//! file under its name until the new one, complete and synced, takes it by a rename.

use std::sync::Arc;

use super::{Backend, BackendError, Engine, Rebuild, Size};

impl Backend {
    /// Rewrites the engine's file without holes. Commits, reads and flushes go on meanwhile.
    ///
    /// # Errors
    /// `Full` if there is no room for a second file, any other if copying fails: the old file
    /// stays in use then. An error after the new file took its name is final.
    pub fn defragment_blocking(&self) -> Result<Size, BackendError> {
        let Some((mut rebuild, view)) = self.begin_defragmentation()? else {
            return Ok(self.size());
        };
        let copied = rebuild.copy(view.as_ref());
        // The old file's pages may be reused as soon as nobody looks at them.
        drop(view);
        let mut flusher = self.shared.flusher.lock();
        let layers = flusher.catch_up.take().unwrap_or_default();
        let at = self.persisted();
        let engine = copied.and_then(|()| rebuild.finish(&layers, at));
        let swapped = engine.and_then(|engine| {
            flusher.engine = engine;
            self.take_new_view(flusher.engine.as_ref()).map_err(|error| self.poison(error))
        });
        drop(flusher);
        self.shared.rebuilt.notify_all();
        swapped.map(|()| self.size())
    }

    #[expect(clippy::type_complexity, reason = "a pair used once")]
    fn begin_defragmentation(
        &self,
    ) -> Result<Option<(Box<dyn Rebuild>, Arc<dyn super::View>)>, BackendError> {
        let mut flusher = self.shared.flusher.lock();
        if flusher.catch_up.is_some() {
            return Err(BackendError::Engine("a defragmentation is running already".to_owned()));
        }
        let Some(rebuild) = flusher.engine.rebuild()? else { return Ok(None) };
        flusher.catch_up = Some(Vec::new());
        Ok(Some((rebuild, Arc::clone(&self.shared.state.read().view))))
    }

    fn take_new_view(&self, engine: &dyn Engine) -> Result<(), BackendError> {
        let (view, size) = (engine.view()?, engine.size()?);
        let mut state = self.shared.state.write();
        state.view = view;
        state.size = size;
        Ok(())
    }
}
