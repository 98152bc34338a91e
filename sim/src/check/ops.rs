//! Operations, watches and the rest of a history, put together from its events.
//!
//! Nothing is copied: everything borrows from the history.

use std::collections::BTreeMap;

use super::{exec, order};
use crate::history::{
    Body, Event, LockStep, MemberStep, OpId, Request, Response, WatchId, WatchStep, What,
};

/// A time that does not come.
pub(super) const NEVER: u64 = u64::MAX;

/// An operation. What every check asks of it is here; the request and the answer themselves are
/// far away in memory, and there are a million of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op<'a> {
    pub(super) id: OpId,
    pub(super) member: u32,
    /// See [`Op::is_plain`].
    is_plain: bool,
    /// See [`order::is_linearizable`].
    pub(super) is_linearizable: bool,
    /// One of its ranges names a revision.
    pub(super) names_revision: bool,
    /// Its answer says that it wrote something; see [`exec::wrote`].
    pub(super) wrote: bool,
    pub(super) invoked: u64,
    /// When its client knew; [`NEVER`] if the outcome is unknown.
    pub(super) returned: u64,
    /// The revision of its answer; 0: there is none, or it does not say.
    pub(super) revision: i64,
    pub(super) request: &'a Request,
    pub(super) outcome: Outcome<'a>,
}

/// How an operation ended for its client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome<'a> {
    Ok(&'a Response),
    Fail(&'a str),
    /// The client gave up at that time.
    Unknown(u64),
}

impl<'a> Op<'a> {
    pub(super) fn response(&self) -> Option<&'a Response> {
        match self.outcome {
            Outcome::Ok(response) => Some(response),
            Outcome::Fail(_) | Outcome::Unknown(_) => None,
        }
    }

    /// Whether it asks about keys and nothing else, and was not refused nor answered otherwise.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Whether it reads or writes keys.
    pub(super) fn is_about_keys(&self) -> bool {
        // What is plain is that, and then the request need not be looked at.
        self.is_plain || self.request.is_about_keys()
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown(_))
    }
}

/// Something that happened at a time: a step of a watch, a lock, a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<S> {
    pub(super) at: u64,
    pub(super) member: u32,
    pub(super) step: S,
}

/// A step of a client with a lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct LockAt<'a> {
    pub(super) at: u64,
    pub(super) client: u32,
    pub(super) lock: &'a str,
    pub(super) step: &'a LockStep,
}

/// A history in parts.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    /// In the order of their ids.
    pub(super) ops: Vec<Op<'a>>,
    /// Where in `ops` those are that are not plain: few, and all that most checks are about.
    special: Vec<u32>,
    pub(super) watches: BTreeMap<WatchId, Vec<At<&'a WatchStep>>>,
    pub(super) locks: Vec<LockAt<'a>>,
    pub(super) members: Vec<At<MemberStep>>,
    /// When faults ended.
    pub(super) healed: Option<u64>,
    /// Why the history makes no sense, if so.
    pub(super) malformed: Option<String>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(history: &'a [Event]) -> Self {
        let mut parts = Self { ops: invocations(history), ..Self::default() };
        let mut before = 0;
        for event in history {
            if event.at < before {
                parts.complain(|| format!("time goes back to {}", event.at));
            }
            before = event.at;
            parts.add(event);
        }
        let all = (0..).zip(&parts.ops);
        parts.special = all.filter(|(_, op)| !op.is_plain).map(|(index, _)| index).collect();
        parts
    }

    /// Operations about something else than keys, and refused ones.
    pub(super) fn special(&self) -> impl Iterator<Item = &Op<'a>> {
        self.special.iter().map(|index| &self.ops[*index as usize])
    }

    fn add(&mut self, event: &'a Event) {
        let at = event.at;
        match &event.what {
            What::Invoke { .. } => {}
            What::Ok { op, response } => self.end(*op, at, Outcome::Ok(response)),
            What::Fail { op, error } => self.end(*op, at, Outcome::Fail(error)),
            What::Unknown { op, .. } => self.end(*op, at, Outcome::Unknown(at)),
            What::Watch { watch, member, step } => {
                self.watches.entry(*watch).or_default().push(At { at, member: *member, step });
            }
            What::Lock { lock, step } => {
                self.locks.push(LockAt { at, client: event.client, lock, step });
            }
            What::Member { member, step } => {
                self.members.push(At { at, member: *member, step: *step });
            }
            What::Healed => self.healed = Some(at),
        }
    }

    fn end(&mut self, id: OpId, at: u64, outcome: Outcome<'a>) {
        let Some(index) = self.index(id) else {
            self.complain(|| format!("operation {id} ends but never began"));
            return;
        };
        let op = &mut self.ops[index];
        if !matches!(op.outcome, Outcome::Unknown(NEVER)) {
            self.complain(|| format!("operation {id} ends twice"));
            return;
        }
        op.is_plain &= match outcome {
            Outcome::Ok(response) => is_about_keys(&response.body),
            Outcome::Fail(_) => false,
            Outcome::Unknown(_) => true,
        };
        if let Outcome::Ok(response) = outcome {
            op.revision = response.revision;
            op.wrote = exec::wrote(&response.body);
        }
        op.outcome = outcome;
        op.returned = if op.is_unknown() { NEVER } else { at };
    }

    /// Where an operation is in `ops`. Ids are usually dense from 1, which saves the search.
    pub(super) fn index(&self, id: OpId) -> Option<usize> {
        let guess = usize::try_from(id).ok()?.wrapping_sub(1);
        if self.ops.get(guess).is_some_and(|op| op.id == id) {
            return Some(guess);
        }
        self.ops.binary_search_by_key(&id, |op| op.id).ok()
    }

    fn complain(&mut self, why: impl FnOnce() -> String) {
        self.malformed.get_or_insert_with(why);
    }
}

/// Every operation, without its outcome.
fn invocations(history: &[Event]) -> Vec<Op<'_>> {
    // Most events belong to operations, two to each.
    let mut ops = Vec::with_capacity(history.len() / 2);
    for event in history {
        if let What::Invoke { op, member, request } = &event.what {
            let outcome = Outcome::Unknown(NEVER);
            ops.push(Op {
                id: *op,
                member: *member,
                is_plain: request.is_about_keys(),
                is_linearizable: order::is_linearizable(request),
                names_revision: exec::names_revision(request),
                wrote: false,
                invoked: event.at,
                returned: NEVER,
                revision: 0,
                request,
                outcome,
            });
        }
    }
    if !ops.is_sorted_by_key(|op| op.id) {
        ops.sort_by_key(|op| op.id);
    }
    ops
}

fn is_about_keys(body: &Body) -> bool {
    matches!(body, Body::Range { .. } | Body::Put { .. } | Body::Delete { .. } | Body::Txn { .. })
}
