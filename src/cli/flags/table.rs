//! Every server flag of etcd 3.7, and what becomes of it here.
//!
//! One row per flag. A flag of a later release of reseed is listed too, so that no script fails
//! on its name: if leaving it out is harmless it has no effect and says so when set; if it would
//! be unsafe (TLS, another bootstrap method) it is refused.

/// How a flag's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything.
    Text,
    /// `true` or `false`; alone it is `true`.
    Switch,
    /// A whole number.
    Number,
    /// A Go duration.
    Time,
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is a setting (`settings.rs`).
    Used,
    /// Accepted; a warning if it is not at its default.
    Idle,
    /// Only its default is accepted.
    Refused,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    pub(crate) fate: Fate,
    /// What it does, or why it does not.
    pub(crate) help: &'static str,
}

const NO_TLS: &str = "TLS is not supported yet";
const NO_PEERS: &str = "nothing to do while a cluster is one member";
const SILENCE: &str = "a silent peer is connected to anew after three election timeouts";
const NO_DISCOVERY: &str = "discovery is not supported yet";
const NO_AUTH: &str = "authentication is not supported yet";
const NO_TRACING: &str = "distributed tracing is not supported yet";
const OTHER_ENGINE: &str = "a setting of etcd's storage engine";

const fn used(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, fate: Fate::Used, help }
}

const fn idle(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, fate: Fate::Idle, help }
}

