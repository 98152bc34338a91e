//! The table at the end of a swarm.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use reseed_rt::{buggify::Point, probe::Probe};

use super::summary::{Failure, Summary};
use crate::{
    figures::Counts,
    plan::{FaultKind, fault::EFFECTS},
    report::Verdict,
    workload::coverage,
};

/// Everything a swarm has to say at its end.
pub(super) fn of(summary: &Summary, coverage: bool) -> String {
    let mut parts = vec![verdicts(summary), totals(summary), fired(&summary.figures.fired)];
    let points = Point::ALL.iter().map(|point| point.name());
    parts.push(reached("point of buggify", &summary.figures.points, "never fired", points));
    let probes = Probe::ALL.iter().map(|probe| probe.name());
    parts.push(reached("probe", &summary.figures.probes, "never hit", probes));
    if coverage {
        parts.push(sent(&summary.figures.coverage));
    }
    if !summary.failures.is_empty() {
        parts.push(failures(summary));
    }
    parts.join("\n\n")
}

/// A table with a head, numbers to the right.
fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn text(table: &Table) -> String {
    table.trim_fmt()
}

fn verdicts(summary: &Summary) -> String {
    let mut table = table(&["scenario", "seeds", "pass", "violation", "inconclusive", "differs"]);
    let order = [Verdict::Pass, Verdict::Violation, Verdict::Inconclusive, Verdict::Nondeterminism];
    for (scenario, counts) in &summary.verdicts {
        let count = |verdict| counts.get(verdict).copied().unwrap_or(0);
        let seeds: u64 = counts.values().sum();
        let row = order.iter().map(|verdict| count(verdict).to_string());
        table.add_row([scenario.clone(), seeds.to_string()].into_iter().chain(row));
    }
    if summary.verdicts.len() > 1 {
        let seeds: u64 = order.iter().map(|verdict| summary.count(*verdict)).sum();
        let row = order.iter().map(|verdict| summary.count(*verdict).to_string());
        table.add_row(["all".to_owned(), seeds.to_string()].into_iter().chain(row));
    }
    text(&table)
}

fn totals(summary: &Summary) -> String {
    let Summary { figures, sim_secs, cpu_secs, runs, .. } = summary;
    let rate = |amount: f64| if *cpu_secs > 0.0 { amount / cpu_secs } else { 0.0 };
    let mut table = table(&["", "total", "per CPU second"]);
    let mut row = |name: &str, amount: f64, rate: Option<f64>| {
        let rate = rate.map(|rate| format!("{rate:.1}")).unwrap_or_default();
        table.add_row([name.to_owned(), format!("{amount:.0}"), rate]);
    };
    row("runs", *runs as f64, None);
    row("CPU seconds", *cpu_secs, None);
    row("simulated seconds", *sim_secs, Some(rate(*sim_secs)));
    let acknowledged = figures.acknowledged as f64;
    row("operations answered and checked", acknowledged, Some(rate(acknowledged)));
    row("operations refused", figures.refused as f64, None);
    row("operations unknown", figures.unknown as f64, None);
    row("changes watched", figures.watched as f64, Some(rate(figures.watched as f64)));
    row("crashes", figures.crashes as f64, None);
    let still = figures.standstill_percent as f64;
    row("longest without a commit, % of an election timeout", still, None);
    let bitten: u64 = figures.fired.values().sum();
    row("faults that bit", bitten as f64, Some(rate(bitten as f64)));
    row("request field/class pairs sent", figures.coverage.len() as f64, None);
    text(&table)
}

/// Every kind of fault and how often it bit, five to a line.
fn fired(fired: &Counts) -> String {
    let known = FaultKind::NAMES.into_iter().chain(EFFECTS);
    let (mut some, mut none) = (Counts::new(), Vec::new());
    for name in known {
        match fired.get(name) {
            Some(count) if *count > 0 => some.extend([(name.to_owned(), *count)]),
            _ => none.push(name),
        }
    }
    with_never(counts("fault", &some), "never bit", &none)
}

/// What of a catalogue was reached how often, and what never was.
fn reached<'a>(
    head: &str,
    counted: &Counts,
    never: &str,
    all: impl Iterator<Item = &'a str>,
) -> String {
    let none: Vec<_> = all.filter(|name| !counted.contains_key(*name)).collect();
    with_never(counts(head, counted), never, &none)
}

/// Every cell of the requests that was hit, and those that never were.
fn sent(hit: &Counts) -> String {
    let cells: Vec<String> = coverage::cells().collect();
    reached("request field/class", hit, "never sent", cells.iter().map(String::as_str))
}

fn with_never(mut text: String, what: &str, names: &[&str]) -> String {
    if !names.is_empty() {
        // Writing to a string cannot fail.
        let _written = write!(text, "\n{what}: {}", names.join(", "));
    }
    text
}

/// Names and counts, three to a line.
fn counts(head: &str, counts: &Counts) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let cells: Vec<[String; 2]> =
        counts.iter().map(|(name, count)| [name.clone(), count.to_string()]).collect();
    for row in cells.chunks(3) {
        table.add_row(row.iter().flatten());
    }
    for column in table.column_iter_mut().skip(1).step_by(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    if counts.is_empty() {
        return format!("{head}: 0");
    }
    format!("{head}: {}\n{}", counts.len(), text(&table))
}

fn failures(summary: &Summary) -> String {
    let mut lines = vec!["not passed, by signature:".to_owned()];
    for (signature, failure) in &summary.failures {
        let Failure { verdict, count, seeds, replay } = failure;
        let named: Vec<_> =
            seeds.iter().map(|(scenario, seed)| format!("{scenario} {seed}")).collect();
        let more = if *count > named.len() as u64 { ", …" } else { "" };
        let word = verdict.word();
        lines.push(format!("{count:>5} {word} [{signature}] {}{more}", named.join(", ")));
        lines.push(format!("      {replay}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{super::summary::tests::done, *};

    #[test]
    fn the_table_tells_all_there_is() {
        let mut summary = Summary::default();
        summary.add(done(1, Verdict::Pass, ""));
        summary.add(done(2, Verdict::Violation, "a: b"));
        summary.add(done(3, Verdict::Violation, "a: b"));
        let text = of(&summary, true);
        for part in [
            "2 FAIL [a: b] x 2, x 3",
            "never bit: power_at_disk_op",
            "never fired: wal.rotate_early",
            "never hit: wal.torn_tail",
            "range.limit/zero",
            "never sent: range.key/empty",
        ] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<_> = text.lines().map(words).collect();
        let has = |line: &str| lines.contains(&words(line));
        assert!(has("x 3 1 2 0 0"), "{text}");
        assert!(has("simulated seconds 90 60.0"), "{text}");
        assert!(has("operations answered and checked 150 100.0"), "{text}");
        assert!(!of(&Summary::default(), false).contains("not passed"));
    }
}
