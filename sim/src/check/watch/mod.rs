//! Each watcher against the timeline: what etcd guarantees, a function for each guarantee.
//!
//! A stream is merged with the facts of its range: the next event must be the next fact. What is
//! left out is remembered and told as a gap when the stream ends, unless it arrives after all,
//! which is a breach of order.

mod guarantees;
mod stream;
mod track;

use std::collections::BTreeMap;

use super::{compaction::Compactions, ops::Parts, timeline::Timeline, told::Told};
use crate::history::{WatchId, WatchSpec, WatchStep};
pub(super) use guarantees::nothing_from_the_future;
use stream::Stream;
use track::Track;

/// What all watches are checked against.
pub(super) struct Against<'a, 'p> {
    pub(super) timeline: &'p Timeline<'a>,
    pub(super) compactions: &'p Compactions,
    /// Facts by range, for those that several watches share.
    shared: BTreeMap<(&'a str, &'a str), Vec<u32>>,
}

/// Checks every watch.
pub(super) fn check<'a>(
    parts: &Parts<'a>,
    timeline: &Timeline<'a>,
    compactions: &Compactions,
    told: &mut Told,
) {
    let mut against = Against { timeline, compactions, shared: BTreeMap::new() };
    for step in parts.watches.values().flatten() {
        if let WatchStep::Open { spec } = step.step {
            against.prepare(spec);
        }
    }
    for (watch, steps) in &parts.watches {
        let mut stream: Option<Stream<'a, '_>> = None;
        let mut is_again = false;
        for step in steps {
            match (step.step, &mut stream) {
                (WatchStep::Open { spec }, _) => {
                    if let Some(stream) = stream.take() {
                        stream.end(told);
                    }
                    stream = Some(Stream::open(&against, *watch, spec, is_again));
                    is_again = true;
                }
                (step, None) => after_end(*watch, step, told),
                (other, Some(open)) => {
                    let is_over = open.step(&against, step.at, other, told);
                    if is_over && let Some(stream) = stream.take() {
                        stream.end(told);
                    }
                }
            }
        }
        if let Some(stream) = stream {
            stream.end(told);
        }
    }
}

/// A watch that has ended says nothing more.
fn after_end(watch: WatchId, step: &WatchStep, told: &mut Told) {
    if let WatchStep::Events { .. } | WatchStep::Progress { .. } | WatchStep::Created { .. } = step
    {
        told.tell("watch.after_end", &[], || format!("watch {watch} has ended, but gets {step:?}"));
    }
}

impl<'a> Against<'a, '_> {
    fn prepare(&mut self, spec: &'a WatchSpec) {
        let (key, end) = range_of(spec);
        if !end.is_empty() && (key, end) != ("\0", "\0") {
            let of_range = || self.timeline.of_range(key, end);
            self.shared.entry((key, end)).or_insert_with(of_range);
        }
    }

    fn track(&self, spec: &'a WatchSpec) -> Track<'a, '_> {
        let (key, end) = range_of(spec);
        match (key, end) {
            ("\0", "\0") => Track::all(self.timeline),
            (key, "") => Track::some(self.timeline, self.timeline.of_key(key)),
            range => {
                let facts = self.shared.get(&range).map_or(&[][..], Vec::as_slice);
                Track::some(self.timeline, facts)
            }
        }
    }
}

/// The range a watch means: no key is the first there can be.
fn range_of(spec: &WatchSpec) -> (&str, &str) {
    (if spec.key.is_empty() { "\0" } else { &spec.key }, &spec.end)
}
