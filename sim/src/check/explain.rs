//! Who made the revisions nobody was told of?
//!
//! An operation whose outcome is unknown took effect at most once, at any time after it began.
//! Each revision without an acknowledged write is a *riddle*: its candidates are the unknown
//! operations that would have done exactly that to the state before it, and the end of a lease
//! with exactly those keys. Unique values leave one candidate nearly always; deletions of the same
//! key are many and alike. So the whole is a matching: every riddle needs an operation of its own,
//! and that exists or it does not (augmenting paths, Kuhn 1955). A candidate must have begun before
//! anybody saw the revision or a later one; beyond that one candidate is as good as another, since
//! unknown operations bound nothing from above.

use std::collections::BTreeMap;

use super::{
    exec::{self, try_out},
    model::{Effect, Live, Model},
    ops::{Op, Outcome, Parts},
    order::Bounds,
    told::Told,
};
use crate::history::{
    OpId, Request,
    request::{Put, Step, Txn},
};

/// The unknown operations that could write, by what gives them away.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    by_value: Vec<(&'a str, u32)>,
    /// Deletions of one key, which all do the same.
    deletes: BTreeMap<&'a str, Vec<u32>>,
    /// Puts that keep the value there is.
    keeps: BTreeMap<&'a str, Vec<u32>>,
    /// Whatever else could have an effect without writing a value of its own.
    general: Vec<u32>,
}

/// A revision without an acknowledged write.
#[derive(Debug)]
pub(super) struct Riddle<'a, 'w> {
    pub(super) revision: i64,
    truth: &'w [Effect<'a>],
    candidates: Vec<Candidate>,
    /// The lease whose end would be just that.
    pub(super) lease: Option<i64>,
    /// What to tell if nothing can explain it; what could may still be needed elsewhere.
    unexplained: Option<Tale>,
}

/// A violation that may turn out to be none.
#[derive(Debug)]
struct Tale {
    class: &'static str,
    ops: Vec<OpId>,
    story: String,
}

/// What an operation has to do with a riddle.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// It would have done exactly that.
    All,
    /// It would have done something like it, and what the difference is called.
    Some(&'static str),
    None,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    op: u32,
    /// It began before any answer showed the revision; before any watch did, too.
    in_time: bool,
    before_watches: bool,
}

impl Riddle<'_, '_> {
    /// The lease that ended here, and whether nobody else could have done it.
    pub(super) fn ended(&self) -> Option<(i64, bool)> {
        self.lease.map(|id| (id, self.candidates.is_empty()))
    }
}

impl<'a> Asked<'a> {
    pub(super) fn of(parts: &Parts<'a>) -> Self {
        let mut asked = Self::default();
        for (index, op) in (0..).zip(&parts.ops) {
            if op.is_unknown() {
                asked.add(index, op.request);
            }
        }
        asked.by_value.sort_unstable();
        asked
    }

    fn add(&mut self, index: u32, request: &'a Request) {
        each_value(request, &mut |value| self.by_value.push((value, index)));
        match request {
            Request::Put(put) if put.ignore_value => {
                self.keeps.entry(&put.key).or_default().push(index);
            }
            Request::Delete(delete) if is_plain_delete(request) => {
                self.deletes.entry(&delete.key).or_default().push(index);
            }
            Request::Delete(_) => self.general.push(index),
            Request::Txn(txn) if has_quiet_write(txn) => self.general.push(index),
            _ => {}
        }
    }

    /// Operations that may have made these changes, the surest first.
    fn suspects(&self, truth: &[Effect<'a>], parts: &Parts<'a>) -> Vec<u32> {
        let mut suspects = Vec::new();
        let Some(first) = truth.first() else { return suspects };
        for now in truth.iter().filter_map(|effect| effect.now) {
            let from = self.by_value.partition_point(|(value, _)| *value < now.value);
            let same = self.by_value[from..].iter().take_while(|(value, _)| *value == now.value);
            suspects.extend(same.map(|(_, op)| *op));
        }
        // A deletion puts nothing and a put deletes nothing, so most revisions have no use for one
        // of the two; and there may be many of either.
        let of_first = || truth.iter().filter(|effect| effect.key == first.key);
        if of_first().any(|effect| effect.now.is_none()) {
            suspects.extend(self.deletes.get(first.key).into_iter().flatten());
        }
        if of_first().any(|effect| effect.now.is_some()) {
            suspects.extend(self.keeps.get(first.key).into_iter().flatten());
        }
        let touches = |op: &u32| exec::touches(parts.ops[*op as usize].request, first.key);
        suspects.extend(self.general.iter().copied().filter(touches));
        suspects.sort_unstable();
        suspects.dedup();
        suspects
    }

    /// Makes a riddle of a revision; `model` is the state before it.
    pub(super) fn riddle<'w>(
        &self,
        model: &mut Model<'a>,
        truth: &'w [Effect<'a>],
        parts: &Parts<'a>,
        bounds: &Bounds,
    ) -> Riddle<'a, 'w> {
        let revision = model.revision() + 1;
        let lease = ended_lease(model, truth);
        let mut candidates = Vec::new();
        let mut near: Option<(u32, &'static str)> = None;
        let mut of_deletes = None;
        for op in self.suspects(truth, parts) {
            let Op { invoked, request, .. } = parts.ops[op as usize];
            let part = match of_deletes {
                Some(known) if is_plain_delete(request) => known,
                _ => part(model, request, truth),
            };
            if is_plain_delete(request) {
                of_deletes = Some(part);
            }
            match part {
                Part::All => {
                    let in_time = bounds.allows(revision, invoked, false);
                    let before_watches = bounds.allows(revision, invoked, true);
                    candidates.push(Candidate { op, in_time, before_watches });
                }
                Part::Some(class) => near = near.or(Some((op, class))),
                Part::None => {}
            }
        }
        let is_dark = candidates.is_empty() && lease.is_none();
        let unexplained = is_dark.then(|| unexplained(model, truth, parts, near));
        Riddle { revision, truth, candidates, lease, unexplained }
    }
}

