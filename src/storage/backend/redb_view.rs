//! Reading from redb: single keys, ranges, and many keys with as few look-ups as possible.

use std::ops::Bound;

use ::redb::ReadOnlyTable;
use bytes::Bytes;
use reseed_core::port::{Read, ReadError, Table, Visit};

use super::View;

type ReadTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Fewer neighbours than this are looked up one by one.
const RUN_KEYS_MIN: usize = 4;
/// Neighbours are at most this many main revisions apart: passing over so many pairs costs less
/// than looking one up.
const NEAR_REVISIONS: u64 = 2;

/// One read transaction, its tables open.
pub(super) struct RedbView {
    /// In the order of `Table::ALL`.
    tables: Vec<ReadTable>,
}

impl std::fmt::Debug for RedbView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedbView")
    }
}

impl RedbView {
    /// A view of the tables, in the order of `Table::ALL`.
    pub(super) fn new(tables: Vec<ReadTable>) -> Self {
        assert_eq!(tables.len(), Table::ALL.len(), "a view has every table");
        Self { tables }
    }

    fn table(&self, table: Table) -> &ReadTable {
        &self.tables[table as usize - 1]
    }

    /// Looks up ascending neighbours in one pass over the pairs between them.
    fn get_run(
        &self,
        table: Table,
        keys: &[Bytes],
        run: &[usize],
        values: &mut [Option<Bytes>],
    ) -> Result<(), ReadError> {
        let (first, last) = (&keys[run[0]], &keys[run[run.len() - 1]]);
        let bounds = (Bound::Included(first.as_ref()), Bound::Included(last.as_ref()));
        let mut wanted = run.iter().copied().peekable();
        for pair in self.table(table).range::<&[u8]>(bounds).map_err(read_error)? {
            let (key, value) = pair.map_err(read_error)?;
            while wanted.next_if(|at| keys[*at].as_ref() < key.value()).is_some() {}
            while let Some(at) = wanted.next_if(|at| keys[*at].as_ref() == key.value()) {
                values[at] = Some(Bytes::copy_from_slice(value.value()));
            }
        }
        Ok(())
    }
}

impl View for RedbView {}

fn read_error(error: ::redb::StorageError) -> ReadError {
    ReadError(error.to_string())
}

impl Read for RedbView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let value = self.table(table).get(key).map_err(read_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReadError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let bounds = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        for pair in self.table(table).range::<&[u8]>(bounds).map_err(read_error)? {
            let (key, value) = pair.map_err(read_error)?;
            if !visit(key.value(), &Bytes::copy_from_slice(value.value())) {
                break;
            }
        }
        Ok(())
    }

    fn get_many(&self, table: Table, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, ReadError> {
        let mut values = vec![None; keys.len()];
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by(|a, b| keys[*a].cmp(&keys[*b]));
        for run in order.chunk_by(|a, b| is_near(&keys[*a], &keys[*b])) {
            if run.len() < RUN_KEYS_MIN {
                for at in run {
                    values[*at] = self.get(table, &keys[*at])?;
                }
            } else {
                self.get_run(table, keys, run, &mut values)?;
            }
        }
        Ok(values)
    }
}

/// Whether two keys, ascending, are likely to be close to each other in the table.
fn is_near(one: &[u8], other: &[u8]) -> bool {
    let main = |key: &[u8]| Some(u64::from_be_bytes(key.get(..8)?.try_into().ok()?));
    match (main(one), main(other)) {
        (Some(one), Some(other)) => other.saturating_sub(one) <= NEAR_REVISIONS,
        _ => false,
    }
}
