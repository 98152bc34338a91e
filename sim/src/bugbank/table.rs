//! What the hunts came to: a table for people, for documents, and everything as JSON.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use reseed_planted::Bug;
use serde::Serialize;

use super::hunt::Caught;

/// All hunts of one bug.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    name: &'static str,
    layer: &'static str,
    etcd_issue: Option<u32>,
    story: &'static str,
    hunts: Vec<Caught>,
    /// Files of the scenarios that found it.
    scenarios: Vec<String>,
}

impl Row {
    /// The row of a bug whose hunts were in these scenarios.
    #[must_use]
    pub fn new(bug: Bug, mut hunts: Vec<Caught>, scenarios: &[String]) -> Self {
        hunts.sort_by_key(|hunt| hunt.master);
        let found = hunts.iter().filter_map(|hunt| hunt.found.as_ref());
        let mut by: Vec<String> = found.map(|found| scenarios[found.scenario].clone()).collect();
        by.sort();
        by.dedup();
        let (name, layer, story) = (bug.name(), bug.layer(), bug.story());
        Self { name, layer, etcd_issue: bug.etcd_issue(), story, hunts, scenarios: by }
    }

    fn found(&self) -> usize {
        self.hunts.iter().filter(|hunt| hunt.found.is_some()).count()
    }

    /// Processor time until it is found, in the median; nothing if most hunts failed.
    fn median(&self) -> Option<Duration> {
        let time = |hunt: &Caught| hunt.found.as_ref().map_or(Duration::MAX, |_| hunt.cpu);
        let mut times: Vec<Duration> = self.hunts.iter().map(time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().filter(|median| *median < Duration::MAX)
    }

    /// The classes found, the most frequent first.
    fn classes(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for found in self.hunts.iter().filter_map(|hunt| hunt.found.as_ref()) {
            *counts.entry(&found.class).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.into_iter().map(|(class, _)| class).collect::<Vec<_>>().join(", ")
    }

    fn cells(&self) -> [String; 6] {
        [
            self.name.to_owned(),
            self.layer.to_owned(),
            self.etcd_issue.map_or(String::new(), |issue| format!("#{issue}")),
            format!("{}/{}", self.found(), self.hunts.len()),
            self.median().map_or("-".to_owned(), |time| format!("{:.1}", time.as_secs_f64())),
            self.classes(),
        ]
    }
}

/// All bugs.
#[derive(Clone, Debug)]
pub struct Table {
    /// One for each bug.
    pub rows: Vec<Row>,
    /// Time that each hunt had.
    pub cpu: Duration,
}

const HEADINGS: [&str; 6] = ["bug", "layer", "etcd", "found", "median CPU s", "as"];

impl Table {
    /// Share of the bugs that most hunts found.
    #[must_use]
    pub fn found_percent(&self) -> usize {
        let found = self.rows.iter().filter(|row| row.median().is_some()).count();
        100 * found / self.rows.len().max(1)
    }

    fn summary(&self) -> String {
        let etcd: Vec<&Row> = self.rows.iter().filter(|row| row.etcd_issue.is_some()).collect();
        let count = |rows: &[&Row]| rows.iter().filter(|row| row.median().is_some()).count();
        let minute = Duration::from_secs(60);
        let quick = etcd.iter().filter(|row| row.median().is_some_and(|time| time <= minute));
        format!(
            "{} of {} bugs found ({} %) within {} s of processor time; of {} from etcd's history \
             {}, within a minute {}",
            count(&self.rows.iter().collect::<Vec<_>>()),
            self.rows.len(),
            self.found_percent(),
            self.cpu.as_secs(),
            etcd.len(),
            count(&etcd),
            quick.count(),
        )
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let cells: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let all = || std::iter::once(HEADINGS.map(str::to_owned)).chain(cells.clone());
        let width = |at: usize| all().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        let mut text = String::new();
        for row in all() {
            let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = padded.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        for (name, scenario, seed) in self.unsound() {
            // Writing into a string cannot fail.
            _ = writeln!(text, "not counted: scenario {scenario} seed {seed} ({name})");
        }
        text + &self.summary() + "\n"
    }

    /// For documents.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = line(&HEADINGS.map(str::to_owned));
        text.push_str(&"|---".repeat(HEADINGS.len()));
        text.push_str("|\n");
        text.extend(self.rows.iter().map(|row| line(&row.cells())));
        text + "\n" + &self.summary() + ".\n"
    }

    /// For programs.
    ///
    /// # Panics
    /// Never: rows are plain data.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(&self.rows).expect("rows are plain data")
    }

    fn unsound(&self) -> impl Iterator<Item = (&'static str, usize, u64)> {
        let hunts = self.rows.iter().flat_map(|row| row.hunts.iter().map(|hunt| (row.name, hunt)));
        hunts.flat_map(|(name, hunt)| hunt.unsound.iter().map(move |(at, seed)| (name, *at, *seed)))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::hunt::Found, *};

    fn caught(master: u64, secs: u64, class: Option<&str>) -> Caught {
        let found = class.map(|class| Found {
            scenario: 0,
            seed: 1,
            class: class.to_owned(),
            story: String::new(),
        });
        Caught { master, runs: 1, cpu: Duration::from_secs(secs), found, unsound: Vec::new() }
    }

    fn row(hunts: Vec<Caught>) -> Row {
        Row::new(Bug::AckBeforeSync, hunts, &["one.toml".to_owned()])
    }

    #[test]
    fn the_median_counts_failed_hunts_as_endless() {
        let lucky = row(vec![
            caught(3, 600, None),
            caught(1, 5, Some("a")),
            caught(2, 7, Some("b")),
            caught(5, 1, Some("b")),
            caught(4, 600, None),
        ]);
        assert_eq!(lucky.median(), Some(Duration::from_secs(7)));
        assert_eq!(lucky.cells()[3..], ["3/5", "7.0", "b, a"]);
        let unlucky = row(vec![caught(1, 5, Some("a")), caught(2, 9, None), caught(3, 9, None)]);
        assert_eq!(unlucky.median(), None);
        let table = Table { rows: vec![lucky, unlucky], cpu: Duration::from_secs(600) };
        assert_eq!(table.found_percent(), 50);
        assert!(table.markdown().contains("| AckBeforeSync | wal | #14370 | 1/3 | - | a |"));
    }
}
