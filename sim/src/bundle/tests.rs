//! What is written is read back and judged as it was; other formats are refused.

use std::fs;

use tempfile::TempDir;

use super::{judge::judge, *};
use crate::{
    check::{Violation, file::CaseFile},
    fingerprint::{TraceEvent, TracePart},
    plan::scenario::Scenario,
};

fn plan(text: &str) -> Plan {
    let scenario = Scenario::parse(&format!("version = 2\nname = \"x\"\n{text}"));
    Plan::draw(&scenario.expect("valid"), 7)
}

/// A case of `histories/`.
fn case(name: &str) -> CaseFile {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../histories");
    let text = fs::read(folder.join(name)).expect("it is there");
    CaseFile::read(text.as_slice()).expect("it is well-formed")
}

/// The bundle of a run with this history.
fn bundle(case: &CaseFile, plan: &Plan, report: &Report, audit: Option<&Audit>) -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    let contents = Contents { report, plan, scenario_hash: "ab", history: &case.history, audit };
    write(&home.path().join("x-7"), &contents).expect("written");
    home
}

/// How a bundle is judged, and what is said.
fn judged(case: &CaseFile, plan: &Plan, report: &Report, audited: bool) -> (Verdict, String) {
    let home = bundle(case, plan, report, audited.then_some(&case.audit));
    let judged = judge(&home.path().join("x-7")).expect("it is whole");
    (judged.verdict, judged.text)
}

#[test]
fn a_bundle_has_the_files_it_promises_and_replaces_an_older_one() {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path().join("x-7");
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("old"), "old").expect("written");
    let (plan, report) =
        (plan("faults.stop = 3\n"), Report::sample(Verdict::Violation, Vec::new()));
    let case = case("legal-requests.jsonl");
    let (history, audit) = (&case.history, Some(&case.audit));
    let contents = Contents { report: &report, plan: &plan, scenario_hash: "ab", history, audit };
    write(&dir, &contents).expect("written");
    let mut found: Vec<String> = fs::read_dir(&dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    found.sort();
    let mut promised = FILES.map(str::to_owned);
    promised.sort();
    assert_eq!(found, promised);
    for file in FILES.iter().filter(|file| **file != "history.edn") {
        assert!(fs::metadata(dir.join(file)).expect("it is there").len() > 10, "{file}");
    }
    let edn = fs::read_to_string(dir.join("history.edn")).expect("text");
    let asked = |event: &&Event| matches!(event.what, history::What::Invoke { .. });
    assert_eq!(edn.matches(":type :invoke").count(), history.iter().filter(asked).count());
    assert_eq!(read_plan(&dir), Ok(plan.clone()));
    assert_eq!(read_plan(&dir.join("plan.json")), Ok(plan));
    assert_eq!(read_manifest(&dir).map(|manifest| manifest.trace_hash), Ok("00ff".into()));
    let readme = fs::read_to_string(dir.join("README")).expect("there is one");
    assert!(readme.contains("cargo sim replay"), "{readme}");
}

#[test]
fn the_files_of_bundles_are_those_of_the_documents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(folder.join("docs/simulation.md")).expect("the page");
    for file in FILES.iter().chain(&FILES_OF_SECOND).filter(|file| **file != "README") {
        assert!(page.contains(&format!("`{file}`")), "{file}");
    }
}

#[test]
fn another_format_is_refused_by_both_numbers() {
    let (case, report) =
        (case("legal-requests.jsonl"), Report::sample(Verdict::Violation, Vec::new()));
    let home = bundle(&case, &plan(""), &report, None);
    let dir = home.path().join("x-7");
    fs::write(dir.join("manifest.json"), "{\"format\": 1, \"other\": 3}").expect("written");
    for told in [read_manifest(&dir).err(), judge(&dir).err()] {
        let told = told.expect("it is refused");
        assert!(told.contains("format 1") && told.contains("format 2"), "{told}");
    }
    fs::write(dir.join("plan.json"), "{\"version\": 9}").expect("written");
    let told = read_plan(&dir).expect_err("it is refused");
    assert!(told.contains("version 9"), "{told}");
}

