//! `raft::Storage` over the tail of the log that is in memory.
//!
//! Everything here is already in the WAL: the driver appends to the WAL first and to this view
//! second, so raft never reads an entry that a crash could take back. Nothing is read from disk
//! after boot: the tail reaches back to the last truncation, which keeps
//! `--snapshot-catchup-entries` for slow followers.
//!
//! ```text
//!   truncated ──► first                         last
//!   (index, term)   │ e e e e e e e e e e e e e e │
//! ```

use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};
use reseed_planted::{self as planted, Bug};
use reseed_rt::probe::{self, Probe};

/// The in-memory tail and what raft must know about the part before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogView {
    hard_state: HardState,
    conf_state: ConfState,
    truncated_index: u64,
    truncated_term: u64,
    entries: VecDeque<Entry>,
    applied: u64,
}

impl LogView {
    /// A log whose entries up to `index` (of `term`) are gone.
    pub(crate) fn new(index: u64, term: u64, conf_state: ConfState, hard_state: HardState) -> Self {
        Self {
            hard_state,
            conf_state,
            truncated_index: index,
            truncated_term: term,
            entries: VecDeque::new(),
            applied: index,
        }
    }

    /// Index of the last entry, or of the truncation point if there is none.
    pub(crate) fn last(&self) -> u64 {
        self.truncated_index + self.entries.len() as u64
    }

    /// Index up to which entries are gone.
    pub(crate) fn truncated(&self) -> u64 {
        self.truncated_index
    }

    /// The entries that are not gone, in order.
    pub(crate) fn tail(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The voters and learners as of the last applied membership change.
    pub(crate) fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    /// Term, vote and commit index.
    pub(crate) fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    /// Notes that everything up to `index` is committed.
    pub(crate) fn commit_to(&mut self, index: u64) {
        assert!(index >= self.hard_state.commit, "commit goes back to {index}");
        self.hard_state.commit = index;
    }

    pub(crate) fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = conf_state;
    }

    pub(crate) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Appends `entries`, replacing what a deposed leader had put at the same indexes.
    ///
    /// # Panics
    /// If the entries leave a gap or reach below the truncation point: raft never does.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.truncated_index, "append at {} is truncated", first.index);
        assert!(first.index <= self.last() + 1, "append at {} leaves a gap", first.index);
        let keep = usize::try_from(first.index - self.truncated_index - 1).unwrap_or(usize::MAX);
        probe::hit_if(keep < self.entries.len(), Probe::RaftConflict);
        if !planted::on(Bug::TailNotReplaced) {
            self.entries.truncate(keep);
        }
        self.entries.extend(entries.iter().cloned());
    }

    /// Everything up to `index` has been applied here: a snapshot would hold it.
    pub(crate) fn applied_to(&mut self, index: u64) {
        self.applied = self.applied.max(index);
    }

    /// A snapshot replaces the log: it begins after `index` of `term`.
    pub(crate) fn restore(&mut self, index: u64, term: u64, conf_state: ConfState) {
        assert!(index > self.truncated_index, "a snapshot goes back to {index}");
        self.entries.clear();
        (self.truncated_index, self.truncated_term) = (index, term);
        self.applied = self.applied.max(index);
        self.conf_state = conf_state;
        self.hard_state.commit = self.hard_state.commit.max(index);
    }

    /// Forgets entries up to and including `index`, which must be in the tail.
    pub(crate) fn truncate_to(&mut self, index: u64) {
        if index <= self.truncated_index {
            return;
        }
        assert!(index <= self.last(), "truncation at {index} is past the end {}", self.last());
        let drop = usize::try_from(index - self.truncated_index).unwrap_or(usize::MAX);
        self.truncated_term = self.entries[drop - 1].term;
        self.truncated_index = index;
        self.entries.drain(..drop);
    }

    /// Term of the entry at `index`, if the view still knows it.
    pub(crate) fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.truncated_index {
            return Some(self.truncated_term);
        }
        let at = usize::try_from(index.checked_sub(self.truncated_index + 1)?).ok()?;
        self.entries.get(at).map(|entry| entry.term)
    }
}

impl Storage for LogView {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.truncated_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let max = max_size.into().unwrap_or(u64::MAX);
        let from = (low - self.truncated_index - 1) as usize;
        let to = (high - self.truncated_index - 1) as usize;
        let mut size = 0u64;
        let mut found = Vec::with_capacity(to - from);
        for entry in self.entries.range(from..to) {
            size += (entry.data.len() + entry.context.len() + 24) as u64;
            if size > max && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.truncated_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.term_of(index).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.truncated_index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// What a snapshot would say it is: the state itself is made when it is sent, and is then as of
    /// this index or a later one.
    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        let index = self.applied;
        let term = self.term_of(index).filter(|_| index >= request_index && index > 0);
        let Some(term) = term else {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        };
        let conf_state = Some(self.conf_state.clone());
        let metadata = Some(SnapshotMetadata { conf_state, index, term });
        Ok(Snapshot { metadata, ..Snapshot::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index, term, data: bytes::Bytes::from(vec![0; 100]), ..Entry::default() }
    }

    fn view() -> LogView {
        let mut view = LogView::new(3, 1, ConfState::default(), HardState::default());
        view.append(&[entry(4, 1), entry(5, 1), entry(6, 2)]);
        view
    }

    fn indexes(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.index).collect()
    }

    #[test]
    fn entries_are_bounded_by_bytes_but_never_none() {
        let context = || GetEntriesContext::empty(false);
        let all = view().entries(4, 7, None, context()).expect("in the tail");
        assert_eq!(indexes(&all), [4, 5, 6]);
        let one = view().entries(4, 7, 1, context()).expect("in the tail");
        assert_eq!(indexes(&one), [4]);
        assert!(view().entries(3, 5, None, context()).is_err());
        assert!(view().entries(4, 8, None, context()).is_err());
    }

    #[test]
    fn a_conflicting_append_replaces_the_rest_of_the_tail() {
        let mut view = view();
        view.append(&[entry(5, 3)]);
        assert_eq!(view.last(), 5);
        assert_eq!(view.term_of(5), Some(3));
        assert_eq!(view.term_of(6), None);
    }

    #[test]
    fn truncation_keeps_the_term_of_the_last_entry_that_went() {
        let mut view = view();
        view.truncate_to(5);
        assert_eq!(view.first_index().expect("known"), 6);
        assert_eq!(view.term(5).expect("known"), 1);
        assert!(view.term(4).is_err());
        view.truncate_to(6);
        assert_eq!((view.last(), view.term_of(6)), (6, Some(2)));
    }
}
