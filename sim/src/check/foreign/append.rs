//! Transactions that append to lists and read them, as Jepsen's `append` workload has them:
//! `:f :txn, :value [[:append 1 5] [:r 2 nil]]`. Strict serializability, decided exactly.
//!
//! Elements are appended once to a list, so a read tells who appended before it and in which order
//! (Kingsbury and Alvaro 2020, *Elle*). All reads of a list must be prefixes of one order. Then a
//! transaction comes before another if it appends the element before the other's, if the other
//! reads it, if it read the list without the other's element, or if it was over when the other
//! began. There is an order of everything if and only if this graph has no cycle: in any order it
//! allows, each read finds what it found. Edges of time go through moments, and those of readers of
//! a list to elements that nobody read through the list's end, so that the graph stays linear.
//!
//! A transaction whose outcome is unknown counts if somebody read what it appended; then all of it
//! has happened. One that failed must not be read.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Kind, Line,
    graph::{Graph, Why, story},
};
use crate::{check::Violation, edn::Edn};

/// One step of a transaction.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Mop {
    /// Appends an element to a list.
    Append(Edn, Edn),
    /// Reads a list; nothing: nobody knows what it found.
    Read(Edn, Option<Vec<Edn>>),
}

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Ok,
    Failed,
    Unknown,
}

/// A transaction in time, which is counted in lines.
#[derive(Clone, Debug)]
pub(super) struct Txn {
    pub(super) invoked: u64,
    pub(super) returned: u64,
    pub(super) outcome: Outcome,
    pub(super) mops: Vec<Mop>,
}

/// Puts transactions together from their lines.
///
/// # Errors
/// The first line that makes no sense, or is of something else.
pub(super) fn txns(lines: &[Line]) -> Result<Vec<Txn>, String> {
    let mut txns: Vec<Txn> = Vec::new();
    let mut open: BTreeMap<&Edn, usize> = BTreeMap::new();
    for line in lines {
        let number = line.number;
        let mops = mops(line).map_err(|why| format!("line {number}: {why}"))?;
        if line.kind == Kind::Invoke {
            if open.insert(&line.process, txns.len()).is_some() {
                return Err(format!("line {number}: the process has something open"));
            }
            let (returned, outcome) = (u64::MAX, Outcome::Unknown);
            txns.push(Txn { invoked: number, returned, outcome, mops });
            continue;
        }
        let begun = open.remove(&line.process).and_then(|index| txns.get_mut(index));
        let txn = begun.ok_or(format!("line {number}: the process has nothing open"))?;
        match line.kind {
            Kind::Ok if !is_answer(&mops, &txn.mops) => {
                return Err(format!("line {number}: not what was asked in line {}", txn.invoked));
            }
            Kind::Ok => (txn.returned, txn.outcome, txn.mops) = (number, Outcome::Ok, mops),
            Kind::Fail => txn.outcome = Outcome::Failed,
            Kind::Invoke | Kind::Info => {}
        }
    }
    Ok(txns)
}

fn mops(line: &Line) -> Result<Vec<Mop>, String> {
    let Edn::List(steps) = &line.value else {
        return Err(format!("a transaction is a vector, not {:?}", line.value));
    };
    let is_answer = line.kind == Kind::Ok;
    let mop = |step: &Edn| {
        let Edn::List(parts) = step else { return Err(format!("no step: {step:?}")) };
        match parts.as_slice() {
            [Edn::Word(f), key, value] if f == "append" => {
                Ok(Mop::Append(key.clone(), value.clone()))
            }
            [Edn::Word(f), key, Edn::List(found)] if f == "r" => {
                Ok(Mop::Read(key.clone(), Some(found.clone())))
            }
            // In an answer this is an empty list.
            [Edn::Word(f), key, Edn::Nil] if f == "r" => {
                Ok(Mop::Read(key.clone(), is_answer.then(Vec::new)))
            }
            _ => Err(format!("of transactions only :append and :r of lists are judged: {step:?}")),
        }
    };
    steps.iter().map(mop).collect()
}

/// Whether an answer has the steps that were asked for.
fn is_answer(answer: &[Mop], asked: &[Mop]) -> bool {
    let same = |(answer, asked): (&Mop, &Mop)| match (answer, asked) {
        (Mop::Read(one, _), Mop::Read(other, _)) => one == other,
        (one, other) => one == other,
    };
    answer.len() == asked.len() && answer.iter().zip(asked).all(same)
}

