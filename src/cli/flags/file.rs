//! `--config-file`: the flags as YAML keys, as in etcd's `etcd.conf.yml.sample`.
//!
//! Durations may be whole numbers of nanoseconds, as etcd wants them, or Go durations. TLS
//! settings sit in blocks whose keys are flag names with or without a prefix. A key that is not
//! known is warned of, not refused: etcd reads such files too.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    FlagError, Values, gates,
    table::{self, Kind},
};

/// Blocks, and what their keys are prefixed with to be flags.
const BLOCKS: &[(&str, &str)] = &[
    ("client-transport-security", ""),
    ("peer-transport-security", "peer-"),
    ("discovery-config", "discovery-"),
    ("socket-options", "socket-"),
];

pub(super) fn read(path: &str) -> Result<Values, FlagError> {
    let bad = |why: String| FlagError::senseless(format!("error reading {path}: {why}"));
    #[expect(clippy::disallowed_methods, reason = "a file of the operator's, not of the store's")]
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
    parse(&text).map_err(|error| bad(error.text))
}

fn parse(text: &str) -> Result<Values, FlagError> {
    let keys: BTreeMap<String, Value> = match text.trim() {
        "" => BTreeMap::new(),
        text => {
            serde_saphyr::from_str(text).map_err(|error| FlagError::senseless(error.to_string()))?
        }
    };
    let mut values = Values::default();
    for (key, value) in keys {
        match (BLOCKS.iter().find(|(block, _)| *block == key), value) {
            (Some((_, prefix)), Value::Object(block)) => {
                for (key, value) in block {
                    let name = match key.starts_with("client-") && !prefix.is_empty() {
                        true => format!("{prefix}{key}"),
                        false => format!("{prefix}{}", key.trim_start_matches(prefix)),
                    };
                    values.set_key(&name, value)?;
                }
            }
            (_, value) => values.set_key(&key, value)?,
        }
    }
    Ok(values)
}

impl Values {
    fn set_key(&mut self, key: &str, value: Value) -> Result<(), FlagError> {
        if let Some(gate) = gates::of_switch(key) {
            return self.set_switch(key, gate, &plain(&value));
        }
        let Some(flag) = table::find(key) else {
            self.warnings.push(format!("unknown key {key} in the configuration file"));
            return Ok(());
        };
        let text = match (value, flag.kind) {
            (Value::Null, _) => return Ok(()),
            (Value::Number(nanos), Kind::Time) => format!("{nanos}ns"),
            (Value::String(text), _) => text,
            (Value::Array(items), _) => items.iter().map(plain).collect::<Vec<_>>().join(","),
            (other, _) => plain(&other),
        };
        match text.is_empty() && flag.kind != Kind::Text {
            true => Ok(()),
            false => self.set(flag, text),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_flags_by_name() {
        let text = "name: m1\nsnapshot-count: 5000\npre-vote: false\nadvertise-client-urls:\n\
                    compaction-sleep-interval: 20000000\nlog-outputs: [stderr]\nbogus: 1\n\
                    warning-apply-duration: 2s\nclient-transport-security:\n  cert-file: a.pem\n\
                    peer-transport-security:\n  cert-file: b.pem\n  client-cert-auth: true\n";
        let values = parse(text).expect("well-formed");
        assert_eq!(values.text("name"), "m1");
        assert_eq!(values.number("snapshot-count"), 5000);
        assert!(!values.switch("pre-vote"));
        assert_eq!(values.time("compaction-sleep-interval").as_millis(), 20);
        assert_eq!(values.time("warning-apply-duration").as_secs(), 2);
        assert_eq!(values.text("log-outputs"), "stderr");
        assert_eq!(values.text("cert-file"), "a.pem");
        assert_eq!(values.text("peer-cert-file"), "b.pem");
        assert!(values.switch("peer-client-cert-auth"));
        assert!(!values.is_set("advertise-client-urls"));
        assert_eq!(values.warnings.len(), 1);
    }

    #[test]
    fn a_file_that_is_no_mapping_is_refused() {
        assert!(parse("- a\n- b\n").is_err());
        assert!(parse("name: [").is_err());
        assert!(parse("").is_ok());
    }
}
