//! One stream of a watch, from its opening to its end.

use std::collections::BTreeMap;

use super::{Against, range_of, track::Track};
use crate::{
    check::{
        model::{Live, covers},
        timeline::Fact,
        told::Told,
    },
    history::{Change, WatchId, WatchSpec, WatchStep},
};

/// What a stream has been told.
pub(super) struct Stream<'a, 't> {
    watch: WatchId,
    spec: &'a WatchSpec,
    track: Track<'a, 't>,
    /// The first revision it may be told of; `None` until it is created, if it asked for now.
    start: Option<i64>,
    /// It resumes after a break.
    is_again: bool,
    is_created: bool,
    /// The place of the next fact in the track.
    next: usize,
    /// The revision last told of, by an event or a bookmark; `start - 1` at first.
    last: i64,
    bookmark: i64,
    /// Facts that were passed over, by place, with the class if they never come.
    skipped: BTreeMap<usize, (&'static str, i64)>,
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
        self.last = start - 1;
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
                self.atomic(changes, *fragment, told);
            }
            WatchStep::Progress { revision } => self.bookmarkable(against, *revision, told),
            WatchStep::Canceled { compact_revision, .. } => {
                self.compacted(against, at, *compact_revision, told);
                return true;
            }
            WatchStep::Broken { .. } | WatchStep::Closed => return true,
        }
        false
    }

    /// What was passed over and never came is a gap.
    pub(super) fn end(self, told: &mut Told) {
        for (place, (class, seen)) in &self.skipped {
            let Some(fact) = self.track.get(*place) else { continue };
            told.tell(class, &[], || {
                let Fact { key, revision, .. } = fact;
                format!("watch {} got revision {seen}, never {key} at {revision}", self.watch)
            });
        }
    }

    fn tell(&self, told: &mut Told, class: &'static str, story: impl FnOnce() -> String) {
        told.tell(class, &[], || format!("watch {}: {}", self.watch, story()));
    }

    /// Created comes first and once, and means: everything after its header.
    fn created(&mut self, revision: i64, told: &mut Told) {
        if self.is_created {
            self.tell(told, "watch.created", || "was created twice".to_owned());
        }
        self.is_created = true;
        if self.start.is_none() {
            self.start_at(revision + 1);
        }
    }

    /// A header is no older than the events below it.
    fn header(&self, revision: i64, header: i64, told: &mut Told) {
        if header < revision {
            let story = || format!("got revision {revision} under a header of {header}");
            self.tell(told, "watch.header", story);
        }
    }

    fn event(&mut self, against: &Against<'a, '_>, at: u64, change: &Change, told: &mut Told) {
        let unknown = against.timeline.unknown_from.unwrap_or(against.timeline.last() + 1);
        if change.revision >= unknown {
            return;
        }
        let Some(start) = self.start.filter(|_| self.is_created) else {
            self.tell(told, "watch.created", || "got events before it was created".to_owned());
            return;
        };
        if change.revision < start {
            let story = || format!("got revision {}, asked for {start} on", change.revision);
            self.tell(told, "watch.below_start", story);
            return;
        }
        if !self.wanted(change, told) {
            return;
        }
        let place = match self.expected() {
            Some((place, fact)) if fact.key == change.key && fact.revision == change.revision => {
                place
            }
            _ => match self.out_of_order(change, told) {
                Some(place) => place,
                None => return,
            },
        };
        let Some(fact) = self.track.get(place) else { return };
        self.same(fact, change, told);
        self.prev_kv(against, at, fact, change, told);
        self.next = self.next.max(place + 1);
        self.last = self.last.max(change.revision);
    }

    /// Only what was asked for: the range, and not what filters keep out.
    fn wanted(&self, change: &Change, told: &mut Told) -> bool {
        let (key, end) = range_of(self.spec);
        let revision = change.revision;
        if !covers(key, end, &change.key) {
            let story = || format!("got {} at {revision}, out of its range", change.key);
            self.tell(told, "watch.range", story);
            return false;
        }
        let is_put = change.now.is_some();
        if (is_put && self.spec.no_put) || (!is_put && self.spec.no_delete) {
            let story = || format!("got {} at {revision}, which it filters", change.key);
            self.tell(told, "watch.filter", story);
            return false;
        }
        true
    }

    fn filters(&self, fact: &Fact<'_>) -> bool {
        if fact.now.is_some() { self.spec.no_put } else { self.spec.no_delete }
    }

    /// The fact that must come next.
    fn expected(&self) -> Option<(usize, &'t Fact<'a>)> {
        let mut place = self.next;
        while let Some(fact) = self.track.get(place) {
            if !self.filters(fact) {
                return Some((place, fact));
            }
            place += 1;
        }
        None
    }

    /// An event that is not the next one: known and passed over (order), known and had (unique),
    /// later (perhaps a gap), or of something that never happened.
    fn out_of_order(&mut self, change: &Change, told: &mut Told) -> Option<usize> {
        let revision = change.revision;
        if let Some(later) = self.track.find(&change.key, revision, self.next) {
            self.skip(later, revision);
            return Some(later);
        }
        let Some(place) = self.track.find(&change.key, revision, 0) else {
            let story = || format!("got {} at {revision}, which did not happen", change.key);
            self.tell(told, "watch.phantom", story);
            return None;
        };
        let last = self.last;
        if self.skipped.remove(&place).is_some() {
            let story = || format!("got {} at {revision} after {last}", change.key);
            self.tell(told, "watch.order", story);
        } else {
            let story = || format!("got {} at {revision} again", change.key);
            self.tell(told, "watch.unique", story);
        }
        None
    }

    /// Remembers what is passed over on the way to `place`.
    fn skip(&mut self, place: usize, revision: i64) {
        for passed in self.next..place {
            let Some(fact) = self.track.get(passed).filter(|fact| !self.filters(fact)) else {
                continue;
            };
            let is_first = self.start.is_some_and(|start| self.last == start - 1);
            let class = match () {
                () if fact.revision == revision || fact.revision == self.last => "watch.atomic",
                () if is_first && self.is_again => "watch.resume",
                () => "watch.gap",
            };
            self.skipped.insert(passed, (class, revision));
        }
    }

    /// All events of a revision come together, unless a fragment says that more follow.
    fn atomic(&self, changes: &[Change], fragment: bool, told: &mut Told) {
        if fragment {
            if !self.spec.fragment {
                let story = || "got a fragment it did not ask for".to_owned();
                self.tell(told, "watch.fragment", story);
            }
            return;
        }
        let Some(last) = changes.last() else { return };
        if let Some((_, fact)) = self.expected()
            && fact.revision == last.revision
        {
            let Fact { key, revision, .. } = fact;
            let story = || format!("got a part of revision {revision}, {key} is missing");
            self.tell(told, "watch.atomic", story);
        }
    }

    /// What the event says is what happened.
    fn same(&self, fact: &Fact<'_>, change: &Change, told: &mut Told) {
        let (Some(is), Some(said)) = (&fact.now, &change.now) else {
            if fact.now.is_some() != change.now.is_some() {
                let story = || format!("got {change:?}; it is {fact:?}");
                self.tell(told, "watch.value", story);
            }
            return;
        };
        if is.is(said) {
            return;
        }
        let said = Live::of(said);
        let is_birth = |live: &Live<'_>| live.create_revision == live.mod_revision;
        let alike = is.value == said.value && is.lease == said.lease;
        let class = if alike && (is_birth(is) != is_birth(&said) || is.version != said.version) {
            "watch.create"
        } else {
            "watch.value"
        };
        let story = || format!("got {} = {said:?}; it is {is:?}", fact.key);
        self.tell(told, class, story);
    }

    /// What was there before, if asked for, unless compaction may have taken it.
    fn prev_kv(
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

    /// A bookmark comes after everything up to it, and never goes back.
    fn bookmarkable(&mut self, against: &Against<'a, '_>, revision: i64, told: &mut Told) {
        if against.timeline.unknown_from.is_some_and(|unknown| revision >= unknown) {
            return;
        }
        // A bookmark is for all watches of a stream; one that is not created yet is none of them.
        let Some(start) = self.start.filter(|_| self.is_created) else { return };
        if let Some((_, fact)) = self.expected()
            && fact.revision <= revision
        {
            let Fact { key, revision: missing, .. } = fact;
            let story = || format!("bookmark {revision}, but {key} at {missing} is to come");
            self.tell(told, "watch.progress", story);
        }
        if revision < start - 1 {
            let story = || format!("bookmark {revision}, asked for {start} on");
            self.tell(told, "watch.below_start", story);
        } else if revision < self.bookmark.max(self.last) {
            let before = self.bookmark.max(self.last);
            let story = || format!("bookmark {revision} after {before}");
            self.tell(told, "watch.progress_back", story);
        }
        self.bookmark = self.bookmark.max(revision);
    }

    /// Ended by compaction: of something it still needed, and that somebody asked for.
    fn compacted(&self, against: &Against<'a, '_>, at: u64, compacted: i64, told: &mut Told) {
        if compacted == 0 {
            return;
        }
        let needs = self.bookmark.max(self.last) + 1;
        if self.start.is_some() && compacted <= needs {
            let story = || format!("ended as compacted at {compacted}, it needs {needs} on");
            self.tell(told, "watch.compacted", story);
        }
        if compacted > against.compactions.possible(at) {
            let story = || format!("ended as compacted at {compacted}; nobody asked for that");
            self.tell(told, "compaction.phantom", story);
        }
    }
}