/// Judges transactions.
///
/// # Errors
/// An element is appended twice to a list, so that reads do not tell who appended it.
pub(super) fn check(txns: &[Txn]) -> Result<Vec<Violation>, String> {
    let mut lists = Lists::of(txns)?;
    let mut violations = Vec::new();
    for (index, txn) in txns.iter().enumerate().filter(|(_, txn)| txn.outcome == Outcome::Ok) {
        for (key, list) in txn.reads() {
            violations.extend(list.and_then(|list| lists.read(txns, index, key, list)).err());
        }
    }
    if violations.is_empty() {
        violations = lists.order();
    }
    if violations.is_empty()
        && let Some(cycle) = lists.cycle(txns)
    {
        let told = story(&cycle, |node| txns.get(node).map(|txn| txn.invoked));
        violations.push(Violation::new("append.cycle", &[], told));
    }
    Ok(violations)
}

/// What a transaction found of a list: before its own appends, and with those before the read.
struct Found<'a> {
    before: &'a [Edn],
    whole: &'a [Edn],
}

impl Txn {
    /// What it read, list by list; an error where it contradicts itself.
    fn reads(&self) -> Vec<(&Edn, Result<Found<'_>, Violation>)> {
        let mut reads: BTreeMap<&Edn, Result<Found<'_>, Violation>> = BTreeMap::new();
        let mut own: BTreeMap<&Edn, Vec<&Edn>> = BTreeMap::new();
        for mop in &self.mops {
            match mop {
                Mop::Append(key, element) => own.entry(key).or_default().push(element),
                Mop::Read(_, None) => {}
                Mop::Read(key, Some(whole)) => {
                    let own = own.get(key).map_or(&[][..], Vec::as_slice);
                    let found = self.without(key, whole, own);
                    let found = match (found, reads.remove(key)) {
                        (_, Some(Err(earlier))) => Err(earlier),
                        (Ok(found), Some(Ok(earlier))) if found.before != earlier.before => {
                            Err(self.contradiction(key, "reads two states of"))
                        }
                        (found, _) => found,
                    };
                    reads.insert(key, found);
                }
            }
        }
        reads.into_iter().collect()
    }

    /// A list as it was before the transaction's own appends, with which it must end.
    fn without<'a>(
        &'a self,
        key: &Edn,
        whole: &'a [Edn],
        own: &[&Edn],
    ) -> Result<Found<'a>, Violation> {
        let from = whole.len().checked_sub(own.len());
        let parts = from.map(|from| whole.split_at(from));
        let Some((before, _)) = parts.filter(|(_, end)| end.iter().eq(own.iter().copied())) else {
            return Err(self.contradiction(key, "does not see its own appends at the end of"));
        };
        let of_this =
            |mop: &Mop| matches!(mop, Mop::Append(of, one) if of == key && before.contains(one));
        if self.mops.iter().any(of_this) {
            return Err(self.contradiction(key, "sees its own appends too early in"));
        }
        Ok(Found { before, whole })
    }

    fn contradiction(&self, key: &Edn, what: &str) -> Violation {
        let story = format!("line {} {what} {key:?}", self.invoked);
        Violation::new("append.internal", &[], story)
    }
}

/// What is known of one list.
#[derive(Default)]
struct List<'a> {
    /// Who appended each element.
    writers: BTreeMap<&'a Edn, usize>,
    /// At which of its steps.
    steps: BTreeMap<&'a Edn, usize>,
    /// Who read how much of it, before its own appends.
    readers: Vec<(usize, usize)>,
    /// Everything that was seen of it.
    seen: Vec<&'a [Edn]>,
}

impl List<'_> {
    /// The longest that was seen, of which all others must be prefixes.
    fn longest(&self) -> &[Edn] {
        self.seen.iter().copied().max_by_key(|seen| seen.len()).unwrap_or_default()
    }

    /// Whether one transaction appended these two, but in the other order.
    fn is_turned(&self, pair: &[Edn]) -> bool {
        self.writers[&pair[0]] == self.writers[&pair[1]]
            && self.steps[&pair[0]] > self.steps[&pair[1]]
    }
}

struct Lists<'a>(BTreeMap<&'a Edn, List<'a>>);

impl<'a> Lists<'a> {
    fn of(txns: &'a [Txn]) -> Result<Self, String> {
        let mut lists: BTreeMap<&Edn, List<'_>> = BTreeMap::new();
        for (index, txn) in txns.iter().enumerate() {
            for (step, mop) in txn.mops.iter().enumerate() {
                let Mop::Append(key, element) = mop else { continue };
                let list = lists.entry(key).or_default();
                list.steps.insert(element, step);
                if let Some(other) = list.writers.insert(element, index) {
                    let (first, line) = (txns[other].invoked, txn.invoked);
                    return Err(format!(
                        "line {line}: {element:?} is appended to {key:?} as in line {first}; \
                         elements must be unique"
                    ));
                }
            }
        }
        Ok(Self(lists))
    }

