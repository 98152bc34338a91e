//! Each checker sees the anomaly it is for, and legal histories pass.

use std::{fs, path::PathBuf};

use super::{
    Audit, Checked, check,
    file::CaseFile,
    sample::{Sample, delete, get, list, put, swap},
};
use crate::history::{Body, Response, request::Version};

fn classes(checked: &Checked) -> Vec<&str> {
    checked.violations.iter().map(|one| one.class.as_str()).collect()
}

/// Two keys, a write each, a delete and a write again: revisions 2 to 5.
fn legal() -> Sample {
    let mut sample = Sample::default();
    sample.done(1, put("a", "1"));
    sample.done(1, put("b", "2"));
    sample.done(1, delete("a"));
    let op = sample.begin(1, put("a", "4"));
    sample.lose(1, op);
    sample.store.apply(&put("a", "4"));
    sample
}

fn expect(sample: &Sample, class: &str) {
    let checked = sample.check();
    assert!(classes(&checked).contains(&class), "{class} is not in {checked:#?}");
}

fn wrote(revision: i64) -> Response {
    Response { revision, body: Body::Put { prev: None } }
}

#[test]
fn a_legal_history_passes() {
    let mut sample = legal();
    sample.done(2, get("a"));
    sample.done(2, swap("a", 5, "6"));
    sample.done(2, swap("a", 5, "7"));
    sample.done(2, delete("c"));
    sample.done(2, list());
    sample.watch_all(1, 1);
    sample.watched(1, &[2, 3]);
    assert_eq!(sample.check(), Checked::default());
}

#[test]
fn an_acknowledged_write_that_is_gone_is_lost() {
    let mut sample = legal();
    sample.said(1, put("a", "5"), wrote(6));
    expect(&sample, "durable.lost");
    let mut sample = legal();
    sample.said(1, put("a", "5"), wrote(6));
    sample.begin(1, put("a", "6"));
    sample.store.apply(&put("a", "6"));
    expect(&sample, "durable.lost");
}

#[test]
fn what_nobody_asked_for_is_told_by_kind() {
    let mut sample = legal();
    sample.store.apply(&put("a", "ghost"));
    expect(&sample, "timeline.phantom");
    let mut sample = legal();
    sample.store.apply(&put("b", "2"));
    expect(&sample, "timeline.twice");
    let mut sample = legal();
    sample.refused(1, put("b", "5"), "etcdserver: request is too large");
    sample.store.apply(&put("b", "5"));
    expect(&sample, "timeline.refused");
}

#[test]
fn unknown_deletes_explain_as_many_deletions() {
    let mut sample = Sample::default();
    for round in 0..3 {
        let op = sample.begin(round, delete("a"));
        sample.lose(round, op);
    }
    for round in 0..4 {
        sample.done(9, put("a", &format!("{round}")));
        assert_eq!(sample.check(), Checked::default());
        sample.store.apply(&delete("a"));
    }
    expect(&sample, "timeline.twice");
}

#[test]
fn a_read_that_misses_an_earlier_answer_is_stale() {
    let mut sample = legal();
    sample.done(1, get("b"));
    let body = Body::Range { kvs: Vec::new(), count: 0, more: false };
    sample.said(1, get("a"), Response { revision: 4, body });
    assert_eq!(classes(&sample.check()), ["order.stale"]);
}

#[test]
fn a_read_of_the_wrong_value_is_seen() {
    let mut sample = legal();
    let mut response = sample.store.apply(&get("a"));
    if let Body::Range { kvs, .. } = &mut response.body {
        kvs[0].version = Version { value: "1".to_owned(), ..kvs[0].version.clone() };
    }
    sample.said(1, get("a"), response);
    assert_eq!(classes(&sample.check()), ["reads.wrong"]);
}

#[test]
fn the_final_state_is_what_the_changes_add_up_to() {
    let sample = legal();
    let mut audit = sample.audit();
    audit.state.pop();
    assert_eq!(classes(&sample.check_with(&audit)), ["timeline.final"]);
    let mut audit = sample.audit();
    audit.changes.retain(|change| change.revision != 3);
    assert!(classes(&sample.check_with(&audit)).contains(&"timeline.gap"));
}

/// What an auditor finds who sees nothing below `from`.
fn late_audit(sample: &Sample, from: i64) -> Audit {
    let mut audit = sample.audit();
    audit.changes.retain(|change| change.revision >= from);
    Audit { changes_from: from, ..audit }
}

#[test]
fn a_revision_nobody_saw_may_be_whatever_fits_the_rest() {
    let lost_and_seen = |value: &str, version: i64| {
        let mut sample = Sample::default();
        for value in ["1", "2"] {
            let op = sample.begin(1, put("a", value));
            sample.lose(1, op);
        }
        sample.store.apply(&put("a", value));
        let mut response = sample.store.apply(&get("a"));
        if let Body::Range { kvs, .. } = &mut response.body {
            kvs[0].version.version = version;
        }
        sample.said(2, get("a"), response);
        // The hole is all there is between the beginning and what is known.
        sample.done(1, put("b", "3"));
        sample.check_with(&late_audit(&sample, 3))
    };
    assert_eq!(lost_and_seen("2", 1), Checked::default());
    assert_eq!(classes(&lost_and_seen("9", 1)), ["timeline.hidden"]);
    assert_eq!(classes(&lost_and_seen("2", 2)), ["timeline.hidden"]);
}

#[test]
fn too_many_holes_are_undecided() {
    let mut sample = Sample::default();
    let write = |client: u32| put("a", &client.to_string());
    for client in 0..12 {
        let op = sample.begin(client, write(client));
        sample.lose(client, op);
    }
    for client in (0..12).rev() {
        sample.store.apply(&write(client));
    }
    sample.done(20, get("a"));
    let checked = sample.check_with(&late_audit(&sample, 14));
    assert!(checked.undecided.is_some() && checked.violations.is_empty(), "{checked:#?}");
}

/// The corpus: a file for each anomaly, and legal ones.
#[test]
fn every_history_of_the_corpus_gets_its_class() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../histories");
    let mut wrong = Vec::new();
    let (mut illegal, mut legal) = (0, 0);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("there is one")
        .map(|entry| entry.expect("listed").path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    paths.sort();
    for path in paths {
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let text = fs::read(&path).expect("it is there");
        let file = CaseFile::read(text.as_slice()).unwrap_or_else(|why| panic!("{name}: {why}"));
        let checked = check(&file.case());
        let first = checked.violations.first().map_or("", |one| one.class.as_str());
        let ops = checked.violations.first().map_or(&[][..], |one| one.ops.as_slice());
        if ops != file.ops {
            wrong.push(format!("{name}: expected {:?}, named {ops:?}", file.ops));
        }
        let of_name = name.split('-').next().expect("it has a beginning");
        let promised = if of_name == "legal" { "" } else { of_name };
        if first != file.expect || promised != file.expect || checked.undecided.is_some() {
            wrong.push(format!("{name}: expected {:?}, found {checked:#?}", file.expect));
        }
        if promised.is_empty() { legal += 1 } else { illegal += 1 }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(illegal >= 80 && legal >= 8, "{illegal} illegal and {legal} legal histories");
}
