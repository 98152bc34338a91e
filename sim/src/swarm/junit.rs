//! A swarm as JUnit's XML: a suite per scenario, a case per seed.

use std::{collections::BTreeMap, time::Duration};

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::summary::{Case, Summary};
use crate::report::Verdict;

/// The XML.
///
/// # Errors
/// Those of the library, which a swarm gives no reason for.
pub(super) fn of(summary: &Summary) -> Result<String, SerializeError> {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    let mut report = Report::new("reseed-sim");
    for case in &summary.cases {
        let suite = suites.entry(&case.scenario).or_insert_with(|| TestSuite::new(&*case.scenario));
        suite.add_test_case(test_case(case));
    }
    report.add_test_suites(suites.into_values());
    report.to_string()
}

fn test_case(case: &Case) -> TestCase {
    let mut status = match case.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Inconclusive => TestCaseStatus::skipped(),
        Verdict::Violation => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Nondeterminism => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if case.verdict != Verdict::Pass {
        status.set_message(&*case.story);
        status.set_type(&*case.signature);
        status.set_description(format!("{}\n{}", case.story, case.replay));
    }
    let mut test = TestCase::new(format!("seed {}", case.seed), status);
    test.set_classname(&*case.scenario);
    test.set_time(Duration::from_secs_f64(case.cpu_secs));
    for (name, value) in [
        ("trace_hash", case.trace_hash.clone()),
        ("sim_seconds", format!("{:.1}", case.sim_secs)),
        ("operations", case.operations.to_string()),
        ("faults", case.fired.to_string()),
    ] {
        test.add_property((name, value.as_str()));
    }
    test
}

#[cfg(test)]
mod tests {
    use super::{super::summary::tests::done, *};

    #[test]
    fn each_verdict_has_its_word() {
        let mut summary = Summary::default();
        summary.add(done(1, Verdict::Pass, ""));
        summary.add(done(2, Verdict::Violation, "a: b"));
        summary.add(done(3, Verdict::Inconclusive, "c: d"));
        summary.add(done(4, Verdict::Nondeterminism, "nondeterminism"));
        let xml = of(&summary).expect("written");
        for part in [
            "tests=\"4\" disabled=\"1\" errors=\"1\" failures=\"1\"",
            "<skipped message=\"story of &lt;3&gt;\"",
            "type=\"a: b\"",
            "story of &lt;2&gt;",
            "cargo sim run --seed 2",
            "<property name=\"trace_hash\" value=\"00ff\"/>",
        ] {
            assert!(xml.contains(part), "{part} is missing:\n{xml}");
        }
    }
}
