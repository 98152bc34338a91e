//! One pass over all revisions with the model: writes, answers, riddles, the final state.

use super::{
    Case,
    exec::{self, carry_out, try_out},
    explain::{self, Asked, Riddle},
    holes::Hole,
    model::{Effect, Model},
    ops::Parts,
    order::{Bounds, Who},
    range::{self, Answer},
    timeline::{Cause, Timeline},
    told::Told,
    witness::Witness,
};
use crate::history::request::Range;

/// What the pass goes by.
pub(super) struct Replay<'a, 'p> {
    case: &'p Case<'a>,
    parts: &'p Parts<'a>,
    witness: &'p Witness<'a>,
    model: Model<'a>,
    timeline: Timeline<'a>,
    riddles: Vec<Riddle<'a, 'p>>,
    told: &'p mut Told,
}

/// Operations in the order of their revisions.
#[derive(Default)]
struct Agenda<'a> {
    writes: Vec<(i64, u32)>,
    reads: Vec<(i64, u32)>,
    past: Vec<Past<'a>>,
}

/// A read of the past, within an operation.
struct Past<'a> {
    at: i64,
    op: u32,
    range: &'a Range,
    answer: Answer<'a>,
}

/// Runs the pass; `bounds` learns who began what.
pub(super) fn run<'a>(
    case: &Case<'a>,
    parts: &Parts<'a>,
    witness: &Witness<'a>,
    bounds: &mut Bounds,
    told: &mut Told,
) -> Timeline<'a> {
    let agenda = agenda(parts, witness.last, told);
    let asked = Asked::of(parts);
    let mut replay = Replay {
        case,
        parts,
        witness,
        model: Model::new(),
        timeline: Timeline::new(),
        riddles: Vec::new(),
        told,
    };
    replay.pass(&agenda, &asked, bounds);
    let Replay { riddles, model, mut timeline, told, .. } = replay;
    drop((model, agenda, asked));
    let solved = explain::solve(&riddles, parts, told);
    for (riddle, op) in riddles.iter().zip(solved) {
        if let Some((id, certain)) = riddle.ended() {
            timeline.set_cause(riddle.revision, Cause::Lease { id, certain });
        } else if let Some(op) = op {
            bounds.begin(riddle.revision, parts.ops[op as usize].invoked, Who::Op(op));
            timeline.set_cause(riddle.revision, Cause::Op(op));
        }
    }
    timeline
}

/// Sorts answered operations by revision.
fn agenda<'a>(parts: &Parts<'a>, last: i64, told: &mut Told) -> Agenda<'a> {
    let mut agenda = Agenda::default();
    for (index, op) in (0..).zip(&parts.ops) {
        let Some(response) = op.response() else { continue };
        let revision = op.revision;
        if !op.is_about_keys() {
            continue;
        }
        let wrote = op.wrote;
        if wrote && !(2..=last).contains(&revision) {
            told.tell("durable.lost", &[op.id], || {
                format!("acknowledged at revision {revision}; the store ends at {last}")
            });
        } else if wrote {
            agenda.writes.push((revision, index));
        } else if revision >= 1 {
            agenda.reads.push((revision, index));
        } else {
            let story = || format!("answered at revision {revision}; the first is 1");
            told.tell("reads.wrong", &[op.id], story);
        }
        if !op.names_revision && revision > 0 {
            continue;
        }
        exec::each_range(op.request, &response.body, &mut |range, answer| {
            if range.revision > revision - i64::from(wrote) {
                let at = range.revision;
                told.tell("reads.future", &[op.id], || format!("read {at} at {revision}"));
            } else if range.revision > 0 {
                agenda.past.push(Past { at: range.revision, op: index, range, answer });
            }
        });
    }
    agenda.writes.sort_unstable();
    agenda.reads.sort_unstable();
    agenda.past.sort_by_key(|past| (past.at, past.op));
    agenda
}

