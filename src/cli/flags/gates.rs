//! `--feature-gates`: what etcd calls unfinished; and the switches that turned into gates.

use std::collections::BTreeMap;

use super::{FlagError, Values, parse_switch};

/// Switches that etcd 3.6 turned into feature gates, and those.
const SWITCHES: &[(&str, &str)] = &[
    ("experimental-compact-hash-check-enabled", COMPACT_HASH_CHECK),
    ("experimental-enable-lease-checkpoint", "LeaseCheckpoint"),
    ("experimental-enable-lease-checkpoint-persist", "LeaseCheckpointPersist"),
    ("experimental-initial-corrupt-check", INITIAL_CORRUPT_CHECK),
    ("experimental-stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag"),
    ("experimental-txn-mode-write-with-shared-buffer", "TxnModeWriteWithSharedBuffer"),
];

/// Compare the members now and then.
pub(super) const COMPACT_HASH_CHECK: &str = "CompactHashCheck";
/// Compare this member with the others before it serves.
pub(super) const INITIAL_CORRUPT_CHECK: &str = "InitialCorruptCheck";

/// Those that change something here. Of the others some are always on (checkpoints of leases, fast
/// renewals), and some have nothing to change (nothing stops for a defragmentation).
const EFFECTIVE: &[&str] = &[COMPACT_HASH_CHECK, INITIAL_CORRUPT_CHECK];

/// Feature gates of etcd 3.7.
const GATES: &[&str] = &[
    "AllAlpha",
    "AllBeta",
    COMPACT_HASH_CHECK,
    "FastLeaseKeepAlive",
    INITIAL_CORRUPT_CHECK,
    "LeaseCheckpoint",
    "LeaseCheckpointPersist",
    "PriorityRequest",
    "SetMemberLocalAddr",
    "StopGRPCServiceOnDefrag",
    "TxnModeWriteWithSharedBuffer",
];

/// Which gates are open, as far as anybody said.
pub(super) type Gates = BTreeMap<&'static str, bool>;

/// The gate that a switch turned into.
pub(super) fn of_switch(name: &str) -> Option<&'static str> {
    SWITCHES.iter().find(|(switch, _)| *switch == name).map(|(_, gate)| *gate)
}

impl Values {
    /// Sets a gate by the switch it once was.
    pub(super) fn set_switch(
        &mut self,
        name: &str,
        gate: &'static str,
        value: &str,
    ) -> Result<(), FlagError> {
        let Some(is_open) = parse_switch(value) else {
            let text = format!("invalid boolean value {value:?} for flag -{name}: parse error");
            return Err(FlagError::unreadable(text));
        };
        let text = format!("--{name} is deprecated, use --feature-gates={gate}={is_open}");
        self.warnings.push(text);
        self.gates.insert(gate, is_open);
        Ok(())
    }

    /// Reads `--feature-gates` on top of the switches: `A=true,B=false`.
    pub(super) fn read_gates(&mut self) -> Result<(), FlagError> {
        let text = self.text("feature-gates").to_owned();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let bad = |why: String| {
                let text = format!("invalid value {text:?} for flag -feature-gates: {why}");
                FlagError::unreadable(text)
            };
            let (name, value) = item
                .split_once('=')
                .ok_or_else(|| bad(format!("missing bool value for {item}")))?;
            let is_open = parse_switch(value.trim())
                .ok_or_else(|| bad(format!("invalid value of {name}={value}")))?;
            let gate = GATES.iter().find(|gate| **gate == name.trim());
            let gate = gate.ok_or_else(|| bad(format!("unrecognized feature gate: {name}")))?;
            self.gates.insert(gate, is_open);
            if !EFFECTIVE.contains(gate) {
                self.warnings.push(format!("the feature gate {gate} has no effect"));
            }
        }
        Ok(())
    }

    /// Whether a gate is open; none is by itself.
    pub(super) fn gate(&self, gate: &str) -> bool {
        self.gates.get(gate).copied().unwrap_or(false)
    }
}
