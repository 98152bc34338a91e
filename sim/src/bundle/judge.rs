//! The history of a bundle judged again, by the rules of the bundle's own plan.
//!
//! What only the run could see (a member that does not boot, a leader of no term, an error line)
//! cannot be judged again: there the report is believed. So is a run that ended before its audit,
//! by a panic or because nothing could be read any more; then the end of the history is unknown,
//! and nothing is lost merely because nobody found it.

use std::{fmt::Write as _, fs, path::Path};

use super::read::{read_json, read_manifest, read_plan};
use crate::{
    check::{self, Audit, Case, Checked, classes},
    history,
    report::{Report, Verdict},
    rules,
};

/// What there is to say about a bundle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// For people, a line each.
    pub text: String,
    /// A violation, if the history or the report has one; a pass only if the run had its audit.
    pub verdict: Verdict,
}

/// Judges the bundle in `dir`.
///
/// # Errors
/// What is missing of it, or makes no sense.
pub fn judge(dir: &Path) -> Result<Judged, String> {
    read_manifest(dir)?;
    let plan = read_plan(dir)?;
    let report: Report = read_json(&dir.join("report.json"))?;
    let audit: Option<Audit> = read_json(&dir.join("evidence.json"))?;
    let file = dir.join("history.jsonl");
    let text = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let history = history::read(text.as_slice());
    let history = history.map_err(|error| format!("{}: {error}", file.display()))?;
    // Of an audit with revision 0 the checker takes no notice.
    let (rules, nothing) = (rules::of(&plan), Audit::default());
    let end = audit.as_ref().unwrap_or(&nothing);
    let checked = check::check(&Case { history: &history, audit: end, rules: &rules });
    Ok(tell(&checked, &report, audit.is_some()))
}

fn tell(checked: &Checked, report: &Report, has_audit: bool) -> Judged {
    let mut text = String::new();
    let mut line = |line: &str| {
        // Memory takes everything.
        let _written = writeln!(text, "{line}");
    };
    checked.violations.iter().for_each(|one| line(&one.to_string()));
    let judged_again = |class: &str| has_audit && classes::is_of_histories(class);
    let believed: Vec<_> = report
        .violations
        .iter()
        .filter(|one| !judged_again(&one.class) && !checked.violations.contains(one))
        .collect();
    believed.iter().for_each(|one| line(&format!("from the report: {one}")));
    if !has_audit {
        line("the run ended before its audit: what takes the store's end is not judged");
    }
    if !checked.violations.is_empty() || !believed.is_empty() {
        return Judged { text, verdict: Verdict::Violation };
    }
    if let Some(why) = &checked.undecided {
        line(&format!("undecided: {why}"));
    }
    if report.verdict == Verdict::Inconclusive {
        line(&format!("the run was inconclusive: {}", report.story));
    }
    let decided = checked.undecided.is_none() && report.verdict != Verdict::Inconclusive;
    if decided && has_audit {
        line("no violation");
        return Judged { text, verdict: Verdict::Pass };
    }
    Judged { text, verdict: Verdict::Inconclusive }
}