/// The first entries of a sorted list that are of a revision, taken off it.
fn take<'l, T>(list: &mut &'l [T], revision: i64, of: impl Fn(&T) -> i64) -> &'l [T] {
    let end = list.iter().position(|entry| of(entry) != revision).unwrap_or(list.len());
    let (now, later) = list.split_at(end);
    *list = later;
    now
}

impl<'a> Replay<'a, '_> {
    fn pass(&mut self, agenda: &Agenda<'a>, asked: &Asked<'a>, bounds: &Bounds) {
        let mut writes = agenda.writes.as_slice();
        let mut reads = agenda.reads.as_slice();
        let mut past = agenda.past.as_slice();
        loop {
            let revision = self.model.revision();
            for (_, op) in take(&mut reads, revision, |(at, _)| *at) {
                self.answer(*op);
            }
            for one in take(&mut past, revision, |one| one.at) {
                self.past(one);
            }
            self.check_final(revision);
            if revision >= self.witness.last {
                return;
            }
            let writes = take(&mut writes, revision + 1, |(at, _)| *at);
            if !self.step(revision + 1, writes, asked, bounds) {
                self.timeline.hole = Some(Hole::after(&mut self.model, self.parts));
                return;
            }
        }
    }

    /// Makes one more revision; false if nobody knows what it was.
    fn step(
        &mut self,
        revision: i64,
        writes: &[(i64, u32)],
        asked: &Asked<'a>,
        bounds: &Bounds,
    ) -> bool {
        let witness = self.witness;
        let truth = witness.at(revision);
        if let (Some(truth), [(_, op)]) = (truth, writes)
            && self.is_straight(*op, truth)
        {
            return true;
        }
        let mut maker = None;
        for (_, op) in writes {
            if let Some(effects) = self.write(*op, truth, maker.is_some()) {
                maker = Some((*op, effects));
            }
        }
        if truth.is_none() && witness.is_audited(revision) {
            self.told.tell("timeline.gap", &[], || {
                format!("the auditor did not see revision {revision}")
            });
        }
        match (truth, maker) {
            (Some(truth), Some((op, _))) => self.accept(truth, Cause::Op(op)),
            (None, Some((op, effects))) => self.accept(&effects, Cause::Op(op)),
            (Some(truth), None) => {
                self.check_counters(truth);
                let riddle = asked.riddle(&mut self.model, truth, self.parts, bounds);
                self.riddles.push(riddle);
                self.accept(truth, Cause::Unknown);
            }
            (None, None) if witness.is_audited(revision) => self.accept(&[], Cause::Unknown),
            (None, None) => return false,
        }
        true
    }

    fn accept(&mut self, effects: &[Effect<'a>], cause: Cause) {
        self.model.accept(effects);
        self.note(effects, cause);
    }

    fn note(&mut self, effects: &[Effect<'a>], cause: Cause) {
        for effect in effects {
            self.timeline.add(effect.key, effect.now);
        }
        self.timeline.finish(cause);
    }

    /// The usual case: the one write of a revision did what is told, and was answered so. It stays
    /// carried out. Otherwise nothing has happened.
    fn is_straight(&mut self, index: u32, truth: &[Effect<'a>]) -> bool {
        let op = &self.parts.ops[index as usize];
        let Some(response) = op.response() else { return false };
        let (draft, wrong) = carry_out(&mut self.model, op.request, Some(&response.body));
        if wrong.is_some() || !draft.effects().eq(truth.iter().copied()) {
            draft.take_back();
            return false;
        }
        draft.keep();
        self.note(truth, Cause::Op(index));
        true
    }

    /// An acknowledged write: its effects, if it made the revision.
    fn write(
        &mut self,
        op: u32,
        truth: Option<&[Effect<'a>]>,
        is_made: bool,
    ) -> Option<Vec<Effect<'a>>> {
        let op = &self.parts.ops[op as usize];
        let response = op.response()?;
        let revision = response.revision;
        let done = try_out(&mut self.model, op.request, Some(&response.body));
        let class = truth.filter(|truth| done.effects != *truth);
        let class = class.map(|truth| explain::compare(&done.effects, truth));
        // It made the revision, but should have done something else, or nothing.
        let is_astray = class == Some("durable.lost")
            && truth.is_some_and(|truth| explain::could_be(op.request, truth));
        let class = if is_astray { Some("timeline.effect") } else { class };
        if is_made {
            let story = || format!("revision {revision} was acknowledged twice");
            self.told.tell("timeline.double", &[op.id], story);
        }
        if class == Some("durable.lost") {
            self.told.tell("durable.lost", &[op.id], || {
                format!("acknowledged at revision {revision}; that is {:?}", truth.unwrap_or(&[]))
            });
            return None;
        }
        if truth.is_none() && self.witness.is_audited(revision) {
            let story = || format!("acknowledged at revision {revision}; that is not there");
            self.told.tell("durable.lost", &[op.id], story);
        }
        if let Some(class) = class.filter(|_| !is_astray || done.wrong.is_none()) {
            self.told.tell(class, &[op.id], || {
                let truth = truth.unwrap_or(&[]);
                format!("revision {revision} is {truth:?}; it should be {:?}", done.effects)
            });
        }
        if let Some((class, story)) = done.wrong {
            self.told.tell(class, &[op.id], || format!("at revision {revision}: {story}"));
        }
        (!is_made).then_some(done.effects)
    }

    /// An operation that wrote nothing, at its revision.
    fn answer(&mut self, op: u32) {
        let op = &self.parts.ops[op as usize];
        let Some(response) = op.response() else { return };
        let done = try_out(&mut self.model, op.request, Some(&response.body));
        if let Some((class, story)) = done.wrong {
            let revision = response.revision;
            self.told.tell(class, &[op.id], || format!("at revision {revision}: {story}"));
        }
    }

    fn past(&mut self, past: &Past<'a>) {
        if let Some((class, story)) = range::check(&self.model, past.range, past.answer) {
            let id = self.parts.ops[past.op as usize].id;
            self.told.tell(class, &[id], || format!("of revision {}: {story}", past.at));
        }
    }

    /// Whether the counters of changes nobody acknowledged continue those of their keys.
    fn check_counters(&mut self, truth: &[Effect<'a>]) {
        let mut draft = self.model.draft();
        let mut absent = None;
        for effect in truth {
            match effect.now {
                Some(now) => {
                    let before = draft.model().get(effect.key).copied();
                    draft.put(effect.key, before, (now.value, now.lease));
                }
                None => {
                    if draft.delete(effect.key).is_none() {
                        absent = Some(effect.key);
                    }
                }
            }
        }
        let expected = draft.take_back();
        let revision = self.model.revision() + 1;
        if let Some(key) = absent {
            let story = || format!("{key} is deleted at {revision}, but was not there");
            self.told.tell("timeline.delete", &[], story);
        }
        if expected != truth {
            let story = || format!("revision {revision} is {truth:?}; it should be {expected:?}");
            self.told.tell("timeline.counters", &[], story);
        }
    }

    fn check_final(&mut self, revision: i64) {
        let audit = self.case.audit;
        if audit.revision != revision {
            return;
        }
        let everything = Range { key: "\0".to_owned(), end: "\0".to_owned(), ..Range::default() };
        let count = audit.state.len() as i64;
        let answer = Answer { kvs: &audit.state, count, more: false };
        let lists = self.model.range("\0", "\0").map(|(key, _)| key);
        let missing = lists.ne(audit.state.iter().map(|pair| pair.key.as_str()));
        if let Some((_, story)) = range::check(&self.model, &everything, answer) {
            self.told.tell("timeline.final", &[], || {
                let what = if missing { "other keys than" } else { "not" };
                format!("the final state is {what} what the changes add up to: {story}")
            });
        }
    }
}