    /// Takes what transaction `index` read of a list.
    fn read(
        &mut self,
        txns: &[Txn],
        index: usize,
        key: &'a Edn,
        found: Found<'a>,
    ) -> Result<(), Violation> {
        let list = self.0.entry(key).or_default();
        let line = txns[index].invoked;
        for element in found.whole {
            let story = |what: &str| format!("line {line} reads {element:?} of {key:?}, {what}");
            match list.writers.get(element).map(|writer| txns[*writer].outcome) {
                None => {
                    let told = story("which nobody appended");
                    return Err(Violation::new("append.phantom", &[], told));
                }
                Some(Outcome::Failed) => {
                    let told = story("whose transaction failed");
                    return Err(Violation::new("append.aborted", &[], told));
                }
                Some(Outcome::Ok | Outcome::Unknown) => {}
            }
        }
        list.seen.push(found.whole);
        list.readers.push((index, found.before.len()));
        Ok(())
    }

    /// Lists of which no one order has all that was seen as prefixes, or an element twice.
    fn order(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (key, list) in &self.0 {
            let longest = list.longest();
            let mut elements: Vec<&Edn> = longest.iter().collect();
            elements.sort_unstable();
            let other = list.seen.iter().find(|seen| !longest.starts_with(seen));
            let story = if let Some(twice) = elements.windows(2).find(|pair| pair[0] == pair[1]) {
                format!("{:?} is twice in {key:?}: {longest:?}", twice[0])
            } else if let Some(other) = other {
                format!("of {key:?} no order has both {other:?} and {longest:?}")
            } else if let Some(pair) = longest.windows(2).find(|pair| list.is_turned(pair)) {
                format!("in {key:?} {:?} is before {:?}, not as appended", pair[0], pair[1])
            } else {
                continue;
            };
            violations.push(Violation::new("append.order", &[], story));
        }
        violations
    }

    /// A cycle; transactions have their own numbers in it, moments come after them.
    fn cycle(&self, txns: &[Txn]) -> Option<Vec<(usize, Why)>> {
        let mut graph = Graph::default();
        let mut happened: Vec<bool> = txns.iter().map(|txn| txn.outcome == Outcome::Ok).collect();
        txns.iter().for_each(|_| _ = graph.node());
        for list in self.0.values() {
            let seen = list.longest().iter().filter_map(|element| list.writers.get(element));
            seen.for_each(|writer| happened[*writer] = true);
        }
        self.0.values().for_each(|list| depend(&mut graph, list, &happened));
        in_time(&mut graph, txns, &happened);
        graph.cycle()
    }
}

/// What follows from one list.
fn depend(graph: &mut Graph, list: &List<'_>, happened: &[bool]) {
    let order: Vec<usize> = list.longest().iter().map(|element| list.writers[element]).collect();
    for pair in order.windows(2) {
        graph.edge(pair[0], pair[1], Why::Writes);
    }
    let seen: BTreeSet<&Edn> = list.longest().iter().collect();
    let mut unseen: Vec<usize> = list
        .writers
        .iter()
        .filter(|(element, writer)| happened[**writer] && !seen.contains(*element))
        .map(|(_, writer)| *writer)
        .collect();
    unseen.sort_unstable();
    unseen.dedup();
    let end = graph.node();
    unseen.iter().for_each(|writer| graph.edge(end, *writer, Why::Misses));
    let mut both = Vec::new();
    for (reader, len) in &list.readers {
        if let Some(last) = len.checked_sub(1) {
            graph.edge(order[last], *reader, Why::Read);
        }
        if let Some(next) = order.get(*len) {
            graph.edge(*reader, *next, Why::Misses);
        }
        if unseen.binary_search(reader).is_ok() {
            both.push(*reader);
        } else {
            graph.edge(*reader, end, Why::Misses);
        }
    }
    // Who reads a list and appends to it what nobody saw must not come before itself. Two of them
    // make a cycle already.
    for reader in both.into_iter().take(2) {
        unseen.iter().for_each(|writer| graph.edge(reader, *writer, Why::Misses));
    }
}

/// What was over before something else began.
fn in_time(graph: &mut Graph, txns: &[Txn], happened: &[bool]) {
    let mut times: Vec<(u64, usize)> = Vec::new();
    for (index, txn) in txns.iter().enumerate().filter(|(index, _)| happened[*index]) {
        times.push((txn.invoked, index));
        if txn.returned != u64::MAX {
            times.push((txn.returned, index));
        }
    }
    times.sort_unstable();
    let mut moment = graph.node();
    for (at, index) in times {
        if at == txns[index].invoked {
            graph.edge(moment, index, Why::Time);
        } else {
            let next = graph.node();
            graph.edge(moment, next, Why::Time);
            graph.edge(index, next, Why::Time);
            moment = next;
        }
    }
}

#[cfg(test)]
mod differential;
