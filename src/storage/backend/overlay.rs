//! The backend as everyone sees it: commit into memory, read through memory and engine.
//!
//! One lock guards the layers, the view and the applied index, so that each reader finds them
//! belonging together; it is held for look-ups in memory only, never during disk I/O. What the
//! flusher does is in `flush.rs`.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use reseed_core::port::{Batch, Read, ReadError, Table, Visit};
use reseed_rt::disk::Disk;
use reseed_rt::probe::{self, Probe};
use tokio::sync::Notify;

use super::{
    AppliedAt, BackendError, BackendOptions, Engine, Layer, Size, View,
    cache::ValueCache,
    flush::Flusher,
    memory::MemoryEngine,
    merge::{self, Chunk, Span, newest_first},
    redb::RedbEngine,
};

/// Snapshots and failed flushes may leave this many frozen layers before they are merged.
const IDLE_LAYERS_MAX: usize = 4;

/// The applied state. Clones are the same state.
///
/// Reading through the backend itself is consistent per call of `get` and `get_many`; a `scan`
/// sees each of its pairs as of some moment during the call. [`Backend::view`] is one moment.
#[derive(Clone, Debug)]
pub struct Backend {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// `None` for a backend in memory.
    disk: Option<Arc<dyn Disk>>,
    pub(super) options: BackendOptions,
    pub(super) state: RwLock<State>,
    /// Values read from the engine.
    pub(super) cache: ValueCache,
    pub(super) flusher: Mutex<Flusher>,
    /// Told when a defragmentation ends.
    pub(super) rebuilt: Condvar,
    /// Told when layers have grown enough to be flushed.
    pub(super) wanted: Notify,
    /// Told after each flush, whatever came of it.
    pub(super) flushed: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) active: Layer,
    /// Layers that no commit changes any more, oldest first; the first `flushing` of them are
    /// being written out.
    pub(super) frozen: Vec<Arc<Layer>>,
    pub(super) flushing: usize,
    pub(super) view: Arc<dyn View>,
    pub(super) applied: AppliedAt,
    pub(super) persisted: AppliedAt,
    pub(super) size: Size,
    /// The last flush found no space.
    pub(super) full: bool,
    pub(super) poisoned: Option<String>,
}

impl State {
    fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.active).chain(newest_first(&self.frozen))
    }

    pub(super) fn bytes(&self) -> usize {
        self.active.bytes() + self.frozen.iter().map(|layer| layer.bytes()).sum::<usize>()
    }

    pub(super) fn check_poison(&self) -> Result<(), BackendError> {
        match &self.poisoned {
            Some(cause) => Err(BackendError::Poisoned(cause.clone())),
            None => Ok(()),
        }
    }

    /// Puts the active layer among the frozen ones, which are kept few.
    pub(super) fn freeze(&mut self) {
        if self.active.is_empty() {
            return;
        }
        self.frozen.push(Arc::new(std::mem::take(&mut self.active)));
        if self.frozen.len() - self.flushing > IDLE_LAYERS_MAX {
            let mut merged = Layer::default();
            for layer in self.frozen.drain(self.flushing..) {
                merged.extend(&layer);
            }
            self.frozen.push(Arc::new(merged));
        }
    }
}

