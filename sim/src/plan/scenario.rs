//! A scenario file: what kind of run, with ranges where the seed shall choose.
//!
//! TOML, strict: a key nobody knows is an error with a suggestion, because a misspelt fault is a
//! test that never was. What is left out has the default of [`Scenario::default`]. Numbers are one
//! value or `[least, most]`.

use reseed_planted::Bug;
use serde::Deserialize;

/// The one format there is so far.
const VERSION: u32 = 1;

/// A number, or a range the seed chooses from; both ends belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged)]
pub enum Span {
    /// Always this.
    One(u64),
    /// From, to.
    Range([u64; 2]),
}

impl Span {
    /// The least and the most.
    #[must_use]
    pub fn ends(self) -> (u64, u64) {
        match self {
            Self::One(value) => (value, value),
            Self::Range([least, most]) => (least, most),
        }
    }
}

/// What a run is made of.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Of the format.
    pub version: u32,
    /// For reports.
    pub name: String,
    /// Bugs on purpose, by name.
    #[serde(default)]
    pub planted: Vec<String>,
    /// The server's settings.
    #[serde(default)]
    pub member: Member,
    /// What clients do.
    #[serde(default)]
    pub workload: Workload,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Faults,
    /// The network.
    #[serde(default)]
    pub net: Net,
    /// What a pass is.
    #[serde(default)]
    pub expect: Expect,
    /// Bounds.
    #[serde(default)]
    pub limits: Bounds,
}

/// Settings of the member under test.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Member {
    /// Applied entries between two log truncations.
    pub snapshot_count: Span,
    /// Size of a WAL segment.
    pub wal_segment_kib: Span,
    /// Writes not yet in the backend file, at most.
    pub backend_overlay_kib: Span,
    /// Longest time between two backend commits.
    pub backend_batch_millis: Span,
    /// How fast the member's clock runs; 100 is right.
    pub clock_rate_percent: Span,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            snapshot_count: Span::Range([20, 400]),
            wal_segment_kib: Span::Range([16, 256]),
            backend_overlay_kib: Span::Range([16, 1024]),
            backend_batch_millis: Span::Range([5, 500]),
            clock_rate_percent: Span::Range([90, 110]),
        }
    }
}

/// What clients do.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// Machines that send requests.
    pub clients: Span,
    /// Machines that watch everything.
    pub watchers: Span,
    /// Keys in use.
    pub keys: Span,
    /// Bytes of a value.
    pub value_bytes: Span,
    /// Pause of a client between two requests.
    pub think_millis: Span,
    /// How often each request.
    pub mix: Mix,
    /// Simulated seconds of load.
    pub seconds: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            clients: Span::Range([2, 5]),
            watchers: Span::Range([1, 3]),
            keys: Span::Range([3, 12]),
            value_bytes: Span::Range([8, 3000]),
            think_millis: Span::Range([0, 60]),
            mix: Mix::default(),
            seconds: 30,
        }
    }
}

/// Weights of the requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Writes.
    pub put: u32,
    /// Reads.
    pub get: u32,
    /// Deletes.
    pub delete: u32,
    /// Compare-and-swap transactions.
    pub swap: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self { put: 45, get: 25, delete: 10, swap: 20 }
    }
}

/// What goes wrong, and how often in a run.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The power fails at a change of the disk.
    pub power_at_disk_op: Span,
    /// At which change after the fault was armed.
    pub disk_op: Span,
    /// The power fails between two steps of the program.
    pub power_cut: Span,
    /// The program is killed, its machine stays up.
    pub process_kill: Span,
    /// How long the machine is down after the last two.
    pub down_millis: Span,
    /// A sync of the disk fails, and the data with it; the member must halt.
    pub sync_error: Span,
    /// At which sync after the fault was armed.
    pub sync_op: Span,
    /// The disk is full for a while.
    pub disk_full: Span,
    /// Nobody reaches the member for a while.
    pub cut: Span,
    /// How long the last two last.
    pub lasting_millis: Span,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            power_at_disk_op: Span::Range([3, 7]),
            disk_op: Span::Range([0, 120]),
            power_cut: Span::Range([0, 2]),
            process_kill: Span::Range([0, 2]),
            down_millis: Span::Range([100, 3000]),
            sync_error: Span::One(0),
            sync_op: Span::Range([0, 100]),
            disk_full: Span::One(0),
            cut: Span::One(0),
            lasting_millis: Span::Range([200, 8000]),
        }
    }
}

/// The network between all machines.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Net {
    /// One way.
    pub latency_micros: Span,
    /// Segments that must be sent again.
    pub loss_percent: Span,
}

impl Default for Net {
    fn default() -> Self {
        Self { latency_micros: Span::Range([200, 3000]), loss_percent: Span::One(0) }
    }
}

/// What a pass is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The class of a violation that must be found; nothing: none may be.
    pub violation: Option<String>,
}

