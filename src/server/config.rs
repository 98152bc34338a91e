//! Every setting of one member, validated once.
//!
//! Flags, environment and files are the CLI's business (`src/cli/flags.rs`); here is what they end
//! up as, with etcd's defaults, and the one place that says which combinations make sense. Nothing
//! below this module has a default of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use reseed_core::limits::{Limits, QUOTA_BYTES_DEFAULT};

/// How old revisions are compacted without anybody asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Never.
    #[default]
    Off,
    /// Keep what was current within this time.
    Periodic(Duration),
    /// Keep this many revisions, looked at every five minutes.
    Revision(i64),
}

/// What a member without a data directory is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialClusterState {
    /// A cluster that begins with it.
    #[default]
    New,
    /// A cluster that runs and has added it.
    Existing,
}

/// One member of the initial cluster: its name and where peers reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialMember {
    /// `--name` of that member.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
}

/// Settings of one member; the field names are etcd's flags.
#[derive(Clone, Debug)]
pub struct Config {
    /// Human-readable name, the key into `initial_cluster`.
    pub name: String,
    /// Everything this member keeps.
    pub data_dir: PathBuf,
    /// `http://host:port` each; gRPC and plain HTTP share the port.
    pub listen_client_urls: Vec<String>,
    /// What `MemberList` tells clients.
    pub advertise_client_urls: Vec<String>,
    /// Extra listeners for `/metrics`, `/health`, `/livez`, `/readyz` only.
    pub listen_metrics_urls: Vec<String>,
    /// `http://host:port` each, where this member listens for its peers.
    pub listen_peer_urls: Vec<String>,
    /// Where peers reach this member; together with the token they make its id.
    pub initial_advertise_peer_urls: Vec<String>,
    /// The members at bootstrap, this one among them.
    pub initial_cluster: Vec<InitialMember>,
    /// Whether those members make a cluster or run one.
    pub initial_cluster_state: InitialClusterState,
    /// Salts member and cluster ids.
    pub initial_cluster_token: String,
    /// Begin as the only member of a cluster, with what is in the data directory: for disasters.
    pub force_new_cluster: bool,
    /// Refuse changes of the membership that would leave too few running members.
    pub strict_reconfig_check: bool,
    /// Most learners.
    pub max_learners: u32,
    /// One raft tick.
    pub heartbeat_interval: Duration,
    /// Time without a leader before an election; at least five heartbeats, at most 50 s.
    pub election_timeout: Duration,
    /// Ask before campaigning, so that a returning member does not depose a leader.
    pub pre_vote: bool,
    /// Applied entries between two log truncations.
    pub snapshot_count: u64,
    /// Applied entries kept in the log for slow followers.
    pub snapshot_catchup_entries: u64,
    /// Bytes of one WAL segment.
    pub wal_segment_bytes: u64,
    /// Bytes of backend above which writes are refused; `None` = no limit.
    pub quota_backend_bytes: Option<u64>,
    /// Largest proposal, in bytes.
    pub max_request_bytes: usize,
    /// Most operations of a transaction.
    pub max_txn_ops: usize,
    /// Most concurrent streams of one connection.
    pub max_concurrent_streams: u32,
    /// Compaction without being asked.
    pub auto_compaction: AutoCompaction,
    /// Time between two comparisons of all members' data; `None`: never.
    pub corrupt_check_time: Option<Duration>,
    /// Compare this member's data with the others' before it serves.
    pub initial_corrupt_check: bool,
    /// Keys looked at in one step of physical compaction.
    pub compaction_batch_limit: usize,
    /// Pause between two such steps.
    pub compaction_sleep_interval: Duration,
    /// Longest time a write stays out of the backend file (it is in the WAL at once).
    pub backend_batch_interval: Duration,
    /// Bytes of redb's page cache.
    pub backend_cache_bytes: usize,
    /// Bytes of writes not yet in the backend file above which apply waits.
    pub backend_overlay_bytes_max: usize,
    /// Time between progress notifications of an idle watcher that asked for them.
    pub watch_progress_notify_interval: Duration,
    /// Server-side HTTP/2 ping interval.
    pub grpc_keepalive_interval: Duration,
    /// Time to answer such a ping.
    pub grpc_keepalive_timeout: Duration,
    /// Requests slower than this are logged.
    pub warning_unary_request_duration: Duration,
    /// Applies slower than this are logged.
    pub warning_apply_duration: Duration,
    /// Skip `fsync`: fast, and loses acknowledged writes at power loss. For tests only.
    pub unsafe_no_fsync: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "default".into(),
            data_dir: "default.reseed".into(),
            listen_client_urls: vec!["http://localhost:2379".into()],
            advertise_client_urls: vec!["http://localhost:2379".into()],
            listen_metrics_urls: Vec::new(),
            listen_peer_urls: vec!["http://localhost:2380".into()],
            initial_advertise_peer_urls: vec!["http://localhost:2380".into()],
            initial_cluster: vec![InitialMember {
                name: "default".into(),
                peer_urls: vec!["http://localhost:2380".into()],
            }],
            initial_cluster_state: InitialClusterState::New,
            initial_cluster_token: "etcd-cluster".into(),
            force_new_cluster: false,
            strict_reconfig_check: true,
            max_learners: 1,
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(1000),
            pre_vote: true,
            snapshot_count: 10_000,
            snapshot_catchup_entries: 5_000,
            wal_segment_bytes: 64_000_000,
            quota_backend_bytes: Some(QUOTA_BYTES_DEFAULT),
            max_request_bytes: Limits::default().request_bytes_max,
            max_txn_ops: Limits::default().txn_ops_max,
            max_concurrent_streams: u32::MAX,
            auto_compaction: AutoCompaction::Off,
            corrupt_check_time: None,
            initial_corrupt_check: false,
            compaction_batch_limit: 1000,
            compaction_sleep_interval: Duration::from_millis(10),
            backend_batch_interval: Duration::from_secs(2),
            backend_cache_bytes: 64 << 20,
            backend_overlay_bytes_max: 32 << 20,
            watch_progress_notify_interval: Duration::from_secs(600),
            grpc_keepalive_interval: Duration::from_secs(2 * 3600),
            grpc_keepalive_timeout: Duration::from_secs(20),
            warning_unary_request_duration: Duration::from_millis(300),
            warning_apply_duration: Duration::from_millis(100),
            unsafe_no_fsync: false,
        }
    }
}

