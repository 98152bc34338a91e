//! From what a run found to its verdict.

use crate::{
    check::Violation,
    figures::{Counts, Figures},
    plan::{Limits, Plan},
    report::Verdict,
    signature::signature,
};

/// What a run found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Promises broken, the most telling first.
    pub violations: Vec<Violation>,
    /// Why nothing can be said, where that is so.
    pub undecided: Option<String>,
    /// What was counted.
    pub figures: Figures,
}

/// A verdict, why, and what such failures have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// How the run ended.
    pub verdict: Verdict,
    /// Why, in one line.
    pub story: String,
    /// Empty if passed.
    pub signature: String,
}

/// Judges a run of `plan`. What was broken counts even where too little happened otherwise.
#[must_use]
pub fn judge(plan: &Plan, outcome: &Outcome) -> Judgement {
    match &plan.expect.violation {
        Some(class) => expected(class, &outcome.violations),
        None => unexpected(plan, outcome),
    }
}

fn unexpected(plan: &Plan, outcome: &Outcome) -> Judgement {
    if let Some(first) = outcome.violations.first() {
        return judgement(
            Verdict::Violation,
            &first.class,
            first.story.as_str(),
            first.to_string(),
        );
    }
    let missing = outcome.undecided.clone().or_else(|| missing(&plan.limits, &outcome.figures));
    match missing {
        Some(story) => judgement(Verdict::Inconclusive, "inconclusive", &story, story.clone()),
        None => pass(String::new()),
    }
}

fn expected(class: &str, violations: &[Violation]) -> Judgement {
    if let Some(found) = violations.iter().find(|one| one.class == class) {
        return pass(format!("found as expected: {found}"));
    }
    let found = violations.first().map_or("nothing".to_owned(), ToString::to_string);
    let story = format!("expected {class}, found {found}");
    judgement(Verdict::Violation, "expected", &story, story.clone())
}

fn pass(story: String) -> Judgement {
    Judgement { verdict: Verdict::Pass, story, signature: String::new() }
}

fn judgement(verdict: Verdict, class: &str, rule: &str, story: String) -> Judgement {
    Judgement { verdict, story, signature: signature(class, rule) }
}

/// What the run lacks to mean something.
fn missing(limits: &Limits, figures: &Figures) -> Option<String> {
    if figures.acknowledged < limits.acknowledged_min {
        return Some(format!("only {} operations were answered", figures.acknowledged));
    }
    if figures.crashes < limits.crashes_min {
        return Some(format!("only {} crashes", figures.crashes));
    }
    let count = |counts: &Counts, name: &str| counts.get(name).copied().unwrap_or(0);
    let (name, fired) = limits
        .fired
        .iter()
        .map(|(name, least)| (name, count(&figures.fired, name), least))
        .find(|(_, fired, least)| fired < *least)
        .map(|(name, fired, _)| (name, fired))?;
    Some(format!("the fault {name} bit {fired} times"))
}

/// A run that ended in a panic breaks a promise too; which one, its message tells.
#[must_use]
pub fn of_panic(message: &str) -> Violation {
    let class = match message {
        _ if message.starts_with(NO_BOOT) => "boot.refused",
        _ if message.starts_with(HALTED) => "halted",
        _ if message.contains("time limit exceeded") => "live.hang",
        _ if message.contains("all tasks will block forever") => "live.hang",
        _ => "panic",
    };
    Violation { class: class.to_owned(), story: message.to_owned(), ops: Vec::new() }
}

/// What the member's machine panics with when the server does not start; the reason follows.
pub const NO_BOOT: &str = "the member does not boot";
/// What it panics with when the server stops by itself.
pub const HALTED: &str = "the member halted";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::scenario::Scenario;

    fn plan(text: &str) -> Plan {
        let scenario = Scenario::parse(&format!("version = 2\nname = \"x\"\n{text}"));
        Plan::draw(&scenario.expect("valid"), 1)
    }

    fn found(classes: &[&str]) -> Outcome {
        let violation = |class: &&str| Violation {
            class: (*class).to_owned(),
            story: "told".to_owned(),
            ops: vec![1],
        };
        let figures = Figures { acknowledged: 1000, ..Figures::default() };
        Outcome { violations: classes.iter().map(violation).collect(), undecided: None, figures }
    }

    #[test]
    fn what_is_broken_fails_and_what_is_not_passes() {
        let usual = plan("");
        assert_eq!(judge(&usual, &found(&[])).verdict, Verdict::Pass);
        let failed = judge(&usual, &found(&["durable.lost", "halted"]));
        assert_eq!(failed.verdict, Verdict::Violation);
        assert_eq!(failed.signature, "durable.lost: told");
    }

    #[test]
    fn too_little_is_inconclusive_and_never_a_pass() {
        let text = "[limits]\nacknowledged_min = 10\ncrashes_min = 1\nfired = { bit_rot = 1 }\n";
        let strict = plan(text);
        let mut outcome = Outcome::default();
        for enough in [
            |figures: &mut Figures| figures.acknowledged = 10,
            |figures: &mut Figures| figures.crashes = 1,
            |figures: &mut Figures| figures.fired.extend([("bit_rot".to_owned(), 1)]),
        ] {
            assert_eq!(judge(&strict, &outcome).verdict, Verdict::Inconclusive);
            enough(&mut outcome.figures);
        }
        assert_eq!(judge(&strict, &outcome).verdict, Verdict::Pass);
        outcome.undecided = Some("a hole".to_owned());
        assert_eq!(judge(&strict, &outcome).verdict, Verdict::Inconclusive);
        outcome.violations = found(&["durable.lost"]).violations;
        assert_eq!(judge(&strict, &outcome).verdict, Verdict::Violation);
    }

    #[test]
    fn an_expected_violation_passes_only_if_it_is_found() {
        let negative = plan("[expect]\nviolation = \"durable.lost\"\n");
        assert_eq!(judge(&negative, &found(&["halted", "durable.lost"])).verdict, Verdict::Pass);
        assert_eq!(judge(&negative, &found(&["halted"])).verdict, Verdict::Violation);
        assert_eq!(judge(&negative, &found(&[])).verdict, Verdict::Violation);
    }

    #[test]
    fn a_panic_has_the_class_its_message_tells() {
        for (message, class) in [
            ("the member does not boot: no", "boot.refused"),
            ("the member halted: disk", "halted"),
            ("time limit exceeded: 600s", "live.hang"),
            ("index out of bounds", "panic"),
        ] {
            assert_eq!(of_panic(message).class, class);
        }
    }
}