impl Backend {
    /// Opens the backend in the file `path`, making it if it is missing.
    ///
    /// # Errors
    /// `Full`, `Io`, or `Engine` if the file is not a database.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: BackendOptions,
    ) -> Result<Self, BackendError> {
        let engine = RedbEngine::open(Arc::clone(&disk), path, options.cache_bytes)?;
        Self::with_engine(Some(disk), Box::new(engine), options)
    }

    /// A backend without a disk, for tests and trials.
    #[must_use]
    pub fn memory() -> Self {
        let engine = Box::new(MemoryEngine::default());
        let backend = Self::with_engine(None, engine, BackendOptions::default());
        backend.expect("memory does not fail")
    }

    fn with_engine(
        disk: Option<Arc<dyn Disk>>,
        engine: Box<dyn Engine>,
        options: BackendOptions,
    ) -> Result<Self, BackendError> {
        let applied = engine.applied()?;
        let state = State {
            active: Layer::default(),
            frozen: Vec::new(),
            flushing: 0,
            view: engine.view()?,
            applied,
            persisted: applied,
            size: engine.size()?,
            full: false,
            poisoned: None,
        };
        let shared = Shared {
            disk,
            options,
            state: RwLock::new(state),
            cache: ValueCache::new(options.value_cache_bytes),
            flusher: Mutex::new(Flusher::new(engine)),
            rebuilt: Condvar::new(),
            wanted: Notify::new(),
            flushed: Notify::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes a batch visible, and with it that the state is now as of entry `at`. In memory only,
    /// so it does not wait; the apply loop awaits [`Self::room`] first.
    ///
    /// # Errors
    /// `Poisoned` if a flush failed for good: nothing committed now would ever be persisted.
    ///
    /// # Panics
    /// If `at` lies before an entry committed earlier.
    pub fn commit(&self, batch: Batch, at: AppliedAt) -> Result<(), BackendError> {
        let mut state = self.shared.state.write();
        state.check_poison()?;
        let before = state.applied;
        assert!(at >= before, "applied {at:?} goes back behind {before:?}");
        state.applied = at;
        for op in batch.into_ops() {
            if op.table == Table::Key
                && (op.value.is_none() || !self.shared.cache.is_beyond(&op.key))
            {
                self.shared.cache.forget(&op.key);
            }
            state.active.record(op);
        }
        let wanted = state.active.bytes() >= self.flush_bytes();
        drop(state);
        if wanted {
            self.shared.wanted.notify_one();
        }
        Ok(())
    }

    /// The last entry committed, in memory.
    #[must_use]
    pub fn applied(&self) -> AppliedAt {
        self.shared.state.read().applied
    }

    /// The last entry whose effect would survive a crash now without the log.
    #[must_use]
    pub fn persisted(&self) -> AppliedAt {
        self.shared.state.read().persisted
    }

    /// Whether layers have grown enough to be flushed.
    #[must_use]
    pub fn needs_flush(&self) -> bool {
        self.shared.state.read().bytes() >= self.flush_bytes()
    }

    /// Whether the last flush found no space: writes should be refused; reads go on.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shared.state.read().full
    }

    /// Waits until layers have grown enough to be flushed. For one flusher at a time.
    pub async fn flush_wanted(&self) {
        while !self.needs_flush() {
            self.shared.wanted.notified().await;
        }
    }

    /// Waits until layers hold less than their bound. While the disk is full there is nothing to
    /// wait for: what is under way already may be committed, beyond the bound if need be.
    ///
    /// # Errors
    /// `Poisoned` if nothing will ever be flushed again.
    pub async fn room(&self) -> Result<(), BackendError> {
        loop {
            let flushed = self.shared.flushed.notified();
            {
                let state = self.shared.state.read();
                state.check_poison()?;
                if state.full || state.bytes() < self.shared.options.overlay_bytes_max {
                    return Ok(());
                }
            }
            probe::hit(Probe::OverlayFull);
            flushed.await;
        }
    }

    /// What the state takes: the engine's file as of the last flush, plus what is not in it yet.
    #[must_use]
    pub fn size(&self) -> Size {
        let state = self.shared.state.read();
        let Size { allocated, in_use } = state.size;
        let in_use = in_use + state.layers().map(Layer::growth).sum::<u64>();
        Size { allocated: allocated.max(in_use), in_use }
    }

    /// The state at this moment. While it lives, the file keeps what it needs.
    #[must_use]
    pub fn view(&self) -> Snapshot {
        let mut state = self.shared.state.write();
        state.freeze();
        Snapshot {
            layers: state.frozen.clone(),
            view: Arc::clone(&state.view),
            applied: state.applied,
        }
    }

    /// The disk the backend is on; this machine's, for one in memory.
    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        self.shared.disk.clone().unwrap_or_else(reseed_rt::disk::disk)
    }

    fn flush_bytes(&self) -> usize {
        self.shared.options.overlay_bytes_max / 2
    }

    /// After a failed read: waits for the flusher and takes the view anew. `None` if it is still
    /// the one that failed, and the failure is real.
    fn newer_view(&self, failed: &Arc<dyn View>) -> Option<Arc<dyn View>> {
        let _idle = self.shared.flusher.lock();
        let view = Arc::clone(&self.shared.state.read().view);
        (!Arc::ptr_eq(&view, failed)).then_some(view)
    }

    /// Reads from a view, again from the next one if it was replaced because it failed.
    fn read<T>(
        &self,
        mut view: Arc<dyn View>,
        read: impl Fn(&dyn View) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            match read(view.as_ref()) {
                Ok(value) => return Ok(value),
                Err(error) => view = self.newer_view(&view).ok_or(error)?,
            }
        }
    }
}

