//! Reading through layers and a view as if they were one.
//!
//! A scan takes the layers' changes in chunks: under the caller's lock only as many changes are
//! collected as a visitor is likely to want, then the engine is read without any lock.

use std::sync::Arc;

use bytes::Bytes;
use reseed_core::port::{ReadError, Table, Visit};
use reseed_planted::{self as planted, Bug};

use super::{
    View,
    layer::{Change, Layer, newest_wins},
};

/// Changes collected from the layers at a time.
const CHUNK_CHANGES: usize = 512;

/// What to scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) table: Table,
    pub(crate) from: &'a [u8],
    /// Exclusive.
    pub(crate) to: Option<&'a [u8]>,
}

/// The layers' changes at the beginning of a span.
#[derive(Debug)]
pub(crate) struct Chunk {
    changes: Vec<(Bytes, Option<Bytes>)>,
    /// Where the next chunk begins; `None` if this one reaches to the end of the span.
    pub(crate) next: Option<Bytes>,
}

impl Chunk {
    /// Collects from layers given newest first.
    pub(crate) fn collect<'a>(layers: impl Iterator<Item = &'a Layer>, span: Span<'_>) -> Self {
        let Span { table, from, to } = span;
        let ranges = layers.map(|layer| layer.range(table, from, to));
        let mut merged =
            ranges.fold(None, |newer: Option<Box<dyn Iterator<Item = Change<'a>>>>, older| {
                Some(match newer {
                    None => Box::new(older),
                    Some(newer) => Box::new(newest_wins(newer, older)),
                })
            });
        let mut changes = Vec::new();
        for (key, value) in merged.iter_mut().flatten() {
            let key = Bytes::copy_from_slice(key);
            if changes.len() == CHUNK_CHANGES {
                return Self { changes, next: Some(key) };
            }
            changes.push((key, value.cloned()));
        }
        Self { changes, next: None }
    }

    /// Visits the pairs of the span up to where the next chunk begins; says whether the visitor
    /// wants more.
    pub(crate) fn visit(
        self,
        view: &dyn View,
        span: Span<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<bool, ReadError> {
        let to = self.next.as_deref().or(span.to);
        let mut going = true;
        if self.changes.is_empty() {
            view.scan(span.table, span.from, to, &mut |key, value| {
                going = visit(key, value);
                going
            })?;
            return Ok(going);
        }
        let mut changes = self.changes.iter().peekable();
        view.scan(span.table, span.from, to, &mut |key, value| {
            while let Some((k, v)) = changes.next_if(|(k, _)| k.as_ref() < key) {
                going = v.as_ref().is_none_or(|v| visit(k, v));
                if !going {
                    return false;
                }
            }
            going = match changes.next_if(|(k, _)| k.as_ref() == key) {
                Some((_, None)) if planted::on(Bug::DeletedShowsThrough) => visit(key, value),
                Some((_, None)) => true,
                Some((k, Some(v))) => visit(k, v),
                None => visit(key, value),
            };
            going
        })?;
        while going && let Some((key, value)) = changes.next() {
            going = value.as_ref().is_none_or(|value| visit(key, value));
        }
        Ok(going)
    }
}

/// The value of a key in layers given newest first, then in the view.
pub(crate) fn get<'a>(
    mut layers: impl Iterator<Item = &'a Layer>,
    table: Table,
    key: &[u8],
) -> Option<Option<Bytes>> {
    layers.find_map(|layer| layer.get(table, key)).map(|found| found.cloned())
}

/// Layers in shared ownership, newest first.
pub(crate) fn newest_first(layers: &[Arc<Layer>]) -> impl Iterator<Item = &Layer> {
    layers.iter().rev().map(Arc::as_ref)
}