fn part<'a>(model: &mut Model<'a>, request: &'a Request, truth: &[Effect<'a>]) -> Part {
    let done = try_out(model, request, None);
    if done.effects == truth {
        return Part::All;
    }
    match compare(&done.effects, truth) {
        "durable.lost" => Part::None,
        class => Part::Some(class),
    }
}

/// Whether it deletes one key; of one riddle's suspects, all such delete the same.
fn is_plain_delete(request: &Request) -> bool {
    matches!(request, Request::Delete(delete) if delete.end.is_empty())
}

/// How what an operation would have done relates to what happened.
pub(super) fn compare(effects: &[Effect<'_>], truth: &[Effect<'_>]) -> &'static str {
    let alike = |a: &Effect<'_>, b: &Effect<'_>| {
        a.key == b.key && a.now.map(|now| now.value) == b.now.map(|now| now.value)
    };
    let there = effects.iter().filter(|one| truth.iter().any(|other| alike(one, other))).count();
    if there == 0 {
        return "durable.lost";
    }
    if there < effects.len() {
        return "txn.torn";
    }
    if effects.len() != truth.len() || !effects.iter().zip(truth).all(|(a, b)| alike(a, b)) {
        return "timeline.effect";
    }
    let lease = |one: &Effect<'_>| one.now.map(|now| now.lease);
    if effects.iter().map(lease).ne(truth.iter().map(lease)) {
        return "timeline.effect";
    }
    "timeline.counters"
}

/// Whether a request has what it takes for these changes, whatever its conditions said.
pub(super) fn could_be(request: &Request, truth: &[Effect<'_>]) -> bool {
    let mut values = Vec::new();
    each_value(request, &mut |value| values.push(value));
    let keeps = matches!(request, Request::Put(put) if put.ignore_value);
    let writes = |now: &Live<'_>| keeps || values.contains(&now.value);
    truth.iter().all(|effect| exec::touches(request, effect.key))
        && truth.iter().filter_map(|effect| effect.now.as_ref()).all(writes)
}

/// The lease all of whose keys, and no others, went.
fn ended_lease(model: &Model<'_>, truth: &[Effect<'_>]) -> Option<i64> {
    let lease = model.get(truth.first()?.key)?.lease;
    let gone = truth.iter().map(|effect| effect.now.is_none().then_some(effect.key));
    let keys = model.attached(lease)?.iter().map(|key| Some(*key));
    keys.eq(gone).then_some(lease)
}

