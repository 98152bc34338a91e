//! Histories as Jepsen's EDN, so that its checkers can be asked for a second opinion; and back.
//!
//! One map a line: `{:index 0, :time 1, :process 0, :type :invoke, :f :put, :value {...},
//! :client 0, :op 1}`, with the fields of requests and answers under their names. Jepsen never uses
//! a process again whose operation is unknown, so a client gets a new number then, and `:client`
//! has its own. What is no operation (watches, locks, members) is told as by the nemesis, whom
//! Jepsen's checkers pass over. So nothing of a history is left out, and [`read_edn`] gives back
//! the same events; what a history never has is left out here too: the audit and the rules.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde_json::{Map, Value, json};

use super::{Event, OpId, What};
use crate::edn::Edn;

/// Writes a history as EDN.
///
/// # Errors
/// Those of `out`.
pub fn write_edn(events: &[Event], out: &mut impl Write) -> io::Result<()> {
    let clients = events.iter().map(|event| u64::from(event.client) + 1).max().unwrap_or(0);
    let mut processes: BTreeMap<u32, u64> = BTreeMap::new();
    let mut asked: BTreeMap<OpId, Value> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let Event { at, client, what } = event;
        let process = *processes.entry(*client).or_insert_with(|| u64::from(*client));
        let mut line = Line { kind: "info", value: Value::Null, op: None, more: Map::new() };
        match what {
            What::Invoke { op, member, request } => {
                line.value = serde_json::to_value(request)?;
                asked.insert(*op, line.value.clone());
                (line.kind, line.op) = ("invoke", Some(*op));
                line.more.insert("member".to_owned(), json!(member));
            }
            What::Ok { op, response } => {
                line.value = asked.remove(op).unwrap_or_else(|| json!({}));
                line.value["answer"] = serde_json::to_value(response)?;
                (line.kind, line.op) = ("ok", Some(*op));
            }
            What::Fail { op, error } | What::Unknown { op, error } => {
                line.value = asked.remove(op).unwrap_or_else(|| json!({}));
                (line.kind, line.op) = ("fail", Some(*op));
                line.more.insert("error".to_owned(), json!(error));
            }
            What::Watch { .. } | What::Lock { .. } | What::Member { .. } | What::Healed => {
                line.value = serde_json::to_value(what)?;
            }
        }
        if let What::Unknown { .. } = what {
            line.kind = "info";
            processes.insert(*client, process + clients);
        }
        write!(out, "{{:index {index}, :time {at}, :process ")?;
        match line.op {
            Some(_) => write!(out, "{process}")?,
            None => write!(out, ":nemesis")?,
        }
        line.write(*client, out)?;
    }
    Ok(())
}

/// What differs from event to event.
struct Line {
    kind: &'static str,
    value: Value,
    op: Option<OpId>,
    more: Map<String, Value>,
}

impl Line {
    fn write(mut self, client: u32, out: &mut impl Write) -> io::Result<()> {
        // The name of an operation, or of an event that is none.
        let name = if self.op.is_some() { "op" } else { "event" };
        let function = self.value.get(name).and_then(Value::as_str).unwrap_or("unknown");
        let function = function.replace('_', "-");
        write!(out, ", :type :{}, :f :{function}, :value ", self.kind)?;
        edn(&self.value, out)?;
        self.more.insert("client".to_owned(), json!(client));
        if let Some(op) = self.op {
            self.more.insert("op".to_owned(), json!(op));
        }
        for (name, value) in &self.more {
            write!(out, ", :{name} ")?;
            edn(value, out)?;
        }
        out.write_all(b"}\n")
    }
}

fn edn(value: &Value, out: &mut impl Write) -> io::Result<()> {
    match value {
        Value::Null => out.write_all(b"nil"),
        Value::Array(all) => {
            out.write_all(b"[")?;
            for (index, one) in all.iter().enumerate() {
                if index > 0 {
                    out.write_all(b" ")?;
                }
                edn(one, out)?;
            }
            out.write_all(b"]")
        }
        Value::Object(fields) => {
            out.write_all(b"{")?;
            for (index, (name, one)) in fields.iter().enumerate() {
                if index > 0 {
                    out.write_all(b", ")?;
                }
                write!(out, ":{} ", name.replace('_', "-"))?;
                edn(one, out)?;
            }
            out.write_all(b"}")
        }
        // EDN: what does not fit into 64 bits with a sign has a suffix.
        Value::Number(number) if number.is_u64() && !number.is_i64() => write!(out, "{number}N"),
        // Booleans, numbers and strings look the same in both.
        plain => write!(out, "{plain}"),
    }
}

/// Whether this is the first line of a history that [`write_edn`] wrote.
pub(crate) fn is_ours(first: &Edn) -> bool {
    ["index", "time", "process", "type", "client"].iter().all(|name| first.field(name).is_some())
}

/// Reads back what [`write_edn`] wrote, each map with its line.
///
/// # Errors
/// The first line that makes no sense.
pub(crate) fn read_edn(items: &[(u64, Edn)]) -> Result<Vec<Event>, String> {
    let event = |(line, item): &(u64, Edn)| {
        let event = json_event(item);
        let event = event.and_then(|it| serde_json::from_value(it).map_err(|it| it.to_string()));
        event.map_err(|why| format!("line {line}: {why}"))
    };
    items.iter().map(event).collect()
}

/// The event as its line of JSON would be.
fn json_event(item: &Edn) -> Result<Value, String> {
    let field = |name: &str| {
        let value = item.field(name).ok_or_else(|| format!("there is no :{name}"))?;
        json(value)
    };
    let (at, client, mut value) = (field("time")?, field("client")?, field("value")?);
    let Some(fields) = value.as_object_mut() else { return Err(":value is no map".to_owned()) };
    if item.field("op").is_none() {
        fields.extend([("at".to_owned(), at), ("client".to_owned(), client)]);
        return Ok(value);
    }
    let op = field("op")?;
    Ok(match field("type")?.as_str() {
        Some("invoke") => {
            let member = field("member")?;
            json!({"at": at, "client": client, "event": "invoke", "op": op, "member": member,
                "request": value})
        }
        Some("ok") => {
            let answer = fields.remove("answer").ok_or("there is no :answer")?;
            json!({"at": at, "client": client, "event": "ok", "op": op, "response": answer})
        }
        Some("fail") => {
            json!({"at": at, "client": client, "event": "fail", "op": op, "error": field("error")?})
        }
        Some("info") => {
            let error = field("error")?;
            json!({"at": at, "client": client, "event": "unknown", "op": op, "error": error})
        }
        other => return Err(format!(":type is {other:?}")),
    })
}

/// A value of EDN as we write it.
fn json(value: &Edn) -> Result<Value, String> {
    Ok(match value {
        Edn::Nil => Value::Null,
        Edn::Number(number) => match (i64::try_from(*number), u64::try_from(*number)) {
            (Ok(number), _) => json!(number),
            (_, Ok(number)) => json!(number),
            _ => return Err(format!("{number} is out of range")),
        },
        Edn::Text(text) => json!(text),
        Edn::Word(word) => match word.parse::<bool>() {
            Ok(is_so) => json!(is_so),
            Err(_) => json!(word),
        },
        Edn::List(all) => Value::Array(all.iter().map(json).collect::<Result<_, _>>()?),
        Edn::Map(fields) => {
            let field = |(name, value): (&Edn, &Edn)| match name {
                Edn::Word(name) => Ok((name.replace('-', "_"), json(value)?)),
                other => Err(format!("{other:?} is no name")),
            };
            Value::Object(fields.iter().map(field).collect::<Result<_, String>>()?)
        }
    })
}
