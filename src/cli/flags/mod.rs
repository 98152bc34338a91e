//! The daemon's flags: etcd's names, Go's syntax, `ETCD_*` variables, and a YAML file.
//!
//! Three steps: arguments, environment or file become texts by flag name (here and in `file.rs`);
//! the texts are checked against the table of flags (`table.rs`); what is used becomes settings
//! (`settings.rs`). A flag nobody knows is an error that names the closest one; a flag given twice
//! over, on the command line and in the environment, is an error as in etcd.

pub(crate) mod duration;
mod file;
mod gates;
mod settings;
mod table;

use std::collections::BTreeMap;

pub(crate) use self::settings::{Log, LogFormat, LogOutput, Settings};
use self::table::{Fate, Flag, Kind};
use super::Invocation;

/// What the command line asks of the daemon.
#[derive(Debug)]
pub(crate) enum Request {
    /// Run with these settings.
    Run(Box<Settings>),
    /// Print the version.
    Version,
    /// Print the flags.
    Help,
}

/// Why the daemon cannot start, and how to leave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FlagError {
    pub(crate) text: String,
    /// As etcd: 2 for a command line that cannot be read, 1 for one that makes no sense.
    pub(crate) exit_code: u8,
}

impl FlagError {
    fn unreadable(text: String) -> Self {
        Self { text, exit_code: 2 }
    }

    fn senseless(text: impl Into<String>) -> Self {
        Self { text: text.into(), exit_code: 1 }
    }
}

/// Texts by flag name, and what to warn about once there is a log.
#[derive(Debug, Default)]
pub(crate) struct Values {
    texts: BTreeMap<&'static str, String>,
    warnings: Vec<String>,
    gates: gates::Gates,
}

/// Edits closer than this make a suggestion (Jaro-Winkler similarity, 0 to 1).
const SIMILARITY_MIN: f64 = 0.75;

/// Variables of etcd that are not flags.
const VARIABLES: &[&str] = &["ETCD_VERIFY", "ETCD_UNSUPPORTED_ARCH"];

/// Reads arguments and environment.
///
/// # Errors
/// [`FlagError`] for the first thing wrong.
pub(crate) fn read(invocation: &Invocation) -> Result<Request, FlagError> {
    let args = invocation.args.get(1..).unwrap_or_default();
    if args.iter().any(|arg| matches!(arg.as_str(), "-h" | "-help" | "--help")) {
        return Ok(Request::Help);
    }
    let mut values = Values::default();
    values.read_args(args)?;
    if values.switch("version") {
        return Ok(Request::Version);
    }
    values.read_env(&invocation.env)?;
    if let Some(path) = values.texts.get("config-file").filter(|path| !path.is_empty()) {
        values = file::read(path)?;
    }
    values.judge()?;
    values.read_gates()?;
    Settings::from_values(values).map(|settings| Request::Run(Box::new(settings)))
}

/// The list of flags for `--help`.
pub(crate) fn help() -> String {
    let mut text = String::from("Usage: reseed [serve] [flags]\n\nFlags (etcd's, or ETCD_*):\n");
    for flag in table::all() {
        let note = match flag.fate {
            Fate::Used => "",
            Fate::Idle => "[no effect] ",
            Fate::Refused => "[refused] ",
        };
        text += &format!("  --{} '{}'\n      {note}{}\n", flag.name, flag.default, flag.help);
    }
    text
}

