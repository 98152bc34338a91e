//! From checked texts to the settings of a member.

use std::{path::PathBuf, time::Duration};

use reseed_server::{AutoCompaction, Config, InitialClusterState, InitialMember};

use super::gates::{COMPACT_HASH_CHECK, INITIAL_CORRUPT_CHECK};
use super::{FlagError, Values, duration};

/// Above this, etcd warns that large requests hurt (10 MiB).
const REQUEST_BYTES_WARNED: i64 = 10 * 1024 * 1024;
/// Above this, etcd warns that the database may be too large (8 GiB).
const QUOTA_BYTES_WARNED: i64 = 8 * 1024 * 1024 * 1024;

/// Everything the daemon needs to start.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) log: Log,
    /// What to say once there is a log.
    pub(crate) warnings: Vec<String>,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) level: tracing::Level,
    pub(crate) format: LogFormat,
    pub(crate) output: LogOutput,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// As zap's production encoder.
    Json,
    /// As zap's console encoder.
    Console,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
}

impl Settings {
    pub(super) fn from_values(mut values: Values) -> Result<Self, FlagError> {
        let log = log_of(&values)?;
        let config = config_of(&values)?;
        config.validate().map_err(|error| FlagError::senseless(error.to_string()))?;
        values.warn_of_risks(&config);
        Ok(Self { config, log, warnings: values.warnings })
    }
}

fn config_of(values: &Values) -> Result<Config, FlagError> {
    if values.is_set("listen-client-urls") && !values.is_set("advertise-client-urls") {
        return Err(FlagError::senseless(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ));
    }
    let name = values.text("name").to_owned();
    let data_dir = match values.text("data-dir") {
        "" => PathBuf::from(format!("{name}.reseed")),
        path => PathBuf::from(path),
    };
    let peer_urls = list(values.text("initial-advertise-peer-urls"));
    let defaults = Config::default();
    Ok(Config {
        initial_cluster: initial_cluster(values, &name, &peer_urls)?,
        name,
        data_dir,
        listen_client_urls: list(values.text("listen-client-urls")),
        advertise_client_urls: list(values.text("advertise-client-urls")),
        listen_metrics_urls: list(values.text("listen-metrics-urls")),
        listen_peer_urls: list(values.text("listen-peer-urls")),
        initial_advertise_peer_urls: peer_urls,
        initial_cluster_state: initial_cluster_state(values)?,
        force_new_cluster: values.switch("force-new-cluster"),
        strict_reconfig_check: values.switch("strict-reconfig-check"),
        max_learners: count(values, "max-learners")?,
        initial_cluster_token: values.text("initial-cluster-token").to_owned(),
        heartbeat_interval: Duration::from_millis(count(values, "heartbeat-interval")?),
        election_timeout: Duration::from_millis(count(values, "election-timeout")?),
        pre_vote: values.switch("pre-vote"),
        snapshot_count: count(values, "snapshot-count")?,
        snapshot_catchup_entries: count(values, "snapshot-catchup-entries")?,
        quota_backend_bytes: match values.number("quota-backend-bytes") {
            0 => defaults.quota_backend_bytes,
            bytes => u64::try_from(bytes).ok(),
        },
        max_request_bytes: count(values, "max-request-bytes")?,
        max_txn_ops: count(values, "max-txn-ops")?,
        max_concurrent_streams: count(values, "max-concurrent-streams")?,
        auto_compaction: auto_compaction(values)?,
        corrupt_check_time: corrupt_check_time(values),
        initial_corrupt_check: values.gate(INITIAL_CORRUPT_CHECK),
        compaction_batch_limit: count(values, "compaction-batch-limit")?,
        compaction_sleep_interval: values.time("compaction-sleep-interval"),
        backend_batch_interval: match values.time("backend-batch-interval") {
            Duration::ZERO => defaults.backend_batch_interval,
            interval => interval,
        },
        watch_progress_notify_interval: values.time("watch-progress-notify-interval"),
        grpc_keepalive_interval: values.time("grpc-keepalive-interval"),
        grpc_keepalive_timeout: values.time("grpc-keepalive-timeout"),
        warning_unary_request_duration: values.time("warning-unary-request-duration"),
        warning_apply_duration: values.time("warning-apply-duration"),
        unsafe_no_fsync: values.switch("unsafe-no-fsync"),
        ..defaults
    })
}

impl Values {
    fn warn_of_risks(&mut self, config: &Config) {
        if config.unsafe_no_fsync {
            let text = "--unsafe-no-fsync: acknowledged writes are lost when the power fails";
            self.warnings.push(text.to_owned());
        }
        if self.number("max-request-bytes") > REQUEST_BYTES_WARNED {
            self.warnings.push("--max-request-bytes exceeds the recommended 10 MiB".to_owned());
        }
        if self.number("quota-backend-bytes") > QUOTA_BYTES_WARNED {
            self.warnings.push("--quota-backend-bytes exceeds the recommended 8 GiB".to_owned());
        }
    }
}

