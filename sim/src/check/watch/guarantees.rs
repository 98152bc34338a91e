//! What etcd guarantees of a watch, a function for each guarantee.
//!
//! The sources are "KV API guarantees: Watch APIs" of etcd's manual (ordered, unique, reliable,
//! atomic, resumable, bookmarkable), the comments of `WatchCreateRequest` and `WatchResponse` in
//! `rpc.proto`, and etcd's own checker (`tests/robustness/validate/watch.go`), which has the same
//! list. Each function tells of the breach it is named after and of nothing else; what it needs to
//! know is found by [`Stream`], which calls it.

use super::{Against, range_of, stream::Stream};
use crate::{
    check::{model::covers, ops::Op, refusal::COMPACTED, timeline::Fact, told::Told},
    history::{Change, WatchId},
};

/// The reason given to a watch of a range without keys.
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";

/// Nothing from the future: what a watch shows was asked for before. etcd sends what is applied
/// (`watchable_store.go`, `notify`), and what is applied was proposed. `begun` is a write that came
/// at `wrote.0`, begun at `wrote.1`, after the watch had shown `shown.0` at `shown.1`.
pub(in crate::check) fn nothing_from_the_future(
    watch: WatchId,
    begun: &Op<'_>,
    wrote: (usize, u64),
    shown: (usize, u64),
    told: &mut Told,
) {
    told.tell("watch.future", &[begun.id], || {
        format!(
            "operation {} is revision {} but began at {} ns, after watch {watch} had been shown \
             revision {} at {} ns",
            begun.id, wrote.0, wrote.1, shown.0, shown.1
        )
    });
}

/// What a watch got, by revision.
#[derive(Clone, Copy, Debug)]
pub(super) enum Got {
    /// An event of this revision.
    Event(i64),
    /// Word that everything up to this one was sent.
    Bookmark(i64),
}