impl Values {
    fn read_args(&mut self, args: &[String]) -> Result<(), FlagError> {
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let bare = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'));
            let Some(bare) = bare.filter(|bare| !bare.is_empty()) else {
                let text = format!("'{arg}' is not a valid flag");
                return Err(FlagError::senseless(text));
            };
            let (name, given) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (bare, None),
            };
            if let Some(gate) = gates::of_switch(name) {
                self.set_switch(name, gate, given.as_deref().unwrap_or("true"))?;
                continue;
            }
            let flag = self.resolve(name)?;
            let value = match (given, flag.kind) {
                (Some(value), _) => value,
                (None, Kind::Switch) => "true".to_owned(),
                (None, _) => args.next().cloned().ok_or_else(|| {
                    FlagError::unreadable(format!("flag needs an argument: -{name}"))
                })?,
            };
            self.set(flag, value)?;
        }
        Ok(())
    }

    /// The flag of that name.
    fn resolve(&mut self, name: &str) -> Result<&'static Flag, FlagError> {
        let Some(flag) = table::find(name) else {
            return Err(FlagError::unreadable(unknown(name)));
        };
        if flag.name != name {
            self.warnings.push(format!("--{name} is deprecated, use --{}", flag.name));
        }
        Ok(flag)
    }

    fn read_env(&mut self, env: &BTreeMap<String, String>) -> Result<(), FlagError> {
        for (variable, value) in env {
            let Some(name) = variable.strip_prefix("ETCD_") else { continue };
            let name = name.to_ascii_lowercase().replace('_', "-");
            if let Some(gate) = gates::of_switch(&name).filter(|_| !value.is_empty()) {
                self.set_switch(&name, gate, value)?;
                continue;
            }
            let Some(flag) = table::find(&name) else {
                if !VARIABLES.contains(&variable.as_str()) {
                    let text = format!("unrecognized environment variable {variable}={value}");
                    self.warnings.push(text);
                }
                continue;
            };
            if self.texts.contains_key(flag.name) {
                return Err(FlagError::senseless(format!(
                    "conflicting environment variable {variable:?} is shadowed by corresponding \
                     command-line flag (either unset environment variable or disable flag)"
                )));
            }
            // As etcd: an empty variable is not set.
            if !value.is_empty() {
                self.set(flag, value.clone())?;
            }
        }
        Ok(())
    }

    /// Stores a value that can be read as what the flag wants.
    fn set(&mut self, flag: &'static Flag, value: String) -> Result<(), FlagError> {
        let is_readable = match flag.kind {
            Kind::Text => true,
            Kind::Switch => parse_switch(&value).is_some(),
            Kind::Number => value.parse::<i64>().is_ok(),
            Kind::Time => duration::parse(&value).is_ok(),
        };
        if !is_readable {
            let kind = if flag.kind == Kind::Switch { "boolean value" } else { "value" };
            let text = format!("invalid {kind} {value:?} for flag -{}: parse error", flag.name);
            return Err(FlagError::unreadable(text));
        }
        self.texts.insert(flag.name, value);
        Ok(())
    }

    /// Refuses or warns of what is set and not supported.
    fn judge(&mut self) -> Result<(), FlagError> {
        for (name, value) in &self.texts {
            let flag = table::find(name).expect("only known flags are stored");
            let is_default = match flag.kind {
                Kind::Switch => parse_switch(value) == parse_switch(flag.default),
                Kind::Time => duration::parse(value) == duration::parse(flag.default),
                Kind::Text | Kind::Number => value == flag.default,
            };
            match flag.fate {
                Fate::Used => {}
                _ if is_default => {}
                Fate::Idle => {
                    self.warnings.push(format!("--{name}={value} has no effect: {}", flag.help));
                }
                Fate::Refused => {
                    let text = format!("--{name}={value} is refused: {}", flag.help);
                    return Err(FlagError::senseless(text));
                }
            }
        }
        Ok(())
    }

    fn is_set(&self, name: &str) -> bool {
        self.texts.contains_key(name)
    }

    /// The value of a flag, or its default.
    fn text(&self, name: &'static str) -> &str {
        let default = || table::find(name).map(|flag| flag.default).expect("a flag of the table");
        self.texts.get(name).map_or_else(default, String::as_str)
    }

    fn switch(&self, name: &'static str) -> bool {
        parse_switch(self.text(name)).expect("checked when it was set")
    }

    fn number(&self, name: &'static str) -> i64 {
        self.text(name).parse().expect("checked when it was set")
    }

    fn time(&self, name: &'static str) -> std::time::Duration {
        duration::parse(self.text(name)).expect("checked when it was set")
    }
}

/// What Go's flag package takes for a boolean.
fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn unknown(name: &str) -> String {
    let text = format!("flag provided but not defined: -{name}");
    let closest = table::all()
        .map(|flag| (strsim::jaro_winkler(name, flag.name), flag.name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN);
    match closest {
        Some((_, closest)) => format!("{text}\n  did you mean --{closest}?"),
        None => text,
    }
}

#[cfg(test)]
mod tests;
