//! Golden traces: commands and what the machine answered, as text one can read and review.
//!
//! A file in `golden/` is a list of commands, each a line that starts with `> `, followed by its
//! output up to the next command; `#` starts a comment. `UPDATE_EXPECT=1 cargo test` writes the
//! outputs anew: review the diff. The language is in [`parse`], the output in [`print`].

pub(crate) mod parse;
mod print;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;
use std::{env, fs, println};

use crate::harness::Host;

/// Replays `golden/<name>.txt`.
fn replay(name: &str) {
    let path = format!("{}/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    #[expect(clippy::disallowed_methods, reason = "a test reads its own expectations")]
    let expected = fs::read_to_string(&path).expect("the trace is there");
    let mut host = Host::default();
    let mut actual = String::new();
    for line in expected.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            let output = run(&mut host, command);
            writeln!(actual, "> {command}").expect("strings grow");
            for line in output.lines() {
                writeln!(actual, "  {line}").expect("strings grow");
            }
            // Whatever happened, a restart finds the same state.
            host.check_restart();
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(actual, "{line}").expect("strings grow");
        } else {
            assert!(line.starts_with("  "), "{path}: neither command nor output: {line}");
        }
    }
    if env::var_os("UPDATE_EXPECT").is_some() {
        #[expect(clippy::disallowed_methods, reason = "a test writes its own expectations")]
        fs::write(&path, &actual).expect("the trace can be written");
        return;
    }
    if expected != actual {
        let same = expected.lines().zip(actual.lines()).take_while(|(e, a)| e == a).count();
        println!("{actual}");
        panic!("{path}:{}: differs; UPDATE_EXPECT=1 accepts the above", same + 1);
    }
}

fn run(host: &mut Host, command: &str) -> String {
    match parse::command(command) {
        parse::Command::Apply(request) => match host.apply(request) {
            Ok(applied) => print::applied(&applied),
            Err(error) => format!("HALT {error}"),
        },
        parse::Command::Range(request) => print::range(&host.range(&request)),
        parse::Command::ReadTxn(request) => print::read_txn(&host.read_txn(&request)),
        parse::Command::Scrub(budget) => {
            let (deleted, done) = host.scrub(budget);
            let rest = if done { "done" } else { "not done" };
            format!("deleted {}, {rest}", print::names(&deleted))
        }
        parse::Command::History(from) => print::history(&host.history(from)),
        parse::Command::Hash(revision) => print::hashed(&host.hash(revision)),
        parse::Command::Restart => {
            host.restart();
            format!(
                "revision {}, compacted {}",
                host.machine.mvcc.revision(),
                host.machine.mvcc.compact_revision()
            )
        }
        parse::Command::Leases => print::leases(&host.machine.leases),
        parse::Command::Dump => print::names(&host.revision_keys()).to_owned(),
    }
}

#[test]
fn revisions() {
    replay("revisions");
}

#[test]
fn ranges() {
    replay("ranges");
}

#[test]
fn txn() {
    replay("txn");
}

#[test]
fn compaction() {
    replay("compaction");
}

#[test]
fn leases() {
    replay("leases");
}

#[test]
fn alarms() {
    replay("alarms");
}
