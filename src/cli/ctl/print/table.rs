//! Answers that are lists of members or endpoints, as a table; `simple` prints their rows too.

use super::{Answer, is_started, text};

/// Cells longer than this are broken between words.
const CELL_WIDTH_MAX: usize = 30;

/// Header and rows of cells.
#[derive(Debug)]
pub(super) struct Table {
    header: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

/// The answer as a table, if it is one.
pub(super) fn of(answer: &Answer) -> Option<Table> {
    Some(match answer {
        Answer::Members(r) => Table {
            header: &["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"],
            rows: r
                .members
                .iter()
                .map(|member| {
                    vec![
                        format!("{:x}", member.id),
                        is_started(member).to_owned(),
                        member.name.clone(),
                        member.peer_ur_ls.join(","),
                        member.client_ur_ls.join(","),
                        member.is_learner.to_string(),
                    ]
                })
                .collect(),
        },
        Answer::Health(endpoints) => Table {
            header: &["endpoint", "health", "took", "error"],
            rows: endpoints
                .iter()
                .map(|health| {
                    vec![
                        health.endpoint.clone(),
                        health.error.is_none().to_string(),
                        text::go_duration(health.took),
                        health.error.clone().unwrap_or_default(),
                    ]
                })
                .collect(),
        },
        Answer::HashKv(endpoints) => Table {
            header: &["endpoint", "hash", "hash_revision"],
            rows: endpoints
                .iter()
                .map(|(endpoint, r)| {
                    vec![endpoint.clone(), r.hash.to_string(), r.hash_revision.to_string()]
                })
                .collect(),
        },
        Answer::Status(endpoints) => status(endpoints),
        _ => return None,
    })
}

fn status(endpoints: &[(String, reseed_proto::etcdserverpb::StatusResponse)]) -> Table {
    let row = |(endpoint, r): &(String, reseed_proto::etcdserverpb::StatusResponse)| {
        let member_id = r.header.map_or(0, |header| header.member_id);
        let downgrade = r.downgrade_info.clone().unwrap_or_default();
        let humane = |bytes: i64| text::humane_bytes(u64::try_from(bytes).unwrap_or(0));
        let unused = match r.db_size {
            0 => 0,
            size => 100 - r.db_size_in_use.saturating_mul(100) / size,
        };
        vec![
            endpoint.clone(),
            format!("{member_id:x}"),
            r.version.clone(),
            r.storage_version.clone(),
            humane(r.db_size),
            humane(r.db_size_in_use),
            format!("{unused}%"),
            humane(r.db_size_quota),
            (r.leader == member_id).to_string(),
            r.is_learner.to_string(),
            r.raft_term.to_string(),
            r.raft_index.to_string(),
            r.raft_applied_index.to_string(),
            r.errors.join(", "),
            downgrade.target_version,
            downgrade.enabled.to_string(),
        ]
    };
    Table {
        header: &[
            "endpoint",
            "ID",
            "version",
            "storage version",
            "db size",
            "in use",
            "percentage not in use",
            "quota",
            "is leader",
            "is learner",
            "raft term",
            "raft index",
            "raft applied index",
            "errors",
            "downgrade target version",
            "downgrade enabled",
        ],
        rows: endpoints.iter().map(row).collect(),
    }
}

impl Table {
    /// Headers in capitals and centred, cells to the right.
    pub(super) fn render(&self) -> String {
        let header: Vec<Vec<String>> =
            self.header.iter().map(|title| vec![title.to_uppercase().replace('_', " ")]).collect();
        let rows: Vec<Vec<Vec<String>>> =
            self.rows.iter().map(|row| row.iter().map(|cell| wrap(cell)).collect()).collect();
        let width = |column: usize| {
            let cells = std::iter::once(&header).chain(&rows).flat_map(|row| &row[column]);
            cells.map(|line| line.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let rule: String =
            widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>()
                + "+\n";
        let centre = |text: &str, width: usize| {
            let left = (width - text.chars().count()) / 2;
            format!("{:<width$}", format!("{}{text}", " ".repeat(left)))
        };
        let right = |text: &str, width: usize| format!("{text:>width$}");
        let mut out = rule.clone() + &lines(&header, &widths, centre) + &rule;
        for row in &rows {
            out += &lines(row, &widths, right);
        }
        out + &rule
    }
}

/// One row of cells of one or more lines.
fn lines(row: &[Vec<String>], widths: &[usize], align: impl Fn(&str, usize) -> String) -> String {
    let height = row.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for line in 0..height {
        for (cell, width) in row.iter().zip(widths) {
            let text = cell.get(line).map(String::as_str).unwrap_or_default();
            out += &format!("| {} ", align(text, *width));
        }
        out += "|\n";
    }
    out
}

/// Breaks a long cell between words.
fn wrap(cell: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in cell.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= CELL_WIDTH_MAX {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
