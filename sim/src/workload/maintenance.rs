//! What operators do: compact, defragment, hash, take snapshots, ask for status and alarms.
//!
//! Compactions go up to where the witness has seen, so that a run stays decidable; now and then one
//! asks for what must be refused: a revision of the future, or one compacted already.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Board, Desk, Part, say, values::pick_weighted};
use crate::history::{Request, Response};

/// What an operator knows.
#[derive(Clone, Debug)]
pub(super) struct Maintenance {
    board: Board,
    /// The store's revision, as last heard.
    revision: i64,
    compacted: i64,
}

impl Maintenance {
    pub(super) fn new(desk: &Desk) -> Self {
        Self { board: desk.board.clone(), revision: 1, compacted: 0 }
    }

    /// One that has heard of a revision.
    #[cfg(test)]
    pub(super) fn knowing(board: Board, revision: i64) -> Self {
        Self { board, revision, compacted: 0 }
    }

    fn compaction(&self, rng: &mut ChaCha8Rng) -> Request {
        let witnessed = self.board.witnessed().max(1);
        let revision = match pick_weighted(&[6, 6, 1, 1, 1], rng) {
            // A little behind the end, as automatic compaction does it.
            0 => (witnessed - rng.random_range(0..30)).max(1),
            1 => rng.random_range(self.compacted.min(witnessed)..=witnessed),
            2 => witnessed,
            3 => self.compacted,
            _ => self.revision.max(witnessed) + rng.random_range(1_000_000..2_000_000),
        };
        Request::Compact { revision, physical: rng.random_ratio(1, 3) }
    }

    fn hash(&self, rng: &mut ChaCha8Rng) -> Request {
        let revision = match rng.random_range(0..3) {
            0 => 0,
            1 => self.revision,
            _ => rng.random_range(self.compacted.min(self.revision)..=self.revision),
        };
        Request::HashKv { revision }
    }
}

impl Part for Maintenance {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Request {
        match pick_weighted(&[20, 3, 12, 2, 10, 4], rng) {
            0 => self.compaction(rng),
            1 => Request::Defragment,
            2 => self.hash(rng),
            3 => Request::Snapshot,
            4 => Request::Status,
            _ => say::alarm("get", "none", 0),
        }
    }

    fn learn(&mut self, request: &Request, response: &Response) {
        self.revision = self.revision.max(response.revision);
        if let Request::Compact { revision, .. } = request {
            self.compacted = self.compacted.max(*revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn no_compaction_that_can_succeed_overtakes_the_witness() {
        let board = Board::default();
        board.witness(500);
        let operator = Maintenance { board, revision: 900, compacted: 100 };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut refused, mut carried_out) = (0, 0);
        for _ in 0..400 {
            let Request::Compact { revision, .. } = operator.compaction(&mut rng) else { continue };
            match revision {
                ..=100 => refused += 1,
                101..=500 => carried_out += 1,
                _ => assert!(revision > 1_000_000),
            }
        }
        assert!(carried_out > 200 && refused > 10);
    }
}
