//! Registers and strings: read and written as a whole, each key by itself.
//!
//! They carry no revisions, so they are searched ([`wgl`]), a key at a time. `:fail` means that it
//! did not happen, except that a failed `cas` has seen another value; a failed read says nothing.
//! `:info` means that nobody knows. An answered write must be the one that was asked for: in
//! histories of versioned registers it is not, and those are not judged.

use std::collections::BTreeMap;

use super::{Kind, Line};
use crate::{
    check::wgl::{self, Spec, Timed, Verdict},
    edn::Edn,
};

/// A call of a register or of a string, with its outcome; `None`: nobody knows.
#[derive(Clone, PartialEq, Debug)]
enum Call {
    Read(Option<Edn>),
    Write(Edn),
    Cas(Edn, Edn, Option<bool>),
    Append(String),
}

/// One key, a register or a string: both are read and written as a whole.
struct Register {
    first: Edn,
}

impl Spec for Register {
    type State = Edn;
    type Call = Call;

    fn init(&self) -> Edn {
        self.first.clone()
    }

    fn step(&self, state: &Edn, call: &Call) -> Option<Edn> {
        match call {
            Call::Read(None) => Some(state.clone()),
            Call::Read(Some(value)) => (value == state).then(|| state.clone()),
            Call::Write(value) => Some(value.clone()),
            Call::Cas(from, to, outcome) => {
                let matches = from == state;
                let is_possible = outcome.is_none_or(|done| done == matches);
                let next = if matches { to } else { state };
                is_possible.then(|| next.clone())
            }
            Call::Append(more) => match state {
                Edn::Text(text) => Some(Edn::Text(format!("{text}{more}"))),
                _ => None,
            },
        }
    }
}

/// Searches an order, with at most `budget` steps.
///
/// # Errors
/// The first line that makes no sense or cannot be judged.
pub(super) fn check(lines: &[Line], budget: u64) -> Result<Verdict, String> {
    let mut keys: BTreeMap<Option<&Edn>, Vec<Timed<Call>>> = BTreeMap::new();
    let mut open: BTreeMap<&Edn, (Option<&Edn>, usize)> = BTreeMap::new();
    let mut is_text = false;
    for line in lines {
        let wrong = |why: &str| format!("line {}: {why}", line.number);
        is_text |= matches!(line.function.as_str(), "get" | "put" | "append");
        if line.kind == Kind::Invoke {
            let call = call_of(line).map_err(|why| wrong(&why))?;
            let calls = keys.entry(line.key.as_ref()).or_default();
            if open.insert(&line.process, (line.key.as_ref(), calls.len())).is_some() {
                return Err(wrong("the process has something open"));
            }
            calls.push(Timed { invoked: line.number, returned: u64::MAX, call });
            continue;
        }
        let begun = open.remove(&line.process);
        let (key, index) = begun.ok_or_else(|| wrong("the process has nothing open"))?;
        let timed = keys.get_mut(&key).and_then(|calls| calls.get_mut(index));
        let timed = timed.ok_or_else(|| wrong("the key changed"))?;
        end(timed, line).map_err(|why| wrong(&why))?;
    }
    let first = if is_text { Edn::Text(String::new()) } else { Edn::Nil };
    let is_told =
        |timed: &Timed<Call>| timed.returned != u64::MAX || !matches!(timed.call, Call::Read(_));
    let dropped = |timed: &Timed<Call>| timed.invoked == u64::MAX;
    let parts: Vec<Vec<Timed<Call>>> = keys
        .into_values()
        .map(|calls| calls.into_iter().filter(|one| is_told(one) && !dropped(one)).collect())
        .collect();
    Ok(wgl::check(&Register { first }, &parts, budget))
}

fn call_of(line: &Line) -> Result<Call, String> {
    match (line.function.as_str(), &line.value) {
        ("read" | "get", _) => Ok(Call::Read(None)),
        ("write" | "put", value) => Ok(Call::Write(value.clone())),
        ("append", Edn::Text(more)) => Ok(Call::Append(more.clone())),
        ("cas", Edn::List(pair)) if pair.len() == 2 => {
            Ok(Call::Cas(pair[0].clone(), pair[1].clone(), None))
        }
        ("append" | "cas", value) => Err(format!(":{} of {value:?} is not judged", line.function)),
        (other, _) => Err(format!(":{other} is not judged: registers, strings and lists are")),
    }
}

fn end(timed: &mut Timed<Call>, line: &Line) -> Result<(), String> {
    match (line.kind, &mut timed.call) {
        (Kind::Ok, Call::Read(value)) => *value = Some(line.value.clone()),
        (Kind::Ok, call) => {
            if call_of(line)? != *call {
                let line = timed.invoked;
                return Err(format!("the answer is of something else than asked in line {line}"));
            }
            if let Call::Cas(_, _, outcome) = call {
                *outcome = Some(true);
            }
        }
        (Kind::Fail, Call::Cas(_, _, outcome)) => *outcome = Some(false),
        // It did not happen.
        (Kind::Fail, _) => timed.invoked = u64::MAX,
        (Kind::Info | Kind::Invoke, _) => return Ok(()),
    }
    if timed.invoked != u64::MAX {
        timed.returned = line.number;
    }
    Ok(())
}
