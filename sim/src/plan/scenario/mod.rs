//! A scenario file: what kind of run, with ranges where the seed shall choose.
//!
//! TOML, strict: a word nobody knows is an error with a suggestion, because a misspelt fault is a
//! test that never was. What is left out has the default of its table in `sections` and `how`.
//! `scenarios/schema.json` says the same to editors.

mod how;
mod schema;
mod sections;
pub mod span;
mod suggest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use how::How;
pub use schema::schema;
pub use sections::{Clocks, Disk, Knobs, Load, Net};
pub(crate) use sections::{DrawnKnobs, DrawnLoad, DrawnNet};
pub use span::Span;
pub(crate) use suggest::{check_bugs, refusal};

use super::{Expect, Fault, FaultKind, Limits, Role, fault::EFFECTS, units::one};
use crate::check::classes;

/// The one format there is.
const VERSION: u32 = 2;
/// More faults of a kind in one run make no sense.
const TIMES_MAX: i64 = 1000;
/// Members of a cluster, at most: etcd recommends no more.
const MEMBERS_MAX: u32 = 7;

/// What a run is made of.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Of the format: 2.
    pub version: u32,
    /// For reports.
    pub name: String,
    /// Bugs on purpose, by name.
    #[serde(default)]
    pub planted: Vec<String>,
    /// How many members the cluster has.
    #[serde(default = "one")]
    pub members: u32,
    /// How many of them found it; the others are idle until they are added. Nothing: all.
    #[serde(default)]
    pub founders: Option<Span>,
    /// What each seed leaves out.
    #[serde(default)]
    pub swarm: Swarm,
    /// Settings of the server.
    #[serde(default)]
    pub knobs: Knobs,
    /// Clocks of the members.
    #[serde(default)]
    pub clock: Clocks,
    /// What all clients share.
    #[serde(default)]
    pub load: Load,
    /// What clients do: weights of the roles. Nothing: one register and one watcher in three.
    #[serde(default)]
    pub roles: BTreeMap<Role, u32>,
    /// The network between all machines.
    #[serde(default)]
    pub net: Net,
    /// The disks of all members.
    #[serde(default)]
    pub disk: Disk,
    /// What goes wrong, by kind: how often in a run. Nothing: nothing.
    #[serde(default)]
    #[schemars(with = "schema::FaultCounts")]
    pub faults: BTreeMap<String, Span>,
    /// How it goes wrong.
    #[serde(default)]
    pub how: How,
    /// Faults at times of their own, as in a plan.
    #[serde(default)]
    #[schemars(with = "Vec<schema::ExplicitFault>")]
    pub fault: Vec<Fault>,
    /// What a pass is.
    #[serde(default)]
    pub expect: Expect,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// Swarm testing: what a seed leaves out altogether, it can do without; runs that leave out
/// different things find more than runs that are all alike.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Swarm {
    /// Chance of each role and each kind of fault to be left out, and of each setting to be as
    /// usual, in percent.
    pub omit_percent: i64,
    /// Chance that points of `rt::buggify` are armed, in percent.
    pub buggify_percent: i64,
}

impl Default for Swarm {
    fn default() -> Self {
        Self { omit_percent: 0, buggify_percent: 50 }
    }
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// What is wrong and where, with a suggestion for a misspelt word.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| suggest::with_suggestion(&error))?;
        match scenario.complaint() {
            Some(why) => Err(why),
            None => scenario.explicit_faults_are_whole(text).map(|()| scenario),
        }
    }

    /// Are there bugs of the names in `planted`?
    ///
    /// # Errors
    /// The first name nobody knows.
    pub fn check_planted(&self) -> Result<(), String> {
        check_bugs(&self.planted)
    }

    /// What makes no sense about it.
    fn complaint(&self) -> Option<String> {
        if self.version != VERSION {
            return Some(format!("version {} is not supported, use {VERSION}", self.version));
        }
        if !(1..=MEMBERS_MAX).contains(&self.members) {
            return Some(format!("members: {} is not within 1 to {MEMBERS_MAX}", self.members));
        }
        let founders = self.founders.and_then(|span| span.complaint(1, self.members.into()));
        if let Some(why) = founders {
            return Some(format!("founders: {why}"));
        }
        for (name, percent) in [
            ("swarm.omit_percent", self.swarm.omit_percent),
            ("swarm.buggify_percent", self.swarm.buggify_percent),
        ] {
            if !(0..=100).contains(&percent) {
                return Some(format!("{name}: {percent} is not within 0 to 100"));
            }
        }
        if !self.roles.is_empty() && self.roles.values().all(|weight| *weight == 0) {
            return Some("roles: all weights are zero".to_owned());
        }
        let sections = [
            self.knobs.complaint(),
            self.clock.complaint(),
            self.load.complaint(),
            self.net.complaint(),
            self.disk.complaint(),
            self.how.complaint(),
        ];
        let section = sections.into_iter().flatten().next();
        let section = section.or_else(|| self.fault_complaint());
        section.or_else(|| self.check_planted().err()).or_else(|| self.expect_complaint())
    }

    /// What is expected of a class nobody knows never comes.
    fn expect_complaint(&self) -> Option<String> {
        let expected = self.expect.violation.as_deref()?;
        let unknown = !classes::all().any(|class| class == expected);
        unknown.then(|| format!("expect.violation: {}", refusal("class", expected, classes::all())))
    }

    fn fault_complaint(&self) -> Option<String> {
        for (name, times) in &self.faults {
            if !FaultKind::NAMES.contains(&name.as_str()) {
                return Some(format!("faults: {}", refusal("fault", name, FaultKind::NAMES)));
            }
            if let Some(why) = times.complaint(0, TIMES_MAX) {
                return Some(format!("faults.{name}: {why}"));
            }
        }
        let known = || FaultKind::NAMES.into_iter().chain(EFFECTS);
        let unknown = self.limits.fired.keys().find(|name| !known().any(|known| known == **name));
        unknown.map(|name| format!("limits.fired: {}", refusal("fault", name, known())))
    }

    /// serde ignores what a flattened table does not know; what does not come back is unknown.
    fn explicit_faults_are_whole(&self, text: &str) -> Result<(), String> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            fault: Vec<toml::Table>,
        }
        let raw: Raw = toml::from_str(text).map_err(|error| error.to_string())?;
        for (fault, written) in self.fault.iter().zip(raw.fault) {
            let known = toml::Table::try_from(fault).map_err(|error| error.to_string())?;
            let unknown = written.keys().find(|key| !known.contains_key(*key));
            if let Some(key) = unknown {
                let known = known.keys().map(String::as_str);
                return Err(format!("fault: {}", refusal("key", key, known)));
            }
        }
        Ok(())
    }
}