#[test]
fn a_plan_that_plants_no_bug_there_is_is_refused() {
    let (case, report) =
        (case("legal-requests.jsonl"), Report::sample(Verdict::Violation, Vec::new()));
    let mut plan = plan("");
    plan.planted.push("ack-befor-sync".to_owned());
    let home = bundle(&case, &plan, &report, None);
    let told = read_plan(&home.path().join("x-7")).expect_err("it is refused");
    assert!(told.contains("`ack-before-sync`?"), "{told}");
}

#[test]
fn a_history_with_its_audit_is_judged_again() {
    let failed = Report::sample(Verdict::Violation, vec![Violation::sample("durable.lost")]);
    // The report is not believed where the history can be asked.
    let legal = judged(&case("legal-requests.jsonl"), &plan(""), &failed, true);
    assert_eq!(legal, (Verdict::Pass, "no violation\n".to_owned()));
    let (verdict, told) = judged(&case("durable.lost-delete.jsonl"), &plan(""), &failed, true);
    assert_eq!(verdict, Verdict::Violation);
    assert!(told.starts_with("durable.lost: "), "{told}");
}

#[test]
fn what_only_the_run_could_see_is_told_from_the_report() {
    let failed = Report::sample(Verdict::Violation, vec![Violation::sample("raft.vote")]);
    let (verdict, told) = judged(&case("legal-requests.jsonl"), &plan(""), &failed, true);
    assert_eq!(verdict, Verdict::Violation);
    assert_eq!(told, "from the report: raft.vote: told\n");
    let poor = Report {
        story: "only 3 operations".to_owned(),
        ..Report::sample(Verdict::Inconclusive, vec![])
    };
    let (verdict, told) = judged(&case("legal-requests.jsonl"), &plan(""), &poor, true);
    assert_eq!(verdict, Verdict::Inconclusive);
    assert!(told.contains("only 3 operations"), "{told}");
}

#[test]
fn a_run_without_an_audit_never_passes() {
    let legal = case("legal-requests.jsonl");
    let refused = Report::sample(Verdict::Violation, vec![Violation::sample("boot.refused")]);
    let (verdict, told) = judged(&legal, &plan(""), &refused, false);
    assert_eq!(verdict, Verdict::Violation);
    assert!(told.contains("boot.refused: told") && told.contains("before its audit"), "{told}");
    let (verdict, told) =
        judged(&legal, &plan(""), &Report::sample(Verdict::Violation, vec![]), false);
    assert_eq!(verdict, Verdict::Inconclusive, "{told}");
    let (verdict, told) = judged(
        &case("order.stale.jsonl"),
        &plan(""),
        &Report::sample(Verdict::Violation, vec![]),
        false,
    );
    assert_eq!(verdict, Verdict::Violation);
    assert!(told.contains("order.stale"), "{told}");
}

#[test]
fn a_bundle_is_judged_by_the_rules_of_its_plan() {
    let early = case("lease.early.jsonl");
    let failed = Report::sample(Verdict::Violation, Vec::new());
    assert_eq!(judged(&early, &plan(""), &failed, true).0, Verdict::Violation);
    let mut drifting = plan("");
    // Two seconds are more than four by such a clock.
    drifting.clocks[0].rate_ppm = 1_200_000;
    let (verdict, told) = judged(&early, &drifting, &failed, true);
    assert!(!told.contains("lease.early"), "{verdict:?}: {told}");
}

#[test]
fn decisions_are_read_back_and_nonsense_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let parts = vec![TracePart::Text("Stop".into())];
    let event = TraceEvent { at: 5, node: 1, kind: "fault".into(), parts };
    let decided = vec![Decision { number: 2, event }];
    let decisions = Decisions { root: vec![1; 32], labels: vec!["load".into()], decided };
    write_decisions(home.path(), &decisions).expect("written");
    assert_eq!(read_decisions(home.path()).expect("its own file"), decisions);
    let file = home.path().join(DECISIONS);
    assert_eq!(read_decisions(&file).expect("its own file"), decisions);
    let lines: Vec<String> = decisions.to_string().lines().map(str::to_owned).collect();
    assert!(lines[0].ends_with(" 010101010101010101010101"), "{lines:?}");
    assert_eq!(lines[1], "stream load");
    assert!(lines[2].ends_with("2               5 n1 fault Stop"), "{lines:?}");
    fs::write(&file, [0xff; 64]).expect("written");
    assert!(read_decisions(&file).is_err());
}