impl Read for Backend {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let state = self.shared.state.read();
        if let Some(found) = merge::get(state.layers(), table, key) {
            return Ok(found);
        }
        let (view, began) = (Arc::clone(&state.view), self.shared.cache.generation());
        drop(state);
        if table != Table::Key {
            return self.read(view, |view| view.get(table, key));
        }
        if let Some(value) = self.shared.cache.get(key) {
            return Ok(Some(value));
        }
        let value = self.read(view, |view| view.get(table, key))?;
        if let Some(value) = &value {
            self.shared.cache.insert(key, value, began);
        }
        Ok(value)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReadError> {
        let mut from = from.to_vec();
        let mut last: Option<Vec<u8>> = None;
        loop {
            let span = Span { table, from: &from, to };
            let (chunk, view) = {
                let state = self.shared.state.read();
                (Chunk::collect(state.layers(), span), Arc::clone(&state.view))
            };
            let next = chunk.next.clone();
            let visited = chunk.visit(view.as_ref(), span, &mut |key, value| {
                let last = last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
                visit(key, value)
            });
            match visited {
                Ok(false) => return Ok(()),
                Ok(true) => match next {
                    Some(next) => from = next.to_vec(),
                    None => return Ok(()),
                },
                Err(error) => {
                    self.newer_view(&view).ok_or(error)?;
                    if let Some(last) = &last {
                        // The smallest key behind the last one visited.
                        from = [last.as_slice(), &[0]].concat();
                    }
                }
            }
        }
    }

    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let state = self.shared.state.read();
        let mut found: Vec<_> =
            keys.iter().map(|key| merge::get(state.layers(), table, key)).collect();
        let (view, began) = (Arc::clone(&state.view), self.shared.cache.generation());
        drop(state);
        let cache = (table == Table::Key).then_some(&self.shared.cache);
        if let Some(cache) = cache {
            for (found, key) in found.iter_mut().zip(keys).filter(|(found, _)| found.is_none()) {
                *found = cache.get(key).map(Some);
            }
        }
        fill_from_view(keys, found, |missing| {
            let values = self.read(Arc::clone(&view), |view| view.get_many(table, missing))?;
            for (key, value) in missing.iter().zip(&values) {
                if let (Some(cache), Some(value)) = (cache, value) {
                    cache.insert(key, value, began);
                }
            }
            Ok(values)
        })
    }
}

/// The state at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Oldest first.
    layers: Vec<Arc<Layer>>,
    view: Arc<dyn View>,
    applied: AppliedAt,
}

impl Snapshot {
    /// The last entry whose effect is in it.
    #[must_use]
    pub fn applied(&self) -> AppliedAt {
        self.applied
    }
}

impl Read for Snapshot {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        match merge::get(newest_first(&self.layers), table, key) {
            Some(found) => Ok(found),
            None => self.view.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReadError> {
        let mut from = Bytes::copy_from_slice(from);
        loop {
            let span = Span { table, from: &from, to };
            let chunk = Chunk::collect(newest_first(&self.layers), span);
            let next = chunk.next.clone();
            let more = chunk.visit(self.view.as_ref(), span, visit)?;
            match next {
                Some(next) if more => from = next,
                _ => return Ok(()),
            }
        }
    }

    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let get = |key: &Bytes| merge::get(newest_first(&self.layers), table, key);
        let found = keys.iter().map(get).collect();
        fill_from_view(keys, found, |missing| self.view.get_many(table, missing))
    }
}

/// Asks the view for the keys that no layer said anything about.
fn fill_from_view(
    keys: &[Bytes],
    found: Vec<Option<Option<Bytes>>>,
    view: impl FnOnce(&[Bytes]) -> Result<Vec<Option<Bytes>>, ReadError>,
) -> Result<Vec<Option<Bytes>>, ReadError> {
    let unknown = keys.iter().zip(&found).filter(|(_, found)| found.is_none());
    let missing: Vec<_> = unknown.map(|(key, _)| key.clone()).collect();
    if missing.is_empty() {
        return Ok(found.into_iter().map(Option::flatten).collect());
    }
    let mut values = view(&missing)?.into_iter();
    let mut value = || values.next().expect("a view answers for every key");
    Ok(found.into_iter().map(|found| found.unwrap_or_else(&mut value)).collect())
}
