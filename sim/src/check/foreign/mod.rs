//! Histories of other products, in Jepsen's forms.
//!
//! Three forms are read: maps of EDN one after the other (`{:process 0, :type :invoke, :f :append,
//! :key "0", :value "x"}`, or with `[key value]` as the value), the same in one vector, tagged or
//! not; and the lines of Jepsen's log (`INFO  jepsen.util - 0 :invoke :write 3`). The order of
//! operations is the order of time; who is no number (`:nemesis`) says nothing.
//!
//! - `register`: `read`, `write` and `cas` of registers, `get`, `put` and `append` of strings;
//! - `append`: transactions that append to lists and read them; `graph`: what comes before what.
//!
//! What cannot be judged is an error with its line, never a pass: transactions of registers,
//! versioned registers, sets, queues, counters.

mod append;
mod graph;
mod register;
#[cfg(test)]
mod tests;

use super::{Checked, Violation, wgl::Verdict};
use crate::edn::{self, Edn};

/// What begins the text of each of the log's lines that we read.
const LOG: &str = "jepsen.util - ";

/// What kind of event a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Invoke,
    Ok,
    /// It did not happen.
    Fail,
    /// Nobody knows.
    Info,
}

/// An event: which line, who, what kind, which function, on what key, with what.
#[derive(Debug)]
struct Line {
    number: u64,
    process: Edn,
    kind: Kind,
    function: String,
    key: Option<Edn>,
    value: Edn,
}

/// Whether this is a log, and not EDN.
pub(super) fn is_log(text: &str) -> bool {
    text.contains(LOG)
}

/// Judges a log; a search takes at most `budget` steps.
///
/// # Errors
/// It is none, or cannot be judged; with the line.
pub(super) fn check_log(text: &str, budget: u64) -> Result<Checked, String> {
    judge(&of_log(text)?, budget)
}

/// Judges values of EDN, each with its line.
///
/// # Errors
/// They are no history, or cannot be judged; with the line.
pub(super) fn check_items(items: &[(u64, Edn)], budget: u64) -> Result<Checked, String> {
    judge(&of_items(items)?, budget)
}

fn judge(lines: &[Line], budget: u64) -> Result<Checked, String> {
    let Some(first) = lines.first() else { return Err("there is no operation in it".to_owned()) };
    let is_txn = |line: &Line| line.function == "txn";
    if let Some(other) = lines.iter().find(|line| is_txn(line) != is_txn(first)) {
        let (number, function) = (other.number, &other.function);
        return Err(format!("line {number}: transactions and :{function} in one history"));
    }
    if is_txn(first) {
        let violations = append::check(&append::txns(lines)?)?;
        return Ok(Checked { violations, undecided: None });
    }
    let mut checked = Checked::default();
    match register::check(lines, budget)? {
        Verdict::Linearizable => {}
        Verdict::Impossible => {
            let story = "no order of the operations explains what was read";
            checked.violations.push(Violation::new("wgl.impossible", &[], story));
        }
        Verdict::Undecided => checked.undecided = Some(format!("no answer after {budget} steps")),
    }
    Ok(checked)
}

fn of_items(items: &[(u64, Edn)]) -> Result<Vec<Line>, String> {
    let line = |(number, item): &(u64, Edn)| match of_item(*number, item) {
        Ok(line) => line.map(Ok),
        Err(why) => Some(Err(format!("line {number}: {why}"))),
    };
    items.iter().filter_map(line).collect()
}

/// An event of EDN; nothing for one that is not of a client.
fn of_item(number: u64, item: &Edn) -> Result<Option<Line>, String> {
    let Edn::Map(_) = item else {
        return Err("neither a map of EDN nor a line of Jepsen's log".to_owned());
    };
    let Some(process @ Edn::Number(_)) = item.field("process") else { return Ok(None) };
    let word = |name: &str| match item.field(name) {
        Some(Edn::Word(word)) => Ok(word.clone()),
        other => Err(format!(":{name} is {other:?}")),
    };
    let (kind, function) = (kind(&word("type")?)?, word("f")?);
    let value = item.field("value").cloned().unwrap_or(Edn::Nil);
    let (key, value) = match (item.field("key"), value) {
        (Some(key), value) => (Some(key.clone()), value),
        (None, value) => of_key(&function, value),
    };
    Ok(Some(Line { number, process: process.clone(), kind, function, key, value }))
}

/// `[key value]` taken apart. A swap's value is a pair itself, transactions name keys inside.
fn of_key(function: &str, value: Edn) -> (Option<Edn>, Edn) {
    match value {
        Edn::List(mut pair) if pair.len() == 2 && function != "txn" => {
            let is_swap = matches!(&pair[1], Edn::List(swap) if swap.len() == 2);
            if function == "cas" && !is_swap {
                return (None, Edn::List(pair));
            }
            (Some(pair.swap_remove(0)), pair.swap_remove(0))
        }
        value => (None, value),
    }
}

fn kind(word: &str) -> Result<Kind, String> {
    Ok(match word {
        "invoke" => Kind::Invoke,
        "ok" => Kind::Ok,
        "fail" => Kind::Fail,
        "info" => Kind::Info,
        other => return Err(format!("there is no :type :{other}")),
    })
}

fn of_log(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (number, line) in (1_u64..).zip(text.lines()) {
        match line.split_once(LOG) {
            Some((_, rest)) => lines.extend(of_log_line(number, rest)),
            None if line.trim().is_empty() || line.trim().starts_with(';') => {}
            None => return Err(format!("line {number}: not a line of Jepsen's log")),
        }
    }
    Ok(lines)
}

/// `0 :invoke :write 3`, with tabs or spaces; the log has other lines, of the tool's own.
fn of_log_line(number: u64, rest: &str) -> Option<Line> {
    let (process, rest) = word(rest)?;
    let (kind_of, rest) = word(rest)?;
    let (function, value) = word(rest)?;
    let process = Edn::Number(process.parse().ok()?);
    let kind = kind(kind_of.strip_prefix(':')?).ok()?;
    let function = function.strip_prefix(':')?.to_owned();
    let value = edn::parse(value).ok()?;
    Some(Line { number, process, kind, function, key: None, value })
}

/// The first word, and the rest.
fn word(text: &str) -> Option<(&str, &str)> {
    text.trim_start().split_once(char::is_whitespace)
}
