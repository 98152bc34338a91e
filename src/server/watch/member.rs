//! The watches of a running member: its state as their source, its settings as their options.

use std::sync::Arc;

use bytes::Bytes;
use reseed_core::error::{Error, Fate};
use reseed_core::limits::GRPC_OVERHEAD_BYTES;
use reseed_core::mvcc::{HistoryLimits, RevisionEvents, Span, events_between};
use reseed_proto::{etcdserverpb as pb, mvccpb};
use reseed_rt::buggify::{self, Point};
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::{Stop, Task};

use super::feed::Publisher;
use super::hub::{Hub, Options, start_over};
use super::source::Source;
use crate::state::State;

/// Starts the hub of a member. Apply gets the publisher, the services get the hub.
pub(crate) fn start(state: Arc<State>, stop: Stop) -> (Publisher, Hub, Task<()>) {
    let options = Options {
        progress_interval: state.config.watch_progress_notify_interval,
        fragment_bytes: state.config.max_request_bytes + GRPC_OVERHEAD_BYTES,
    };
    let metrics = Arc::clone(&state.metrics);
    start_over(state, metrics, options, stop)
}

impl Source for State {
    fn revision(&self) -> i64 {
        self.machine.read().mvcc.revision()
    }

    fn compact_revision(&self) -> i64 {
        self.machine.read().mvcc.compact_revision()
    }

    fn history(&self, from: i64, limits: HistoryLimits) -> Result<Vec<RevisionEvents>, Error> {
        probe::hit(Probe::WatchCatchUp);
        let tiny = buggify::point(Point::WatchTinyStep);
        let bytes_max = if tiny { 1 } else { limits.bytes_max };
        let limits = HistoryLimits { bytes_max, ..limits };
        let to = Source::revision(self);
        let found = events_between(&self.backend, Span { from, to }, limits);
        // Asked afterwards: what compaction removed while this was reading, it removed after it
        // had become visible here.
        if Source::compact_revision(self) > from {
            return Err(Error::Compacted);
        }
        found.inspect_err(|error| self.halt_if_broken(error))
    }

    fn pair_at(&self, key: &Bytes, revision: i64) -> Result<Option<mvccpb::KeyValue>, Error> {
        let request = pb::RangeRequest { key: key.clone(), revision, ..Default::default() };
        let plan = self.machine.read().mvcc.plan_range(&request);
        match plan.and_then(|plan| plan.finish(&self.backend)) {
            Ok(found) => Ok(found.kvs.into_iter().next()),
            Err(error) if error.fate() == Fate::Halt => {
                self.halt.halt(&error);
                Err(error)
            }
            Err(_compacted) => Ok(None),
        }
    }

    fn header_at(&self, revision: i64) -> pb::ResponseHeader {
        State::header_at(self, revision)
    }
}

impl State {
    fn halt_if_broken(&self, error: &Error) {
        if error.fate() == Fate::Halt {
            self.halt.halt(error);
        }
    }
}
