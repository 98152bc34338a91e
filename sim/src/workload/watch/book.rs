//! What a client knows of one watch, over all the streams it lives on.
//!
//! A watch resumes after the last response it has whole: if a stream breaks between the fragments
//! of one, what came of it comes again. Whether a bookmark moves the place to resume from is the
//! client's habit; etcd's client lets it.

use reseed_proto::etcdserverpb::WatchResponse;

use crate::{
    history::{Change, WatchId, WatchSpec, WatchStep},
    workload::translate,
};

/// One watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Book {
    /// Its name in the history.
    pub(crate) id: WatchId,
    spec: WatchSpec,
    trusts_bookmarks: bool,
    /// Where it resumes; 0: from now, the server has not said yet when that is.
    next: i64,
    complete_to: i64,
}

impl Book {
    /// A watch for `spec`.
    #[must_use]
    pub(crate) fn new(id: WatchId, spec: WatchSpec, trusts_bookmarks: bool) -> Self {
        let (next, complete_to) =
            (spec.start_revision, spec.start_revision.saturating_sub(1).max(0));
        Self { id, spec, trusts_bookmarks, next, complete_to }
    }

    /// What to ask for, the first time or after a break.
    #[must_use]
    pub(crate) fn spec(&self) -> WatchSpec {
        WatchSpec { start_revision: self.next, ..self.spec.clone() }
    }

    /// Everything up to here has been seen.
    #[must_use]
    pub(crate) fn complete_to(&self) -> i64 {
        self.complete_to
    }

    /// The first revision it still wants; 0: the server has not said yet.
    #[must_use]
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Learns from a response of the server; what it means for the history.
    pub(crate) fn learn(&mut self, response: &WatchResponse) -> WatchStep {
        let revision = translate::revision(response.header.as_ref());
        if response.canceled {
            let reason = response.cancel_reason.clone();
            return WatchStep::Canceled { compact_revision: response.compact_revision, reason };
        }
        if response.created {
            if self.next == 0 {
                self.next = revision + 1;
                self.complete_to = revision;
            }
            return WatchStep::Created { revision };
        }
        let changes: Vec<Change> = response.events.iter().filter_map(translate::change).collect();
        let Some(last) = changes.last() else {
            return self.bookmark(revision);
        };
        if !response.fragment {
            self.next = last.revision + 1;
            self.complete_to = self.complete_to.max(last.revision);
        }
        WatchStep::Events { revision, changes, fragment: response.fragment }
    }

    /// Learns that everything up to `revision` has been sent.
    pub(crate) fn bookmark(&mut self, revision: i64) -> WatchStep {
        self.complete_to = self.complete_to.max(revision);
        if self.trusts_bookmarks && self.next != 0 {
            self.next = self.next.max(revision + 1);
        }
        WatchStep::Progress { revision }
    }
}

#[cfg(test)]
mod tests {
    use reseed_proto::{
        etcdserverpb::ResponseHeader,
        mvccpb::{Event, KeyValue},
    };

    use super::*;

    fn response(revision: i64, events: &[i64]) -> WatchResponse {
        let event = |mod_revision: &i64| Event {
            kv: Some(KeyValue { mod_revision: *mod_revision, ..KeyValue::default() }),
            ..Event::default()
        };
        WatchResponse {
            header: Some(ResponseHeader { revision, ..ResponseHeader::default() }),
            events: events.iter().map(event).collect(),
            ..WatchResponse::default()
        }
    }

    fn book(start_revision: i64, trusts_bookmarks: bool) -> Book {
        let spec = WatchSpec { start_revision, ..WatchSpec::default() };
        Book::new(1, spec, trusts_bookmarks)
    }

    #[test]
    fn a_watch_from_now_resumes_where_now_was() {
        let mut book = book(0, true);
        let created = WatchResponse { created: true, ..response(7, &[]) };
        assert_eq!(book.learn(&created), WatchStep::Created { revision: 7 });
        assert_eq!(book.spec().start_revision, 8);
        // Created again after a break, later: what happened meanwhile is still wanted.
        book.learn(&WatchResponse { created: true, ..response(9, &[]) });
        assert_eq!(book.spec().start_revision, 8);
    }

    #[test]
    fn a_response_in_pieces_counts_when_it_is_whole() {
        let mut book = book(3, true);
        book.learn(&WatchResponse { fragment: true, ..response(9, &[5, 6]) });
        assert_eq!((book.next(), book.complete_to()), (3, 2));
        book.learn(&response(9, &[6, 8]));
        assert_eq!((book.next(), book.complete_to()), (9, 8));
    }

    #[test]
    fn bookmarks_move_only_those_who_trust_them() {
        for (trusts, next) in [(true, 7), (false, 3)] {
            let mut book = book(3, trusts);
            assert_eq!(book.learn(&response(6, &[])), WatchStep::Progress { revision: 6 });
            assert_eq!((book.next(), book.complete_to()), (next, 6));
        }
    }
}