/// Bounds of a run.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Simulated time after which a run counts as hanging.
    pub sim_seconds: u64,
    /// Fewer acknowledged operations make a run inconclusive.
    pub acknowledged_min: u64,
    /// Fewer crashes do too.
    pub crashes_min: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { sim_seconds: 600, acknowledged_min: 40, crashes_min: 1 }
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong and where, with a suggestion for a misspelt key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| with_suggestion(&error))?;
        if scenario.version != VERSION {
            return Err(format!("version {} is not supported, use {VERSION}", scenario.version));
        }
        for (name, span) in scenario.spans() {
            let (least, most) = span.ends();
            if least > most {
                return Err(format!("{name}: [{least}, {most}] is empty"));
            }
        }
        if scenario.workload.mix == (Mix { put: 0, get: 0, delete: 0, swap: 0 }) {
            return Err("workload.mix: all weights are zero".to_owned());
        }
        scenario.check_planted()?;
        Ok(scenario)
    }

    /// Are there bugs of the names in `planted`?
    ///
    /// # Errors
    /// The first name nobody knows.
    pub fn check_planted(&self) -> Result<(), String> {
        let unknown = self.planted.iter().find(|name| Bug::named(name).is_none());
        unknown.map_or(Ok(()), |name| Err(format!("planted: there is no bug {name:?}")))
    }

    fn spans(&self) -> [(&'static str, Span); 22] {
        let Self { member, workload, faults, net, .. } = self;
        [
            ("member.snapshot_count", member.snapshot_count),
            ("member.wal_segment_kib", member.wal_segment_kib),
            ("member.backend_overlay_kib", member.backend_overlay_kib),
            ("member.backend_batch_millis", member.backend_batch_millis),
            ("workload.clients", workload.clients),
            ("workload.watchers", workload.watchers),
            ("workload.keys", workload.keys),
            ("workload.value_bytes", workload.value_bytes),
            ("workload.think_millis", workload.think_millis),
            ("faults.power_at_disk_op", faults.power_at_disk_op),
            ("faults.disk_op", faults.disk_op),
            ("faults.power_cut", faults.power_cut),
            ("faults.process_kill", faults.process_kill),
            ("faults.down_millis", faults.down_millis),
            ("faults.sync_error", faults.sync_error),
            ("faults.sync_op", faults.sync_op),
            ("faults.disk_full", faults.disk_full),
            ("faults.cut", faults.cut),
            ("faults.lasting_millis", faults.lasting_millis),
            ("member.clock_rate_percent", member.clock_rate_percent),
            ("net.latency_micros", net.latency_micros),
            ("net.loss_percent", net.loss_percent),
        ]
    }
}

/// serde names the unknown key and those it knows; the nearest of them is a fair guess.
fn with_suggestion(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    let nearest = quoted.next().and_then(|unknown| {
        quoted.map(|known| (distance(unknown, known), known)).min().filter(|(far, _)| *far <= 3)
    });
    match nearest {
        Some((_, known)) if error.message().starts_with("unknown field") => {
            format!("{text}did you mean `{known}`?")
        }
        _ => text,
    }
}

/// How many letters must change, come or go to make one word the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (place, same) in other.iter().map(|known| *known == letter).enumerate() {
            let replaced = diagonal + usize::from(!same);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: [&str; 5] = [
        include_str!("../../../scenarios/fast/power_loss.toml"),
        include_str!("../../../scenarios/fast/sync_error.toml"),
        include_str!("../../../scenarios/fast/full_disk.toml"),
        include_str!("../../../scenarios/fast/bad_network.toml"),
        include_str!("../../../scenarios/negative/ack_before_sync.toml"),
    ];

    #[test]
    fn the_scenarios_of_the_repository_are_valid() {
        for text in REPOSITORY {
            let scenario = Scenario::parse(text).expect("valid");
            let planted = !scenario.planted.is_empty();
            assert!(!planted || scenario.expect.violation.is_some(), "{}", scenario.name);
        }
    }

    fn refused(text: &str) -> String {
        Scenario::parse(&format!("version = 1\nname = \"x\"\n{text}")).expect_err("refused")
    }

    #[test]
    fn a_misspelt_key_is_refused_with_a_suggestion() {
        let error = refused("[faults]\npower_cuts = 3\n");
        assert!(error.contains("line 4"), "{error}");
        assert!(error.ends_with("did you mean `power_cut`?"), "{error}");
        assert!(!refused("[faults]\nearthquake = 3\n").contains("did you mean"));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(refused("[workload]\nkeys = [5, 2]\n").contains("workload.keys: [5, 2] is empty"));
        assert!(
            refused("[workload]\nmix = { put = 0, get = 0, delete = 0, swap = 0 }\n")
                .contains("all weights are zero")
        );
        assert!(Scenario::parse("version = 2\nname = \"x\"").is_err());
    }
}
