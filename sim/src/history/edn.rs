//! Histories as Jepsen's EDN, so that its checkers can be asked for a second opinion.
//!
//! One map a line: `{:index 0, :time 1, :process 0, :type :invoke, :f :put, :value {...}}`, with
//! the fields of requests and answers under their names. Jepsen never uses a process again whose
//! operation is unknown, so a client gets a new number then. Watches, locks and members are
//! left out: Jepsen has no form for them.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde_json::Value;

use super::{Event, OpId, What};

/// Writes operations as EDN.
///
/// # Errors
/// Those of `out`.
pub fn write_edn(events: &[Event], out: &mut impl Write) -> io::Result<()> {
    let clients = events.iter().map(|event| u64::from(event.client) + 1).max().unwrap_or(0);
    let mut processes: BTreeMap<u32, u64> = BTreeMap::new();
    let mut asked: BTreeMap<OpId, Value> = BTreeMap::new();
    let mut index = 0_u64;
    for event in events {
        let process = *processes.entry(event.client).or_insert_with(|| u64::from(event.client));
        let (kind, value) = match &event.what {
            What::Invoke { op, request, .. } => {
                let value = serde_json::to_value(request)?;
                asked.insert(*op, value.clone());
                ("invoke", value)
            }
            What::Ok { op, response } => {
                ("ok", both(asked.remove(op), serde_json::to_value(response)?))
            }
            What::Fail { op, error } => {
                ("fail", both(asked.remove(op), Value::String(error.clone())))
            }
            What::Unknown { op, error } => {
                processes.insert(event.client, process + clients);
                ("info", both(asked.remove(op), Value::String(error.clone())))
            }
            _ => continue,
        };
        let function = match value.get("op") {
            Some(Value::String(name)) => name.clone(),
            _ => "unknown".to_owned(),
        };
        let time = event.at;
        write!(out, "{{:index {index}, :time {time}, :process {process}, :type :{kind}, ")?;
        write!(out, ":f :{}, :value ", function.replace('_', "-"))?;
        edn(&value, out)?;
        out.write_all(b"}\n")?;
        index += 1;
    }
    Ok(())
}

/// A request with what came of it.
fn both(asked: Option<Value>, answer: Value) -> Value {
    let mut value = asked.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    if let Value::Object(fields) = &mut value {
        fields.insert("answer".to_owned(), answer);
    }
    value
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
        // Booleans, numbers and strings look the same in both.
        plain => write!(out, "{plain}"),
    }
}