const fn refused(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Flag {
    Flag { name, kind, default, fate: Fate::Refused, help }
}

use Kind::{Number, Switch, Text, Time};

const MEMBER: &[Flag] = &[
    used("name", Text, "default", "human-readable name of this member"),
    used("data-dir", Text, "", "directory of everything it keeps; default: NAME.reseed"),
    refused("wal-dir", Text, "", "the log lives in the data directory"),
    used("snapshot-count", Number, "10000", "applied entries between two log truncations"),
    used("heartbeat-interval", Number, "100", "milliseconds of a raft tick"),
    used("election-timeout", Number, "1000", "milliseconds without a leader before an election"),
    idle("initial-election-tick-advance", Switch, "true", NO_PEERS),
    used("listen-peer-urls", Text, "http://localhost:2380", "where to serve other members"),
    used("listen-client-urls", Text, "http://localhost:2379", "where to serve clients"),
    refused("listen-client-http-urls", Text, "", "gRPC and HTTP share their listeners"),
    idle("max-snapshots", Number, "5", "there is one snapshot, the backend itself"),
    idle("max-wals", Number, "5", "log segments go as soon as nothing needs them"),
    idle("memory-mlock", Switch, "false", "memory is not locked"),
    used("quota-backend-bytes", Number, "0", "refuse writes above; 0: 2 GiB, negative: no limit"),
    idle("backend-bbolt-freelist-type", Text, "map", OTHER_ENGINE),
    used(
        "backend-batch-interval",
        Time,
        "0s",
        "longest time a write stays out of the backend file",
    ),
    idle("backend-batch-limit", Number, "0", OTHER_ENGINE),
    used("max-txn-ops", Number, "128", "most operations of a transaction"),
    used("max-request-bytes", Number, "1572864", "largest request"),
    used("max-concurrent-streams", Number, "4294967295", "most requests at once on a connection"),
    idle("grpc-keepalive-min-time", Time, "5s", "pings of clients are not policed"),
    used("grpc-keepalive-interval", Time, "2h", "time between pings of a silent client"),
    used("grpc-keepalive-timeout", Time, "20s", "time a client has to answer a ping"),
    idle("socket-reuse-port", Switch, "false", "a port has one owner"),
    idle("socket-reuse-address", Switch, "false", "the system's default holds"),
    idle("enable-grpc-gateway", Switch, "true", "the JSON gateway is not there yet"),
    idle("raft-read-timeout", Time, "5s", SILENCE),
    idle("raft-write-timeout", Time, "5s", SILENCE),
    used("feature-gates", Text, "", "InitialCorruptCheck=true, CompactHashCheck=true; others idle"),
];

const CLUSTERING: &[Flag] = &[
    used("initial-advertise-peer-urls", Text, "http://localhost:2380", "makes this member's id"),
    used("initial-cluster", Text, "", "NAME=URL of the members; default: this one"),
    used("initial-cluster-state", Text, "new", "new, or existing to join a running cluster"),
    used("initial-cluster-token", Text, "etcd-cluster", "makes this cluster's id"),
    used("advertise-client-urls", Text, "http://localhost:2379", "what MemberList tells clients"),
    refused("discovery-token", Text, "", NO_DISCOVERY),
    refused("discovery-endpoints", Text, "", NO_DISCOVERY),
    idle("discovery-dial-timeout", Time, "2s", NO_DISCOVERY),
    idle("discovery-request-timeout", Time, "5s", NO_DISCOVERY),
    idle("discovery-keepalive-time", Time, "2s", NO_DISCOVERY),
    idle("discovery-keepalive-timeout", Time, "6s", NO_DISCOVERY),
    idle("discovery-insecure-transport", Switch, "true", NO_DISCOVERY),
    idle("discovery-insecure-skip-tls-verify", Switch, "false", NO_DISCOVERY),
    refused("discovery-cert", Text, "", NO_DISCOVERY),
    refused("discovery-key", Text, "", NO_DISCOVERY),
    refused("discovery-cacert", Text, "", NO_DISCOVERY),
    refused("discovery-user", Text, "", NO_DISCOVERY),
    refused("discovery-password", Text, "", NO_DISCOVERY),
    idle("discovery-fallback", Text, "exit", NO_DISCOVERY),
    refused("discovery-srv", Text, "", NO_DISCOVERY),
    refused("discovery-srv-name", Text, "", NO_DISCOVERY),
    used("strict-reconfig-check", Switch, "true", "refuse changes that risk the quorum"),
    used("pre-vote", Switch, "true", "ask before campaigning"),
    used("auto-compaction-retention", Text, "0", "history to keep; 0: all, until asked"),
    used("auto-compaction-mode", Text, "periodic", "periodic (a time) or revision (a count)"),
    idle("v2-deprecation", Text, "write-only", "there is no v2 store"),
];

const SECURITY: &[Flag] = &[
    refused("cert-file", Text, "", NO_TLS),
    refused("key-file", Text, "", NO_TLS),
    refused("client-cert-file", Text, "", NO_TLS),
    refused("client-key-file", Text, "", NO_TLS),
    refused("client-cert-auth", Switch, "false", NO_TLS),
    refused("client-crl-file", Text, "", NO_TLS),
    refused("client-cert-allowed-hostname", Text, "", NO_TLS),
    refused("trusted-ca-file", Text, "", NO_TLS),
    refused("auto-tls", Switch, "false", NO_TLS),
    refused("peer-cert-file", Text, "", NO_TLS),
    refused("peer-key-file", Text, "", NO_TLS),
    refused("peer-client-cert-auth", Switch, "false", NO_TLS),
    refused("peer-client-cert-file", Text, "", NO_TLS),
    refused("peer-client-key-file", Text, "", NO_TLS),
    refused("peer-trusted-ca-file", Text, "", NO_TLS),
    refused("peer-cert-allowed-cn", Text, "", NO_TLS),
    refused("peer-cert-allowed-hostname", Text, "", NO_TLS),
    refused("peer-auto-tls", Switch, "false", NO_TLS),
    idle("self-signed-cert-validity", Number, "1", NO_TLS),
    refused("peer-crl-file", Text, "", NO_TLS),
    idle("peer-skip-client-san-verification", Switch, "false", NO_TLS),
    refused("cipher-suites", Text, "", NO_TLS),
    idle("tls-min-version", Text, "TLS1.2", NO_TLS),
    refused("tls-max-version", Text, "", NO_TLS),
    idle("cors", Text, "*", "there is no JSON gateway for browsers to reach"),
    refused("host-whitelist", Text, "*", "requests are served whatever host they name"),
];

const REST: &[Flag] = &[
    refused("auth-token", Text, "simple", NO_AUTH),
    idle("bcrypt-cost", Number, "10", NO_AUTH),
    idle("auth-token-ttl", Number, "300", NO_AUTH),
    idle("enable-pprof", Switch, "false", "there is no Go profiler"),
    idle("metrics", Text, "basic", "there is one set of metrics"),
    used("listen-metrics-urls", Text, "", "more listeners for metrics and health only"),
    used("logger", Text, "zap", "zap is the only one"),
    used("log-outputs", Text, "default", "default, stderr or stdout"),
    used("log-level", Text, "info", "debug, info, warn, error, panic or fatal"),
    used("log-format", Text, "json", "json or console"),
    refused("enable-log-rotation", Switch, "false", "logs go to a stream, not to a file"),
    idle(
        "log-rotation-config-json",
        Text,
        r#"{"maxsize":100,"maxage":0,"maxbackups":0,"localtime":false,"compress":false}"#,
        "logs go to a stream, not to a file",
    ),
    used("warning-unary-request-duration", Time, "300ms", "slower requests are logged"),
    idle("enable-distributed-tracing", Switch, "false", NO_TRACING),
    idle("distributed-tracing-address", Text, "localhost:4317", NO_TRACING),
    idle("distributed-tracing-service-name", Text, "etcd", NO_TRACING),
    idle("distributed-tracing-instance-id", Text, "", NO_TRACING),
    idle("distributed-tracing-sampling-rate", Number, "0", NO_TRACING),
    used("corrupt-check-time", Time, "0s", "time between comparisons of the members; 0: never"),
    used("compact-hash-check-time", Time, "1m", "the same, with the gate CompactHashCheck"),
    used("compaction-batch-limit", Number, "1000", "keys of one step of physical compaction"),
    used("compaction-sleep-interval", Time, "10ms", "pause between two such steps"),
    used("watch-progress-notify-interval", Time, "10m", "time between notifications of progress"),
    used("warning-apply-duration", Time, "100ms", "slower applies are logged"),
    idle("bootstrap-defrag-threshold-megabytes", Number, "0", OTHER_ENGINE),
    used("max-learners", Number, "1", "most members that learn and do not vote"),
    idle("downgrade-check-time", Time, "5s", NO_PEERS),
    used("snapshot-catchup-entries", Number, "5000", "entries kept in the log for slow followers"),
    used("force-new-cluster", Switch, "false", "go on as the only member: for disasters"),
    used("unsafe-no-fsync", Switch, "false", "lose acknowledged writes at power loss; for tests"),
    used("config-file", Text, "", "YAML file; all other flags and ETCD_* are then ignored"),
    used("version", Switch, "false", "print the version and exit"),
];

/// All flags, in etcd's order.
pub(crate) fn all() -> impl Iterator<Item = &'static Flag> {
    [MEMBER, CLUSTERING, SECURITY, REST].into_iter().flatten()
}

/// The flag of that name. `experimental-X`, as etcd spelled it up to 3.6, is `X`.
pub(crate) fn find(name: &str) -> Option<&'static Flag> {
    let name = name.strip_prefix("experimental-").unwrap_or(name);
    all().find(|flag| flag.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_of_etcd_is_known_once() {
        let mut names: Vec<_> = all().map(|flag| flag.name).collect();
        assert_eq!(names.len(), 113, "etcd 3.7 has 113 flags");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 113, "a flag is listed twice");
    }
}
