//! The engine over redb: one redb table per table of the port.
//!
//! Every transaction is durable and records redb's allocator state (quick repair), so opening
//! after a crash takes milliseconds instead of a walk through the file. Ascending keys go in
//! through a cursor at the end, three times as fast as single inserts and half the space. Our own
//! table `reseed` counts live pairs and bytes, so that the size in use costs nothing to tell.
//!
//! Opening the database of a member reads it once, to compare every page with its checksum.
//!
//! The file is made under another name and renamed when it holds its first transaction: it is
//! there whole or not at all.

use std::{
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use ::redb::{
    Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use bytes::Bytes;
use reseed_core::port::{Op, Table};
use reseed_planted::{self as planted, Bug};
use reseed_rt::disk::{Disk, File, OpenMode};
use reseed_rt::task;

use super::{
    APPLIED_INDEX, APPLIED_TERM, AppliedAt, BackendError, Engine, Layer, PAIR_OVERHEAD_BYTES,
    Rebuild, Size, View,
    redb_disk::{Gauge, RedbFile},
    redb_view::RedbView,
};

/// Extension of a database until it is whole.
const NEW: &str = "new";
/// Extension of a copy without holes.
const DEFRAG: &str = "defrag";
/// Extension of a database being filled from a snapshot.
pub(super) const IMPORT: &str = "import";

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type WriteTable<'txn> = ::redb::Table<'txn, &'static [u8], &'static [u8]>;

const LIVE: TableDefinition<'static, &'static str, u64> = TableDefinition::new("reseed");
const LIVE_BYTES: &str = "live_bytes";
const LIVE_PAIRS: &str = "live_pairs";
/// The most that was ever alive, in bytes with what their pages cost. redb doubles its file, so its
/// length says little about the space it took; this does, and like a file it never shrinks.
const PEAK_BYTES: &str = "peak_bytes";

/// Free space a transaction wants to see: twice its changes and this.
const SPARE_BYTES: u64 = 4 << 20;
/// Cache of an engine in the making.
const REBUILD_CACHE_BYTES: usize = 16 << 20;
/// Copied in one transaction.
const COPY_BYTES: usize = 16 << 20;

/// What a table is called in the file: as in etcd.
pub(crate) fn table_name(table: Table) -> &'static str {
    match table {
        Table::Key => "key",
        Table::Meta => "meta",
        Table::Lease => "lease",
        Table::Alarm => "alarm",
        Table::Members => "members",
        Table::MembersRemoved => "members_removed",
        Table::Auth => "auth",
        Table::AuthUsers => "authUsers",
        Table::AuthRoles => "authRoles",
    }
}

fn definition(table: Table) -> Definition {
    TableDefinition::new(table_name(table))
}

/// A redb database.
#[derive(Debug)]
pub(crate) struct RedbEngine {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    cache_bytes: usize,
    file: Arc<dyn File>,
    gauge: Arc<Gauge>,
    /// `None` only while it is being reopened.
    database: Option<Database>,
}

impl RedbEngine {
    /// Opens the database in `path`, making it if it is missing.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Self, BackendError> {
        for extension in [NEW, DEFRAG, IMPORT] {
            let left_behind = path.with_extension(extension);
            if disk.exists(&left_behind).map_err(BackendError::io("look for leftovers"))? {
                disk.remove(&left_behind).map_err(BackendError::io("remove leftovers"))?;
            }
        }
        if !disk.exists(path).map_err(BackendError::io("look for the database"))? {
            let fresh = Self::create(Arc::clone(&disk), &path.with_extension(NEW), cache_bytes)?;
            fresh.rename(path)?;
        }
        Self::checked(disk, path, cache_bytes)
    }

    /// Opens a database that is there, if all of it can be used.
    pub(super) fn checked(
        disk: Arc<dyn Disk>,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Self, BackendError> {
        let mut engine = sober(|| Self::existing(disk, path, cache_bytes))?;
        match sober(|| engine.verify()) {
            Ok(()) => Ok(engine),
            Err(error) => {
                // To close it, redb would trust its pages once more.
                std::mem::forget(engine.database.take());
                Err(error)
            }
        }
    }

    /// Reads every page and compares it with its checksum, which redb else does only where it has
    /// to repair: bits that flipped while nobody looked would be served as data.
    fn verify(&mut self) -> Result<(), BackendError> {
        let Some(database) = &mut self.database else { return Ok(()) };
        match database.check_integrity() {
            // Not clean: which pages are free was not up to date, and is now. A damaged page is an
            // error, because every transaction was committed in two phases.
            Ok(_is_clean) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Opens a database that is there.
    pub(super) fn existing(
        disk: Arc<dyn Disk>,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Self, BackendError> {
        Self::open_file(disk, path, cache_bytes, OpenMode::ReadWrite)
    }

    /// Makes an empty database, replacing what is called so. Its name is not durable.
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Self, BackendError> {
        let mut engine = Self::open_file(disk, path, cache_bytes, OpenMode::CreateTruncate)?;
        engine.write(&[], AppliedAt::default())?;
        Ok(engine)
    }

    fn open_file(
        disk: Arc<dyn Disk>,
        path: &Path,
        cache_bytes: usize,
        mode: OpenMode,
    ) -> Result<Self, BackendError> {
        let file = disk.open(path, mode).map_err(BackendError::io("open the database"))?;
        let len = file.len().map_err(BackendError::io("ask the database for its length"))?;
        if len == 0 && mode != OpenMode::CreateTruncate {
            // redb would take an empty file for a new database.
            return Err(BackendError::Engine(format!("{} is empty", path.display())));
        }
        let gauge = Arc::new(Gauge::default());
        let redb_file = RedbFile::new(Arc::clone(&file), Arc::clone(&gauge));
        let database = Builder::new().set_cache_size(cache_bytes).create_with_backend(redb_file);
        let database = Some(database.map_err(|error| engine_error(&gauge, error))?);
        Ok(Self { disk, path: path.to_owned(), cache_bytes, file, gauge, database })
    }

    /// Closes it and gives it another name, durably.
    pub(super) fn rename(mut self, to: &Path) -> Result<(), BackendError> {
        self.database = None;
        self.file.sync().map_err(BackendError::io("sync the database"))?;
        self.disk.rename(&self.path, to).map_err(BackendError::io("rename the database"))?;
        if planted::on(Bug::DatabaseNameUnsynced) {
            return Ok(());
        }
        let dir = to.parent().unwrap_or(Path::new(""));
        self.disk.sync_dir(dir).map_err(BackendError::io("sync the directory"))
    }

    fn database(&self) -> Result<&Database, BackendError> {
        let gone = || BackendError::Engine("the database could not be reopened".to_owned());
        self.database.as_ref().ok_or_else(gone)
    }

    fn error(&self, error: impl Into<::redb::Error>) -> BackendError {
        engine_error(&self.gauge, error)
    }

    fn check_space(&self, layers: &[Arc<Layer>]) -> Result<(), BackendError> {
        let dir = self.path.parent().unwrap_or(Path::new(""));
        let free = self.disk.free_bytes(dir).map_err(BackendError::io("ask for free space"))?;
        let bytes: usize = layers.iter().map(|layer| layer.bytes()).sum();
        if free < 2 * bytes as u64 + SPARE_BYTES { Err(BackendError::Full) } else { Ok(()) }
    }

    fn transact(&self, layers: &[Arc<Layer>], at: AppliedAt) -> Result<(), ::redb::Error> {
        let Ok(database) = self.database() else {
            return Err(::redb::Error::DatabaseClosed);
        };
        let mut txn = database.begin_write()?;
        txn.set_quick_repair(true);
        let mut live = Live::read(&txn.open_table(LIVE)?)?;
        for table in Table::ALL {
            // Opening makes a table: all of them are there after the first transaction.
            let mut into = txn.open_table(definition(table))?;
            for layer in layers {
                write_layer(&mut into, layer, table, &mut live)?;
            }
        }
        if planted::on(Bug::AppliedIndexApart) {
            live.write(&txn)?;
            txn.commit()?;
            txn = database.begin_write()?;
            txn.set_quick_repair(true);
        }
        {
            let mut meta = txn.open_table(definition(Table::Meta))?;
            meta.insert(APPLIED_INDEX, at.index.to_be_bytes().as_slice())?;
            meta.insert(APPLIED_TERM, at.term.to_be_bytes().as_slice())?;
        }
        live.peak_bytes = live.peak_bytes.max(live.in_use());
        live.write(&txn)?;
        txn.commit()?;
        Ok(())
    }

    /// Goes back to the last transaction. Older views become unusable.
    fn reopen(&mut self) -> Result<(), BackendError> {
        self.gauge.give_up();
        self.database = None;
        let disk = Arc::clone(&self.disk);
        *self = Self::existing(disk, &self.path, self.cache_bytes)?;
        Ok(())
    }
}

fn engine_error(gauge: &Gauge, error: impl Into<::redb::Error>) -> BackendError {
    if gauge.is_full() {
        return BackendError::Full;
    }
    match error.into() {
        ::redb::Error::Io(source) if !is_of_content(&source) => {
            BackendError::Io { what: "use the database", source }
        }
        other => BackendError::Engine(other.to_string()),
    }
}

/// Reads pages that may be damaged. redb checks some of what they say and panics over the rest.
fn sober<T>(read: impl FnOnce() -> Result<T, BackendError>) -> Result<T, BackendError> {
    let damaged = || Err(BackendError::Engine("the database contradicts itself".to_owned()));
    task::contained(read).unwrap_or_else(damaged)
}

/// Errors that speak of what is in the file, not of the disk it is on.
fn is_of_content(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
}

/// Counts of what is alive, kept in the same transaction as what they count.
#[derive(Debug, Default)]
struct Live {
    bytes: u64,
    pairs: u64,
    peak_bytes: u64,
}

impl Live {
    fn read(table: &impl ReadableTable<&'static str, u64>) -> Result<Self, ::redb::Error> {
        let number = |name| Ok::<_, ::redb::Error>(table.get(name)?.map_or(0, |n| n.value()));
        let (bytes, pairs) = (number(LIVE_BYTES)?, number(LIVE_PAIRS)?);
        Ok(Self { bytes, pairs, peak_bytes: number(PEAK_BYTES)? })
    }

    fn write(&self, txn: &WriteTransaction) -> Result<(), ::redb::Error> {
        let mut table = txn.open_table(LIVE)?;
        table.insert(LIVE_BYTES, self.bytes)?;
        table.insert(LIVE_PAIRS, self.pairs)?;
        table.insert(PEAK_BYTES, self.peak_bytes)?;
        Ok(())
    }

    fn in_use(&self) -> u64 {
        self.bytes + PAIR_OVERHEAD_BYTES * self.pairs
    }

    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.bytes += (key.len() + value.len()) as u64;
        self.pairs += 1;
    }

    fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.bytes = self.bytes.saturating_sub((key.len() + value.len()) as u64);
        self.pairs = self.pairs.saturating_sub(1);
    }
}

fn write_layer(
    into: &mut WriteTable<'_>,
    layer: &Layer,
    table: Table,
    live: &mut Live,
) -> Result<(), ::redb::Error> {
    let mut changes = layer.range(table, &[], None).peekable();
    if changes.peek().is_none() {
        return Ok(());
    }
    let last = into.last()?.map(|(key, _)| key.value().to_vec());
    while let Some((key, value)) =
        changes.next_if(|(key, _)| last.as_deref().is_some_and(|last| *key <= last))
    {
        let old = match value {
            Some(value) => {
                live.add(key, value);
                into.insert(key, value.as_ref())?
            }
            None => into.remove(key)?,
        };
        if let Some(old) = old {
            live.remove(key, old.value());
        }
    }
    if changes.peek().is_none() {
        return Ok(());
    }
    let mut end = into.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
    for (key, value) in changes {
        // A deletion behind the last key deletes nothing.
        if let Some(value) = value {
            live.add(key, value);
            end.insert_before(key, value.as_ref()).map_err(cursor_error)?;
        }
    }
    end.close()?;
    Ok(())
}

fn cursor_error(error: ::redb::CursorError) -> ::redb::Error {
    match error {
        ::redb::CursorError::Storage(error) => error.into(),
        other => ::redb::Error::Corrupted(format!("append at the end of a table: {other}")),
    }
}

impl Engine for RedbEngine {
    fn view(&self) -> Result<Arc<dyn View>, BackendError> {
        let txn = self.database()?.begin_read().map_err(|error| self.error(error))?;
        let mut tables = Vec::with_capacity(Table::ALL.len());
        for table in Table::ALL {
            let open = txn.open_table(definition(table));
            tables.push(open.map_err(|error| self.error(error))?);
        }
        Ok(Arc::new(RedbView::new(tables)))
    }

    fn write(&mut self, layers: &[Arc<Layer>], at: AppliedAt) -> Result<(), BackendError> {
        self.check_space(layers)?;
        match self.transact(layers, at).map_err(|error| self.error(error)) {
            Err(BackendError::Full) => {
                self.reopen()?;
                Err(BackendError::Full)
            }
            result => result,
        }
    }

    fn applied(&self) -> Result<AppliedAt, BackendError> {
        let view = self.view()?;
        let number = |key| match view.get(Table::Meta, key)? {
            None => Ok(0),
            Some(bytes) => match bytes.as_ref().try_into() {
                Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
                Err(_) => Err(BackendError::Engine(format!("an applied index of {bytes:?}"))),
            },
        };
        Ok(AppliedAt { index: number(APPLIED_INDEX)?, term: number(APPLIED_TERM)? })
    }

    fn size(&self) -> Result<Size, BackendError> {
        let len = self.file.len().map_err(BackendError::io("ask for the length"))?;
        let live = || {
            let txn = self.database()?.begin_read().map_err(|error| self.error(error))?;
            let table = txn.open_table(LIVE).map_err(|error| self.error(error))?;
            Live::read(&table).map_err(|error| self.error(error))
        };
        let live = live()?;
        Ok(Size { allocated: len.min(live.peak_bytes), in_use: len.min(live.in_use()) })
    }

    fn install(&self, from: &Path) -> Result<Box<dyn Engine>, BackendError> {
        let fresh = Self::existing(Arc::clone(&self.disk), from, REBUILD_CACHE_BYTES)?;
        fresh.rename(&self.path)?;
        // Who still reads the old state goes on reading the file that has lost its name.
        Ok(Box::new(Self::existing(Arc::clone(&self.disk), &self.path, self.cache_bytes)?))
    }

    fn rebuild(&self) -> Result<Option<Box<dyn Rebuild>>, BackendError> {
        let path = self.path.with_extension(DEFRAG);
        let fresh = Self::create(Arc::clone(&self.disk), &path, REBUILD_CACHE_BYTES)?;
        let (path, cache_bytes) = (self.path.clone(), self.cache_bytes);
        Ok(Some(Box::new(RedbRebuild { fresh, path, cache_bytes })))
    }
}

/// A database without holes in the making.
#[derive(Debug)]
struct RedbRebuild {
    fresh: RedbEngine,
    /// Whose place it takes.
    path: PathBuf,
    cache_bytes: usize,
}

impl Rebuild for RedbRebuild {
    fn copy(&mut self, from: &dyn View) -> Result<(), BackendError> {
        let mut loader = Loader::new(&mut self.fresh);
        for table in Table::ALL {
            if table == Table::Lease && planted::on(Bug::DefragDropsLeases) {
                continue;
            }
            let mut failed = None;
            from.scan(table, &[], None, &mut |key, value| {
                let key = Bytes::copy_from_slice(key);
                failed = loader.put(Op { table, key, value: Some(value.clone()) }).err();
                failed.is_none()
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        loader.finish(AppliedAt::default())
    }

    fn catch_up(&mut self, layers: &[Arc<Layer>], at: AppliedAt) -> Result<(), BackendError> {
        self.fresh.write(layers, at)
    }

    fn take_over(self: Box<Self>) -> Result<Box<dyn Engine>, BackendError> {
        let Self { fresh, path, cache_bytes } = *self;
        let disk = Arc::clone(&fresh.disk);
        fresh.rename(&path)?;
        Ok(Box::new(RedbEngine::existing(disk, &path, cache_bytes)?))
    }

    fn discard(self: Box<Self>) {
        let RedbEngine { disk, path, database, .. } = self.fresh;
        drop(database);
        // Best effort: opening removes what is left behind, too.
        _ = disk.remove(&path);
    }
}

/// Fills an engine in transactions of bounded size.
#[derive(Debug)]
pub(super) struct Loader<'a> {
    engine: &'a mut RedbEngine,
    layer: Layer,
}

impl<'a> Loader<'a> {
    pub(super) fn new(engine: &'a mut RedbEngine) -> Self {
        Self { engine, layer: Layer::default() }
    }

    pub(super) fn put(&mut self, op: Op) -> Result<(), BackendError> {
        self.layer.record(op);
        if self.layer.bytes() < COPY_BYTES {
            return Ok(());
        }
        let layer = Arc::new(std::mem::take(&mut self.layer));
        self.engine.write(&[layer], AppliedAt::default())
    }

    /// Writes what is left, and what the state is as of.
    pub(super) fn finish(self, at: AppliedAt) -> Result<(), BackendError> {
        self.engine.write(&[Arc::new(self.layer)], at)
    }
}