/// What to say of changes nobody asked for.
fn unexplained<'a>(
    model: &Model<'a>,
    truth: &[Effect<'a>],
    parts: &Parts<'a>,
    near: Option<(u32, &'static str)>,
) -> Tale {
    let revision = model.revision() + 1;
    let what = format!("revision {revision} is {truth:?}");
    if let Some((op, class)) = near {
        let id = parts.ops[op as usize].id;
        let story = format!("{what}; operation {id} asked otherwise");
        return Tale { class, ops: vec![id], story };
    }
    let values: Vec<&str> = truth.iter().filter_map(|one| one.now).map(|now| now.value).collect();
    for op in &parts.ops {
        let mut wrote = false;
        each_value(op.request, &mut |value| wrote |= values.contains(&value));
        if !wrote || !exec::touches(op.request, truth[0].key) {
            continue;
        }
        let (class, why) = match op.outcome {
            Outcome::Fail(_) => ("timeline.refused", "was refused"),
            Outcome::Ok(_) => ("timeline.twice", "took effect already"),
            Outcome::Unknown(_) => ("timeline.effect", "asked otherwise"),
        };
        let story = format!("{what}; operation {} {why}", op.id);
        return Tale { class, ops: vec![op.id], story };
    }
    if truth.iter().all(|effect| effect.now.is_none()) {
        let lease = truth.first().and_then(|one| model.get(one.key)).map_or(0, |live| live.lease);
        let of_lease = |one: &Effect<'_>| model.get(one.key).is_some_and(|it| it.lease == lease);
        if lease != 0 && truth.iter().all(of_lease) {
            let keys = model.attached(lease);
            let story = format!("{what}; lease {lease} has {keys:?}, nobody else deleted them");
            return Tale { class: "lease.partial", ops: Vec::new(), story };
        }
    }
    let story = format!("{what}; nobody asked for that");
    Tale { class: "timeline.phantom", ops: Vec::new(), story }
}

/// Gives each riddle an operation of its own; returns, for each, the operation, if one is needed
/// and found. Tells of riddles without a solution.
pub(super) fn solve(
    riddles: &[Riddle<'_, '_>],
    parts: &Parts<'_>,
    told: &mut Told,
) -> Vec<Option<u32>> {
    let mut matching = Matching { of_op: BTreeMap::new(), of_riddle: vec![None; riddles.len()] };
    let pending = (0..riddles.len()).filter(|one| riddles[*one].lease.is_none());
    let mut pending: Vec<usize> = pending.collect();
    let levels: [fn(&Candidate) -> bool; 2] = [|one| one.before_watches, |one| one.in_time];
    for allowed in levels {
        pending.retain(|one| !matching.augment(*one, riddles, allowed));
    }
    for one in pending {
        let riddle = &riddles[one];
        let late = riddle.candidates.iter().find(|one| !one.in_time);
        match late {
            Some(late) if riddle.candidates.iter().all(|one| !one.in_time) => {
                let id = parts.ops[late.op as usize].id;
                told.tell("order.write", &[id], || {
                    let revision = riddle.revision;
                    format!("operation {id} is revision {revision}, seen before it was asked for")
                });
            }
            _ => match &riddle.unexplained {
                Some(Tale { class, story, ops }) => told.tell(class, ops, || story.clone()),
                None => {
                    let id = |one: &Candidate| parts.ops[one.op as usize].id;
                    let ids: Vec<OpId> = riddle.candidates.iter().map(id).collect();
                    told.tell("timeline.twice", &ids, || {
                        let Riddle { revision, truth, .. } = riddle;
                        format!("revision {revision} is {truth:?}: more often than asked for")
                    });
                }
            },
        }
    }
    matching.of_riddle
}

struct Matching {
    of_op: BTreeMap<u32, usize>,
    of_riddle: Vec<Option<u32>>,
}

impl Matching {
    /// Finds an operation for one more riddle, moving others to other operations if need be.
    fn augment(
        &mut self,
        start: usize,
        riddles: &[Riddle<'_, '_>],
        allowed: fn(&Candidate) -> bool,
    ) -> bool {
        // Breadth first: from which riddle an operation was reached.
        let mut reached: BTreeMap<u32, usize> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(riddle) = queue.pop_front() {
            for candidate in riddles[riddle].candidates.iter().filter(|one| allowed(one)) {
                let op = candidate.op;
                if reached.contains_key(&op) {
                    continue;
                }
                reached.insert(op, riddle);
                match self.of_op.get(&op) {
                    Some(holder) => queue.push_back(*holder),
                    None => {
                        self.turn(op, start, &reached);
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Gives a free operation to the riddle that reached it, that riddle's to the one before, and
    /// so on back to `start`.
    fn turn(&mut self, free: u32, start: usize, reached: &BTreeMap<u32, usize>) {
        let mut op = free;
        loop {
            let riddle = reached[&op];
            let given_up = self.of_riddle[riddle].replace(op);
            self.of_op.insert(op, riddle);
            match given_up {
                Some(next) if riddle != start => op = next,
                _ => return,
            }
        }
    }
}

/// Visits every value a request could write.
fn each_value<'a>(request: &'a Request, visit: &mut impl FnMut(&'a str)) {
    match request {
        Request::Put(put) => value_of(put, visit),
        Request::Txn(txn) => each_value_of_txn(txn, visit),
        _ => {}
    }
}

fn each_value_of_txn<'a>(txn: &'a Txn, visit: &mut impl FnMut(&'a str)) {
    for step in txn.then.iter().chain(&txn.otherwise) {
        match step {
            Step::Put(put) => value_of(put, visit),
            Step::Txn(nested) => each_value_of_txn(nested, visit),
            Step::Range(_) | Step::Delete(_) => {}
        }
    }
}

fn value_of<'a>(put: &'a Put, visit: &mut impl FnMut(&'a str)) {
    if !put.ignore_value {
        visit(&put.value);
    }
}

/// Whether a transaction could change something without writing a value of its own.
fn has_quiet_write(txn: &Txn) -> bool {
    txn.then.iter().chain(&txn.otherwise).any(|step| match step {
        Step::Delete(_) => true,
        Step::Put(put) => put.ignore_value,
        Step::Txn(nested) => has_quiet_write(nested),
        Step::Range(_) => false,
    })
}