/// Comma-separated items; none for an empty text.
fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// A number that fits the setting, which also says that it is not negative.
fn count<T: TryFrom<i64>>(values: &Values, name: &'static str) -> Result<T, FlagError> {
    let number = values.number(name);
    T::try_from(number).map_err(|_| {
        FlagError::unreadable(format!("invalid value \"{number}\" for flag -{name}: out of range"))
    })
}

fn initial_cluster_state(values: &Values) -> Result<InitialClusterState, FlagError> {
    match values.text("initial-cluster-state") {
        "new" => Ok(InitialClusterState::New),
        "existing" => Ok(InitialClusterState::Existing),
        other => Err(FlagError::unreadable(format!(
            "invalid value {other:?} for flag -initial-cluster-state: invalid value {other:?}"
        ))),
    }
}

/// `a=http://h:1,a=http://i:1,b=http://j:1`, by default this member alone.
fn initial_cluster(
    values: &Values,
    name: &str,
    peer_urls: &[String],
) -> Result<Vec<InitialMember>, FlagError> {
    if values.text("initial-cluster").is_empty() {
        return Ok(vec![InitialMember { name: name.to_owned(), peer_urls: peer_urls.to_vec() }]);
    }
    let mut members: Vec<InitialMember> = Vec::new();
    for item in list(values.text("initial-cluster")) {
        let Some((name, url)) = item.split_once('=') else {
            let text = format!("error setting up initial cluster: no name in {item:?}");
            return Err(FlagError::senseless(text));
        };
        match members.iter_mut().find(|member| member.name == name) {
            Some(member) => member.peer_urls.push(url.to_owned()),
            None => members
                .push(InitialMember { name: name.to_owned(), peer_urls: vec![url.to_owned()] }),
        }
    }
    Ok(members)
}

/// etcd compares hashes made at compactions beside those of now; one comparison serves both here.
fn corrupt_check_time(values: &Values) -> Option<Duration> {
    let always = Some(values.time("corrupt-check-time"));
    let gated = values.gate(COMPACT_HASH_CHECK).then(|| values.time("compact-hash-check-time"));
    [always, gated].into_iter().flatten().filter(|time| !time.is_zero()).min()
}

/// Periodic retention is a duration or a bare number of hours, revision retention a count.
fn auto_compaction(values: &Values) -> Result<AutoCompaction, FlagError> {
    let text = values.text("auto-compaction-retention");
    let number = text.parse::<i64>();
    let bad = |why: &str| {
        FlagError::senseless(format!("error parsing auto-compaction-retention {text:?}: {why}"))
    };
    match (values.text("auto-compaction-mode"), number) {
        ("periodic" | "revision", Ok(0)) => Ok(AutoCompaction::Off),
        (_, Ok(number)) if number < 0 => Err(bad("it is negative")),
        ("periodic", Ok(hours)) => {
            let secs = hours.unsigned_abs().checked_mul(3600).ok_or_else(|| bad("too long"))?;
            Ok(AutoCompaction::Periodic(Duration::from_secs(secs)))
        }
        ("periodic", Err(_)) => match duration::parse(text).map_err(|why| bad(&why))? {
            Duration::ZERO => Ok(AutoCompaction::Off),
            retention => Ok(AutoCompaction::Periodic(retention)),
        },
        ("revision", Ok(count)) => Ok(AutoCompaction::Revision(count)),
        ("revision", Err(_)) => Err(bad("it must be a number of revisions")),
        (mode, _) => Err(FlagError::senseless(format!("unknown auto-compaction-mode {mode:?}"))),
    }
}

fn log_of(values: &Values) -> Result<Log, FlagError> {
    if values.text("logger") != "zap" {
        let text = format!("unknown logger option {:?}", values.text("logger"));
        return Err(FlagError::senseless(text));
    }
    let level = match values.text("log-level") {
        "debug" => tracing::Level::DEBUG,
        "info" => tracing::Level::INFO,
        "warn" => tracing::Level::WARN,
        "error" | "dpanic" | "panic" | "fatal" => tracing::Level::ERROR,
        other => {
            let text = format!("unrecognized level: {other:?}");
            return Err(FlagError::senseless(text));
        }
    };
    let format = match values.text("log-format") {
        "json" => LogFormat::Json,
        "console" => LogFormat::Console,
        other => {
            let text = format!("unknown log format: {other}, supported are json and console");
            return Err(FlagError::senseless(text));
        }
    };
    let output = match values.text("log-outputs") {
        "default" | "stderr" => LogOutput::Stderr,
        "stdout" => LogOutput::Stdout,
        other => {
            let text = format!("--log-outputs={other} is refused: only default, stderr, stdout");
            return Err(FlagError::senseless(text));
        }
    };
    Ok(Log { level, format, output })
}
