//! Histories of other products: registers and key-value stores, in Jepsen's forms.
//!
//! They carry no revisions, so they are searched ([`wgl`](super::wgl)), a key at a time. Two forms
//! are read: a map of EDN a line (`{:process 0, :type :invoke, :f :append, :key "0", :value "x"}`,
//! or with `[key value]` as the value), and the lines of Jepsen's log
//! (`INFO  jepsen.util - 0 :invoke :write 3`). The order of lines is the order of time.
//!
//! Functions: `read`, `write` and `cas` of a register, `get`, `put` and `append` of a string.
//! `:fail` means that it did not happen, except that a failed `cas` has seen another value; a
//! failed read says nothing. `:info` means that nobody knows.

mod edn;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::wgl::{self, Spec, Timed, Verdict};
use edn::Edn;

/// A call of a register or of a string, with its outcome; `None`: nobody knows.
#[derive(Clone, Debug)]
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

/// A line: who, what kind of event, which function, on what key, with what.
struct Line {
    process: Edn,
    kind: String,
    function: String,
    key: Edn,
    value: Edn,
}

/// Parses and searches a history, with at most `budget` steps.
///
/// # Errors
/// The text is in none of the forms, or makes no sense; with the line.
pub fn check(text: &str, budget: u64) -> Result<Verdict, String> {
    let mut keys: BTreeMap<Edn, Vec<Timed<Call>>> = BTreeMap::new();
    let mut open: BTreeMap<Edn, (Edn, usize)> = BTreeMap::new();
    let mut is_text = false;
    for (number, line) in (1_u64..).zip(text.lines()) {
        let wrong = |why: String| format!("line {number}: {why}");
        let Some(line) = parse(line).map_err(wrong)? else { continue };
        is_text |= matches!(line.function.as_str(), "get" | "put" | "append");
        if line.kind == "invoke" {
            let call = call_of(&line).map_err(wrong)?;
            let calls = keys.entry(line.key.clone()).or_default();
            open.insert(line.process, (line.key, calls.len()));
            calls.push(Timed { invoked: number, returned: u64::MAX, call });
            continue;
        }
        let (key, index) = open
            .remove(&line.process)
            .ok_or_else(|| wrong("the process has nothing open".to_owned()))?;
        let timed = keys.get_mut(&key).and_then(|calls| calls.get_mut(index));
        let timed = timed.ok_or_else(|| wrong("the key changed".to_owned()))?;
        end(timed, &line, number);
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
        (other, value) => Err(format!("no such function: {other} {value:?}")),
    }
}

fn end(timed: &mut Timed<Call>, line: &Line, at: u64) {
    match (line.kind.as_str(), &mut timed.call) {
        ("ok", call) => {
            timed.returned = at;
            match call {
                Call::Read(value) => *value = Some(line.value.clone()),
                Call::Cas(_, _, outcome) => *outcome = Some(true),
                Call::Write(_) | Call::Append(_) => {}
            }
        }
        ("fail", Call::Cas(_, _, outcome)) => {
            timed.returned = at;
            *outcome = Some(false);
        }
        // It did not happen.
        ("fail", _) => timed.invoked = u64::MAX,
        _ => {}
    }
}

/// A line in either form; `None` for one that says nothing of an operation.
fn parse(line: &str) -> Result<Option<Line>, String> {
    let line = line.trim();
    if let Some((_, rest)) = line.split_once("jepsen.util - ") {
        return Ok(parse_log(rest));
    }
    if !line.starts_with('{') {
        return if line.is_empty() || line.starts_with(';') {
            Ok(None)
        } else {
            Err("neither EDN nor a line of Jepsen's log".to_owned())
        };
    }
    let Edn::Map(fields) = edn::parse(line)? else { return Err("not a map".to_owned()) };
    let word = |name: &str| match fields.get(&Edn::word(name)) {
        Some(Edn::Word(word)) => Ok(word.clone()),
        other => Err(format!(":{name} is {other:?}")),
    };
    let field = |name: &str| fields.get(&Edn::word(name)).cloned();
    let process = field("process").unwrap_or(Edn::Nil);
    if !matches!(process, Edn::Number(_)) {
        return Ok(None);
    }
    let (key, value) = match (field("key"), field("value").unwrap_or(Edn::Nil)) {
        (Some(key), value) => (key, value),
        (None, Edn::List(pair)) if pair.len() == 2 && word("f")? != "cas" => {
            (pair[0].clone(), pair[1].clone())
        }
        (None, value) => (Edn::Nil, value),
    };
    Ok(Some(Line { process, kind: word("type")?, function: word("f")?, key, value }))
}

/// `0<tab>:invoke<tab>:write<tab>3`; the log has other lines, of the tool's own.
fn parse_log(rest: &str) -> Option<Line> {
    let mut fields = rest.splitn(4, '\t').map(str::trim);
    let process = Edn::Number(fields.next()?.parse().ok()?);
    let kind = fields.next()?.strip_prefix(':')?.to_owned();
    let function = fields.next()?.strip_prefix(':')?.to_owned();
    let value = edn::parse(fields.next()?).ok()?;
    Some(Line { process, kind, function, key: Edn::Nil, value })
}