/// A setting that cannot work, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl Config {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// The first setting that cannot work, named by its flag.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |text: String| Err(ConfigError(text));
        if self.heartbeat_interval.is_zero() {
            return refuse("--heartbeat-interval must be >0 (set to 0ms)".into());
        }
        if self.election_timeout < self.heartbeat_interval * 5 {
            return refuse(format!(
                "--election-timeout[{}ms] should be at least as 5 times as \
                 --heartbeat-interval[{}ms]",
                self.election_timeout.as_millis(),
                self.heartbeat_interval.as_millis()
            ));
        }
        if self.election_timeout > Duration::from_millis(50_000) {
            return refuse(format!(
                "--election-timeout[{}ms] is too long, and should be set less than 50000ms",
                self.election_timeout.as_millis()
            ));
        }
        if self.listen_client_urls.is_empty() {
            return refuse("--listen-client-urls must name at least one URL".into());
        }
        if self.listen_peer_urls.is_empty() {
            return refuse("--listen-peer-urls must name at least one URL".into());
        }
        if self.advertise_client_urls.is_empty() {
            return refuse(
                "--advertise-client-urls is required when --listen-client-urls is set explicitly"
                    .into(),
            );
        }
        for url in self
            .listen_client_urls
            .iter()
            .chain(&self.listen_peer_urls)
            .chain(&self.listen_metrics_urls)
        {
            listen_address(url)?;
        }
        let Some(me) = self.initial_cluster.iter().find(|m| m.name == self.name) else {
            return refuse(format!(
                "couldn't find local name \"{}\" in the initial cluster configuration",
                self.name
            ));
        };
        let sorted = |urls: &[String]| {
            let mut urls = urls.to_vec();
            urls.sort();
            urls
        };
        if sorted(&me.peer_urls) != sorted(&self.initial_advertise_peer_urls) {
            return refuse(format!(
                "--initial-cluster has {} but missing from --initial-advertise-peer-urls={}",
                me.peer_urls.join(","),
                self.initial_advertise_peer_urls.join(",")
            ));
        }
        self.validate_peer_urls()
    }

    /// Members have different names, and no two share a peer URL.
    fn validate_peer_urls(&self) -> Result<(), ConfigError> {
        let mut names = BTreeSet::new();
        let mut urls = BTreeSet::new();
        for member in &self.initial_cluster {
            if !names.insert(&member.name) {
                let name = &member.name;
                return Err(ConfigError(format!("--initial-cluster names {name:?} twice")));
            }
            for url in &member.peer_urls {
                listen_address(url)?;
                if !urls.insert(url) {
                    let name = &member.name;
                    return Err(ConfigError(format!(
                        "member {name:?} has the peer URL {url}, which is another's too"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Election timeout in ticks of the heartbeat interval.
    pub(crate) fn election_ticks(&self) -> usize {
        let ticks = self.election_timeout.as_millis() / self.heartbeat_interval.as_millis().max(1);
        usize::try_from(ticks).unwrap_or(usize::MAX).max(2)
    }

    /// The bounds that requests are checked against.
    pub(crate) fn limits(&self) -> Limits {
        // etcd: ceil(3 × election ticks / 2 × heartbeat), in whole seconds.
        let shortest = self.election_timeout * 3 / 2;
        let lease_secs_min = shortest.as_secs() + u64::from(shortest.subsec_nanos() > 0);
        Limits {
            request_bytes_max: self.max_request_bytes,
            txn_ops_max: self.max_txn_ops,
            lease_ttl_secs_min: i64::try_from(lease_secs_min).unwrap_or(i64::MAX),
        }
    }

    /// How long a proposal or a linearizable read may take: etcd's 5 s + 2 × election timeout.
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + self.election_timeout * 2
    }
}

/// `host:port` of a listen URL.
///
/// # Errors
/// The URL is not `http://host:port`.
pub(crate) fn listen_address(url: &str) -> Result<String, ConfigError> {
    let Some(rest) = url.strip_prefix("http://") else {
        let why = if url.starts_with("https://") {
            "TLS is not supported by this version"
        } else {
            "URL scheme must be http"
        };
        return Err(ConfigError(format!("{why}: {url}")));
    };
    let address = rest.trim_end_matches('/');
    let port_is_number = address
        .rsplit_once(':')
        .is_some_and(|(host, p)| !host.is_empty() && p.parse::<u16>().is_ok());
    if !port_is_number || address.contains('/') {
        return Err(ConfigError(format!("URL must be http://host:port: {url}")));
    }
    Ok(address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn settings_that_cannot_work_name_their_flag() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate().expect_err("must be refused").0
        };
        assert!(refused(|c| c.election_timeout = Duration::from_millis(400)).contains("at least"));
        assert!(refused(|c| c.election_timeout = Duration::from_secs(51)).contains("too long"));
        assert!(refused(|c| c.listen_client_urls = vec!["https://a:1".into()]).contains("TLS"));
        assert!(refused(|c| c.listen_client_urls = vec!["http://a".into()]).contains("host:port"));
        assert!(refused(|c| c.name = "other".into()).contains("local name \"other\""));
    }
}
