//! The engine that keeps everything in memory: the reference in tests, and for trying things out.
//!
//! A transaction copies the tables if a view still looks at them, which one always does: fine for
//! thousands of keys, not for millions. Nothing survives the process.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use reseed_core::port::{Read, ReadError, Table, Visit};

use super::{
    APPLIED_INDEX, APPLIED_TERM, AppliedAt, BackendError, Engine, Layer, Rebuild, Size, View,
};

type Tables = BTreeMap<(Table, Bytes), Bytes>;

/// Tables in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryEngine {
    tables: Arc<Tables>,
    applied: AppliedAt,
}

impl Engine for MemoryEngine {
    fn view(&self) -> Result<Arc<dyn View>, BackendError> {
        Ok(Arc::new(MemoryView(Arc::clone(&self.tables))))
    }

    fn write(&mut self, layers: &[Arc<Layer>], at: AppliedAt) -> Result<(), BackendError> {
        let tables = Arc::make_mut(&mut self.tables);
        for layer in layers {
            for table in Table::ALL {
                for (key, value) in layer.range(table, &[], None) {
                    let key = (table, Bytes::copy_from_slice(key));
                    match value {
                        Some(value) => tables.insert(key, value.clone()),
                        None => tables.remove(&key),
                    };
                }
            }
        }
        for (key, number) in [(APPLIED_INDEX, at.index), (APPLIED_TERM, at.term)] {
            let value = Bytes::copy_from_slice(&number.to_be_bytes());
            tables.insert((Table::Meta, Bytes::from_static(key)), value);
        }
        self.applied = at;
        Ok(())
    }

    fn applied(&self) -> Result<AppliedAt, BackendError> {
        Ok(self.applied)
    }

    fn size(&self) -> Result<Size, BackendError> {
        let bytes = self.tables.iter().map(|((_, key), value)| key.len() + value.len());
        let bytes = bytes.sum::<usize>() as u64;
        Ok(Size { allocated: bytes, in_use: bytes })
    }

    fn install(&self, from: &Path) -> Result<Box<dyn Engine>, BackendError> {
        Err(BackendError::Engine(format!("memory takes no {}", from.display())))
    }

    fn rebuild(&self) -> Result<Option<Box<dyn Rebuild>>, BackendError> {
        Ok(None)
    }
}

#[derive(Debug)]
struct MemoryView(Arc<Tables>);

impl View for MemoryView {}

impl Read for MemoryView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        Ok(self.0.get(&(table, Bytes::copy_from_slice(key))).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReadError> {
        let start = (table, Bytes::copy_from_slice(from));
        for ((_, key), value) in self.0.range(start..).take_while(|((t, _), _)| *t == table) {
            if to.is_some_and(|to| key.as_ref() >= to) || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
