//! One stream of a watch, from its opening to its end: which fact each event is, and which facts
//! were passed over. What that means is said in [`guarantees`](super::guarantees).

use std::collections::BTreeMap;

use super::{Against, guarantees::Got, track::Track};
use crate::{
    check::{timeline::Fact, told::Told},
    history::{Change, WatchId, WatchSpec, WatchStep},
};

/// Why a fact that was passed over must still come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Passed {
    /// The rest of its revision came.
    Torn,
    /// It is after the place where the watch resumed.
    Resuming,
    /// Others of the range came before and after it.
    Between,
}

/// What a stream has been told.
pub(super) struct Stream<'a, 't> {
    pub(super) watch: WatchId,
    pub(super) spec: &'a WatchSpec,
    track: Track<'a, 't>,
    /// The first revision it may be told of; `None` until it is created, if it asked for now.
    pub(super) start: Option<i64>,
    /// It resumes after a break.
    is_again: bool,
    pub(super) is_created: bool,
    /// The place of the next fact in the track.
    next: usize,
    /// The revision last told of, by an event or a bookmark; `start - 1` at first.
    pub(super) last: i64,
    pub(super) bookmark: i64,
    /// Facts that were passed over, by place, with the revision that came instead.
    skipped: BTreeMap<usize, (Passed, i64)>,
}

impl<'a, 't> Stream<'a, 't> {
    pub(super) fn open(
        against: &'t Against<'a, '_>,
        watch: WatchId,
        spec: &'a WatchSpec,
        is_again: bool,
    ) -> Self {
        let track = against.track(spec);
        let mut stream = Self {
            watch,
            spec,
            track,
            start: None,
            is_again,
            is_created: false,
            next: 0,
            last: 0,
            bookmark: 0,
            skipped: BTreeMap::new(),
        };
        if spec.start_revision != 0 {
            stream.start_at(spec.start_revision);
        }
        stream
    }

    fn start_at(&mut self, start: i64) {
        self.start = Some(start);
        self.next = self.track.place(start);
        self.last = start.saturating_sub(1);
    }

    /// Takes a step; true if the stream is over.
    pub(super) fn step(
        &mut self,
        against: &Against<'a, '_>,
        at: u64,
        step: &WatchStep,
        told: &mut Told,
    ) -> bool {
        match step {
            WatchStep::Open { .. } => {}
            WatchStep::Created { revision } => self.created(*revision, told),
            WatchStep::Events { revision, changes, fragment } => {
                for change in changes {
                    self.header(change.revision, *revision, told);
                    self.event(against, at, change, told);
                }
                self.message_ends(changes, *fragment, told);
            }
            WatchStep::Progress { revision } => self.progress(against, *revision, told),
            WatchStep::Canceled { compact_revision, reason } => {
                self.refused(reason, told);
                if *compact_revision > 0 {
                    self.compacted(*compact_revision, told);
                    self.compaction_was_asked(against, at, *compact_revision, told);
                }
                return true;
            }
            WatchStep::Broken { .. } | WatchStep::Closed => return true,
        }
        false
    }

    /// What was passed over and never came is missing.
    pub(super) fn end(self, told: &mut Told) {
        for (place, (passed, seen)) in &self.skipped {
            let Some(fact) = self.track.get(*place) else { continue };
            match passed {
                Passed::Torn => self.atomic(fact, told),
                Passed::Resuming => self.resumable(fact, *seen, told),
                Passed::Between => self.no_gap(fact, *seen, told),
            }
        }
    }

    /// From now on is everything after the header of the creation.
    fn created(&mut self, revision: i64, told: &mut Told) {
        self.created_once(told);
        self.accepted(told);
        self.is_created = true;
        if self.start.is_none() {
            self.start_at(revision + 1);
        }
    }

    fn event(&mut self, against: &Against<'a, '_>, at: u64, change: &Change, told: &mut Told) {
        let unknown = against.timeline.unknown_from().unwrap_or(against.timeline.last() + 1);
        if change.revision >= unknown {
            return;
        }
        let Some(start) = self.start.filter(|_| self.is_created) else {
            self.created_first(told);
            return;
        };
        if !self.nothing_below_start(Got::Event(change.revision), start, told)
            || !self.in_range(change, told)
            || !self.filters(change, told)
        {
            return;
        }
        let place = match self.expected() {
            Some((place, fact)) if fact.key == change.key && fact.revision == change.revision => {
                place
            }
            _ => match self.out_of_place(change, told) {
                Some(place) => place,
                None => return,
            },
        };
        let Some(fact) = self.track.get(place) else { return };
        let is_told = !self.create_events(fact, change, told);
        self.same(fact, change, is_told, told);
        self.prev_kv(against, at, fact, change, told);
        self.next = self.next.max(place + 1);
        self.last = self.last.max(change.revision);
    }

    /// Whether a filter keeps out puts, or deletions.
    pub(super) fn keeps_out(&self, is_put: bool) -> bool {
        if is_put { self.spec.no_put } else { self.spec.no_delete }
    }

    /// The fact that must come next.
    fn expected(&self) -> Option<(usize, &'t Fact<'a>)> {
        let mut place = self.next;
        while let Some(fact) = self.track.get(place) {
            if !self.keeps_out(fact.now.is_some()) {
                return Some((place, fact));
            }
            place += 1;
        }
        None
    }

    /// Finds an event that is not the next one: later, so that something is passed over; passed
    /// over before; had before; or of something that never happened. Its place, if it is later.
    fn out_of_place(&mut self, change: &Change, told: &mut Told) -> Option<usize> {
        let revision = change.revision;
        if let Some(later) = self.track.find(&change.key, revision, self.next) {
            self.pass_over(later, revision);
            return Some(later);
        }
        match self.track.find(&change.key, revision, 0) {
            None => self.happened(change, told),
            Some(place) if self.skipped.remove(&place).is_some() => self.ordered(change, told),
            Some(_) => self.unique(change, told),
        }
        None
    }

    /// Remembers what is passed over on the way to `place`.
    fn pass_over(&mut self, place: usize, revision: i64) {
        for passed in self.next..place {
            let is_due = |fact: &&Fact<'_>| !self.keeps_out(fact.now.is_some());
            let Some(fact) = self.track.get(passed).filter(is_due) else { continue };
            let is_first = self.start.is_some_and(|start| self.last < start);
            let why = match () {
                () if fact.revision == revision || fact.revision == self.last => Passed::Torn,
                () if is_first && self.is_again => Passed::Resuming,
                () => Passed::Between,
            };
            self.skipped.insert(passed, (why, revision));
        }
    }

    /// At the end of a message its last revision is whole, unless it says that more follows.
    fn message_ends(&self, changes: &[Change], fragment: bool, told: &mut Told) {
        if fragment {
            self.fragment(told);
            return;
        }
        let Some(last) = changes.last() else { return };
        if let Some((_, missed)) = self.expected()
            && missed.revision == last.revision
        {
            self.atomic(missed, told);
        }
    }

    /// A bookmark is for all watches of a stream; one that is not created yet is none of them.
    fn progress(&mut self, against: &Against<'a, '_>, revision: i64, told: &mut Told) {
        if against.timeline.unknown_from().is_some_and(|unknown| revision >= unknown) {
            return;
        }
        let Some(start) = self.start.filter(|_| self.is_created) else { return };
        self.bookmarkable(revision, self.expected().map(|(_, fact)| fact), told);
        if self.nothing_below_start(Got::Bookmark(revision), start, told) {
            self.bookmarks_grow(revision, told);
        }
        self.bookmark = self.bookmark.max(revision);
    }
}
