//! Forgetting: whole segments that a durable mark made unnecessary.
//!
//! A segment may go once its successor's first index is not behind the mark: every entry in it is
//! covered then, or was replaced. The removals need no order among themselves: the reader drops
//! what lies before a gap if the mark covers it, so a crash in between only leaves some of it.

use reseed_planted::{self as planted, Bug};
use reseed_rt::probe::{self, Probe};

use super::{Wal, WalError, segment::SegmentName};

impl Wal {
    /// Removes the segments that hold only entries below `index`, as far as a synced mark covers
    /// them; the rest stays for another time.
    ///
    /// # Errors
    /// `Io` and `Poisoned`, final.
    pub fn release(&mut self, index: u64) -> Result<(), WalError> {
        self.check_poison()?;
        let durable = self.mark_synced.saturating_add(1);
        let needed = if planted::on(Bug::ReleaseBeforeMark) { index } else { index.min(durable) };
        let mut released = Vec::new();
        while self.segments.get(1).is_some_and(|next| next.first_index <= needed) {
            released.extend(self.segments.pop_front());
        }
        let removed = self.remove(released);
        self.poisoning(removed)
    }

    pub(super) fn remove(&self, segments: Vec<SegmentName>) -> Result<(), WalError> {
        if segments.is_empty() {
            return Ok(());
        }
        probe::hit(Probe::WalPurged);
        for segment in segments {
            let removed = self.disk.remove(&segment.path(&self.dir));
            removed.map_err(WalError::io("remove a segment"))?;
        }
        self.disk.sync_dir(&self.dir).map_err(WalError::io("sync the directory"))
    }
}