impl<'a> Stream<'a, '_> {
    /// Ordered: "an event will never appear on a watch if it precedes an event in time that has
    /// already been posted". `late` was passed over on the way to `self.last`.
    pub(super) fn ordered(&self, late: &Change, told: &mut Told) {
        let Change { key, revision, .. } = late;
        let last = self.last;
        self.tell(told, "watch.order", || format!("got {key} at {revision} after {last}"));
    }

    /// Unique: "an event will never appear on a watch twice".
    pub(super) fn unique(&self, again: &Change, told: &mut Told) {
        let Change { key, revision, .. } = again;
        self.tell(told, "watch.unique", || format!("got {key} at {revision} again"));
    }

    /// Reliable, or no gap: "a sequence of events will never drop any subsequence of events within
    /// the available history window". `missed` was passed over for `seen`, and never came.
    pub(super) fn no_gap(&self, missed: &Fact<'_>, seen: i64, told: &mut Told) {
        self.tell(told, "watch.gap", || never_came(missed, seen));
    }

    /// Resumable: "a broken watch can be resumed by establishing a new watch starting after the
    /// last revision received". `missed` lies between its new start and `seen`, the first it got.
    pub(super) fn resumable(&self, missed: &Fact<'_>, seen: i64, told: &mut Told) {
        self.tell(told, "watch.resume", || never_came(missed, seen));
    }

    /// Atomic: "a list of events is guaranteed to encompass complete revisions". `missed` is of a
    /// revision of which the message that ended at it had only a part.
    pub(super) fn atomic(&self, missed: &Fact<'_>, told: &mut Told) {
        let Fact { key, revision, .. } = missed;
        let story = || format!("got a part of revision {revision}, {key} is missing");
        self.tell(told, "watch.atomic", story);
    }

    /// Bookmarkable: "progress notification events guarantee that all events up to a revision have
    /// been already delivered". `due` is the next event that has not been.
    pub(super) fn bookmarkable(&self, bookmark: i64, due: Option<&Fact<'_>>, told: &mut Told) {
        if let Some(Fact { key, revision, .. }) = due
            && *revision <= bookmark
        {
            let story = || format!("bookmark {bookmark}, but {key} at {revision} is to come");
            self.tell(told, "watch.progress", story);
        }
    }

    /// Bookmarks do not go back: one is the revision of a store that only grows, and comes in the
    /// order of the stream. etcd: `validateBookmarkable`.
    pub(super) fn bookmarks_grow(&self, bookmark: i64, told: &mut Told) {
        let before = self.bookmark.max(self.last);
        if bookmark < before {
            let story = || format!("bookmark {bookmark} after {before}");
            self.tell(told, "watch.progress_back", story);
        }
    }

    /// Nothing below the start revision: "start_revision is an optional revision to watch from
    /// (inclusive)". What was got is of `revision`, or a bookmark of everything up to it. True if
    /// it holds.
    pub(super) fn nothing_below_start(&self, got: Got, start: i64, told: &mut Told) -> bool {
        let first = match got {
            Got::Event(revision) => revision,
            Got::Bookmark(revision) => revision + 1,
        };
        if first < start {
            self.tell(told, "watch.below_start", || format!("got {got:?}, asked for {start} on"));
        }
        first >= start
    }

    /// Only the range: "key is the key to register for watching", "range_end is the end of the
    /// range `[key, range_end)` to watch". True if it holds.
    pub(super) fn in_range(&self, change: &Change, told: &mut Told) -> bool {
        let (key, end) = range_of(self.spec);
        let is_in = covers(key, end, &change.key);
        if !is_in {
            let story = || format!("got {} at {}, out of its range", change.key, change.revision);
            self.tell(told, "watch.range", story);
        }
        is_in
    }

    /// Filters: "filters filter the events at server side before it sends back to the watcher".
    /// True if it holds.
    pub(super) fn filters(&self, change: &Change, told: &mut Told) -> bool {
        let is_kept_out = self.keeps_out(change.now.is_some());
        if is_kept_out {
            let story = || format!("got {} at {}, which it filters", change.key, change.revision);
            self.tell(told, "watch.filter", story);
        }
        !is_kept_out
    }

    /// Nothing that did not happen: every event is a change of the store.
    pub(super) fn happened(&self, change: &Change, told: &mut Told) {
        let story = || format!("got {} at {}, which did not happen", change.key, change.revision);
        self.tell(told, "watch.phantom", story);
    }

    /// Create events: exactly the change that makes a key says so, by `create_revision ==
    /// mod_revision`, and versions count on from it (`IsCreate` of etcd's client;
    /// `validateIsCreate`). True if it holds.
    pub(super) fn create_events(&self, fact: &Fact<'_>, change: &Change, told: &mut Told) -> bool {
        let (Some(is), Some(said)) = (&fact.now, &change.now) else { return true };
        let is_birth = is.create_revision == is.mod_revision;
        let says_birth = said.create_revision == said.mod_revision;
        let is_right = is_birth == says_birth && is.version == said.version;
        if !is_right {
            let story = || format!("got {} = {said:?}; it is {is:?}", fact.key);
            self.tell(told, "watch.create", story);
        }
        is_right
    }

    /// An event says what happened: a put or a deletion, and for a put the key as it then was
    /// ("kv holds the KeyValue for the event"). `is_told` already that its counters are wrong.
    pub(super) fn same(&self, fact: &Fact<'_>, change: &Change, is_told: bool, told: &mut Told) {
        let is_right = match (&fact.now, &change.now) {
            (Some(is), Some(said)) if is_told => is.value == said.value && is.lease == said.lease,
            (Some(is), Some(said)) => is.is(said),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_right {
            self.tell(told, "watch.value", || format!("got {change:?}; it is {fact:?}"));
        }
    }

    /// Previous pairs: "if prev_kv is set, created watcher gets the previous KV before the event
    /// happens. If the previous KV is already compacted, nothing will be returned."
    pub(super) fn prev_kv(
        &self,
        against: &Against<'a, '_>,
        at: u64,
        fact: &Fact<'a>,
        change: &Change,
        told: &mut Told,
    ) {
        // etcd: a key that is created has nothing before, also if the same transaction deleted it.
        let is_birth = fact.now.is_some_and(|now| now.create_revision == fact.revision);
        let is_due = self.spec.prev_kv && !is_birth;
        let before = against.timeline.before(fact).filter(|_| is_due);
        let is_right = match (&before, &change.prev) {
            (None, None) => true,
            (Some(before), Some(said)) => before.is(said),
            (None, Some(_)) => false,
            (Some(_), None) => against.compactions.possible(at) >= fact.revision,
        };
        if !is_right {
            let (key, revision) = (fact.key, fact.revision);
            let story =
                || format!("{key} at {revision} was {before:?} before; it got {:?}", change.prev);
            self.tell(told, "watch.prev_kv", story);
        }
    }

    /// Created comes first and once: "created is set to true if the response is for a create watch
    /// request", "all events sent to the created watcher will attach with the same watch_id".
    pub(super) fn created_once(&self, told: &mut Told) {
        if self.is_created {
            self.tell(told, "watch.created", || "was created twice".to_owned());
        }
    }

    /// The same: nothing comes before it.
    pub(super) fn created_first(&self, told: &mut Told) {
        self.tell(told, "watch.created", || "got events before it was created".to_owned());
    }

    /// What makes no sense is not watched: neither a range that ends before it begins
    /// (`watcher_group.go`, `ErrEmptyWatcherRange`) nor a start before all revisions.
    pub(super) fn accepted(&self, told: &mut Told) {
        let (has_no_key, is_before_all) = (self.has_no_key(), self.spec.start_revision < 0);
        if has_no_key || is_before_all {
            let story = || format!("was created for {:?}", self.spec);
            self.tell(told, "watch.accepted", story);
        }
    }

    /// And nothing else is refused with that reason.
    pub(super) fn refused(&self, reason: &str, told: &mut Told) {
        let is_right = match reason {
            EMPTY_RANGE => self.has_no_key(),
            COMPACTED => self.spec.start_revision < 0,
            _ => true,
        };
        if !is_right {
            let story = || format!("refused with {reason:?} for {:?}", self.spec);
            self.tell(told, "watch.refused", story);
        }
    }

    fn has_no_key(&self) -> bool {
        let (key, end) = range_of(self.spec);
        !matches!(end, "" | "\0") && key >= end
    }

    /// A header is no older than the events below it: it is the store's revision when they were
    /// sent (`watch.go`, `sendLoop`).
    pub(super) fn header(&self, revision: i64, header: i64, told: &mut Told) {
        if header < revision {
            let story = || format!("got revision {revision} under a header of {header}");
            self.tell(told, "watch.header", story);
        }
    }

    /// Fragments only for who asked: "fragment enables splitting large revisions into multiple
    /// watch responses".
    pub(super) fn fragment(&self, told: &mut Told) {
        if !self.spec.fragment {
            self.tell(told, "watch.fragment", || "got a fragment it did not ask for".to_owned());
        }
    }

    /// Ended by compaction only if it still needed something of that: "compact_revision is set to
    /// the minimum index if a watcher tries to watch at a compacted index".
    pub(super) fn compacted(&self, compacted: i64, told: &mut Told) {
        let needs = self.bookmark.max(self.last) + 1;
        if self.start.is_some() && compacted <= needs {
            let story = || format!("ended as compacted at {compacted}, it needs {needs} on");
            self.tell(told, "watch.compacted", story);
        }
    }

    /// The same: by a compaction that somebody asked for.
    pub(super) fn compaction_was_asked(
        &self,
        against: &Against<'a, '_>,
        at: u64,
        compacted: i64,
        told: &mut Told,
    ) {
        if compacted > against.compactions.possible(at) {
            let story = || format!("ended as compacted at {compacted}; nobody asked for that");
            self.tell(told, "compaction.phantom", story);
        }
    }

    fn tell(&self, told: &mut Told, class: &'static str, story: impl FnOnce() -> String) {
        told.tell(class, &[], || format!("watch {}: {}", self.watch, story()));
    }
}

fn never_came(Fact { key, revision, .. }: &Fact<'_>, seen: i64) -> String {
    format!("got revision {seen}, never {key} at {revision}")
}
