//! The counters of one member, under etcd's metric names.
//!
//! One registry per member: nothing global, so two members in one process do not add up. What this
//! version does not measure is absent rather than zero; docs/compat.md lists it.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, exponential_buckets,
};

macro_rules! metrics {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $make:expr;)*) => {
        /// Every metric of one member.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl Metrics {
            /// Registers every metric with a registry of its own.
            ///
            /// # Panics
            /// If two metrics share a name, which the unit test would have found.
            pub fn new() -> Self {
                let registry = Registry::new();
                $(
                    let $field: $kind = $make.expect("the metric's options are valid");
                    registry
                        .register(Box::new($field.clone()))
                        .expect("metric names are unique");
                )*
                Self { registry, $($field,)* }
            }
        }
    };
}

fn histogram(name: &str, help: &str, start: f64, count: usize) -> prometheus::Result<Histogram> {
    let buckets = exponential_buckets(start, 2.0, count)?;
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))
}

fn histograms(
    name: &str,
    help: &str,
    start: f64,
    count: usize,
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let buckets = exponential_buckets(start, 2.0, count)?;
    HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}

metrics! {
    /// 1 while a leader is known.
    has_leader: IntGauge = IntGauge::new("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.");
    /// 1 while this member leads.
    is_leader: IntGauge = IntGauge::new("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.");
    /// 1 if this member is a learner.
    is_learner: IntGauge = IntGauge::new("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.");
    /// Leader changes seen since start.
    leader_changes: IntCounter = IntCounter::new("etcd_server_leader_changes_seen_total", "The number of leader changes seen.");
    /// This member's id as a label.
    server_id: IntGaugeVec = gauges("etcd_server_id", "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.", &["server_id"]);
    /// The etcd version spoken, as a label.
    server_version: IntGaugeVec = gauges("etcd_server_version", "Which version is running. 1 for 'server_version' label with current version.", &["server_version"]);
    /// The cluster version, as a label.
    cluster_version: IntGaugeVec = gauges("etcd_cluster_version", "Which version is running. 1 for 'cluster_version' label with current cluster version", &["cluster_version"]);
    /// Committed index.
    proposals_committed: IntGauge = IntGauge::new("etcd_server_proposals_committed_total", "The total number of consensus proposals committed.");
    /// Applied index.
    proposals_applied: IntGauge = IntGauge::new("etcd_server_proposals_applied_total", "The total number of consensus proposals applied.");
    /// Proposals without an answer yet.
    proposals_pending: IntGauge = IntGauge::new("etcd_server_proposals_pending", "The current number of pending proposals to commit.");
    /// Proposals refused or timed out.
    proposals_failed: IntCounter = IntCounter::new("etcd_server_proposals_failed_total", "The total number of failed proposals seen.");
    /// Read rounds that timed out.
    read_indexes_failed: IntCounter = IntCounter::new("etcd_server_read_indexes_failed_total", "The total number of failed read indexes seen.");
    /// Read rounds asked for again.
    slow_read_indexes: IntCounter = IntCounter::new("etcd_server_slow_read_indexes_total", "The total number of pending read indexes not in sync with leader's or timed out read index requests.");
    /// Applies slower than the warning threshold.
    slow_apply: IntCounter = IntCounter::new("etcd_server_slow_apply_total", "The total number of slow apply requests (likely overloaded from slow disk).");
    /// Configured quota.
    quota_backend_bytes: IntGauge = IntGauge::new("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.");
    /// Successful `/health` probes.
    health_success: IntCounter = IntCounter::new("etcd_server_health_success", "The total number of successful health checks");
    /// Failed `/health` probes.
    health_failures: IntCounter = IntCounter::new("etcd_server_health_failures", "The total number of failed health checks");
    /// Result of the last probe of each check.
    healthcheck: IntGaugeVec = gauges("etcd_server_healthcheck", "The result of each kind of healthcheck.", &["type", "name"]);
    /// Probes by result.
    healthchecks: IntCounterVec = counters("etcd_server_healthchecks_total", "The total number of each kind of healthcheck.", &["type", "name", "status"]);
    /// Leases that ran out.
    lease_expired: IntCounter = IntCounter::new("etcd_debugging_server_lease_expired_total", "The total number of expired leases.");
    /// Leases granted.
    lease_granted: IntCounter = IntCounter::new("etcd_debugging_lease_granted_total", "The total number of granted leases.");
    /// Leases revoked, by a client or by running out.
    lease_revoked: IntCounter = IntCounter::new("etcd_debugging_lease_revoked_total", "The total number of revoked leases.");
    /// Keep-alives answered.
    lease_renewed: IntCounter = IntCounter::new("etcd_debugging_lease_renewed_total", "The number of renewed leases seen by the leader.");
    /// Alarms raised, by member and kind.
    alarms: IntGaugeVec = gauges("etcd_debugging_server_alarms", "Alarms for every member in cluster. 1 for 'server_id' label with current ID. 2 for 'alarm_type' label with type of this alarm", &["server_id", "alarm_type"]);
    /// Ranges answered.
    range_total: IntCounter = IntCounter::new("etcd_mvcc_range_total", "Total number of ranges seen by this member.");
    /// Puts applied.
    put_total: IntCounter = IntCounter::new("etcd_mvcc_put_total", "Total number of puts seen by this member.");
    /// Deletes applied.
    delete_total: IntCounter = IntCounter::new("etcd_mvcc_delete_total", "Total number of deletes seen by this member.");
    /// Transactions applied.
    txn_total: IntCounter = IntCounter::new("etcd_mvcc_txn_total", "Total number of txns seen by this member.");
    /// Keys alive.
    keys_total: IntGauge = IntGauge::new("etcd_debugging_mvcc_keys_total", "Total number of keys.");
    /// Current revision.
    current_revision: IntGauge = IntGauge::new("etcd_debugging_mvcc_current_revision", "The current revision of store.");
    /// Compacted revision.
    compact_revision: IntGauge = IntGauge::new("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.");
    /// Keys removed by physical compaction.
    compaction_keys: IntCounter = IntCounter::new("etcd_debugging_mvcc_db_compaction_keys_total", "Total number of db keys compacted.");
    /// Bytes of the backend file.
    db_size: IntGauge = IntGauge::new("etcd_mvcc_db_total_size_in_bytes", "Total size of the underlying database physically allocated in bytes.");
    /// Bytes in use in it.
    db_size_in_use: IntGauge = IntGauge::new("etcd_mvcc_db_total_size_in_use_in_bytes", "Total size of the underlying database logically in use in bytes.");
    /// Events sent to watchers.
    events_total: IntCounter = IntCounter::new("etcd_debugging_mvcc_events_total", "Total number of events sent by this member.");
    /// Watchers.
    watchers: IntGauge = IntGauge::new("etcd_debugging_mvcc_watcher_total", "Total number of watchers.");
    /// Watch streams.
    watch_streams: IntGauge = IntGauge::new("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.");
    /// Watchers that are behind.
    slow_watchers: IntGauge = IntGauge::new("etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers.");
    /// Ticks at which a leader was so late that followers may have missed a heartbeat.
    heartbeat_failures: IntCounter = IntCounter::new("etcd_server_heartbeat_send_failures_total", "The total number of leader heartbeat send failures (likely overloaded from slow disk).");
    /// Learners that were not promoted, by reason.
    promote_failures: IntCounterVec = counters("etcd_server_learner_promote_failures", "The total number of failed learner promotions (likely learner not ready) while this member is leader.", &["Reason"]);
    /// Learners that were promoted.
    promote_successes: IntCounter = IntCounter::new("etcd_server_learner_promote_successes", "The total number of successful learner promotions while this member is leader.");
    /// 1 while another member's state takes the place of this one's.
    snapshot_applying: IntGauge = IntGauge::new("etcd_server_snapshot_apply_in_progress_total", "1 if the server is applying the incoming snapshot. 0 if none.");
    /// Peers with a route.
    peers_known: IntGaugeVec = gauges("etcd_network_known_peers", "The current number of known peers.", &["Local", "Remote"]);
    /// Peers to which a stream stands.
    peers_active: IntGaugeVec = gauges("etcd_network_active_peers", "The current number of active peer connections.", &["Local", "Remote"]);
    /// Streams to peers that stood and ended.
    peers_disconnected: IntCounterVec = counters("etcd_network_disconnected_peers_total", "The total number of disconnected peers.", &["Local", "Remote"]);
    /// Bytes of raft's messages to peers.
    peer_sent_bytes: IntCounterVec = counters("etcd_network_peer_sent_bytes_total", "The total number of bytes sent to peers.", &["To"]);
    /// Bytes of raft's messages from peers.
    peer_received_bytes: IntCounterVec = counters("etcd_network_peer_received_bytes_total", "The total number of bytes received from peers.", &["From"]);
    /// What could not be sent to peers.
    peer_sent_failures: IntCounterVec = counters("etcd_network_peer_sent_failures_total", "The total number of send failures from peers.", &["To"]);
    /// What came from peers and made no sense.
    peer_received_failures: IntCounterVec = counters("etcd_network_peer_received_failures_total", "The total number of receive failures from peers.", &["From"]);
    /// Time from a batch to its answer, seconds.
    peer_round_trip: HistogramVec = histograms("etcd_network_peer_round_trip_time_seconds", "Round-Trip-Time histogram between peers", 0.0001, 16, &["To"]);
    /// Snapshots on their way to peers.
    snapshot_sending: IntGaugeVec = gauges("etcd_network_snapshot_send_inflights_total", "Total number of inflight snapshot sends", &["To"]);
    /// Snapshots that arrived at peers.
    snapshot_sent: IntCounterVec = counters("etcd_network_snapshot_send_success", "Total number of successful snapshot sends", &["To"]);
    /// Snapshots that did not.
    snapshot_send_failures: IntCounterVec = counters("etcd_network_snapshot_send_failures", "Total number of snapshot send failures", &["To"]);
    /// Time of one that arrived, seconds.
    snapshot_send_time: HistogramVec = histograms("etcd_network_snapshot_send_total_duration_seconds", "Total latency distributions of v3 snapshot sends", 0.1, 10, &["To"]);
    /// Snapshots that come from peers.
    snapshot_receiving: IntGaugeVec = gauges("etcd_network_snapshot_receive_inflights_total", "Total number of inflight snapshot receives", &["From"]);
    /// Snapshots that came and were taken.
    snapshot_received: IntCounterVec = counters("etcd_network_snapshot_receive_success", "Total number of successful snapshot receives", &["From"]);
    /// Snapshots that broke off, were damaged or not taken.
    snapshot_receive_failures: IntCounterVec = counters("etcd_network_snapshot_receive_failures", "Total number of snapshot receive failures", &["From"]);
    /// Time of one that was taken, seconds.
    snapshot_receive_time: HistogramVec = histograms("etcd_network_snapshot_receive_total_duration_seconds", "Total latency distributions of v3 snapshot receives", 0.1, 10, &["From"]);
    /// Bytes that clients sent.
    client_received_bytes: IntCounter = IntCounter::new("etcd_network_client_grpc_received_bytes_total", "The total number of bytes received from grpc clients.");
    /// Bytes that clients were sent.
    client_sent_bytes: IntCounter = IntCounter::new("etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients.");
    /// Time of one WAL sync, seconds.
    wal_fsync: Histogram = histogram("etcd_disk_wal_fsync_duration_seconds", "The latency distributions of fsync called by WAL.", 0.001, 14);
    /// Time of one WAL write, seconds.
    wal_write: Histogram = histogram("etcd_disk_wal_write_duration_seconds", "The latency distributions of write called by WAL.", 0.001, 14);
    /// Bytes written to the WAL.
    wal_write_bytes: IntGauge = IntGauge::new("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL.");
    /// Time of one durable backend write, seconds.
    backend_commit: Histogram = histogram("etcd_disk_backend_commit_duration_seconds", "The latency distributions of commit called by backend.", 0.001, 14);
    /// Time of one defragmentation, seconds.
    backend_defrag: Histogram = histogram("etcd_disk_backend_defrag_duration_seconds", "The latency distribution of backend defragmentation.", 0.1, 13);
    /// Time of one snapshot export, seconds.
    backend_snapshot: Histogram = histogram("etcd_disk_backend_snapshot_duration_seconds", "The latency distribution of backend snapshots.", 0.01, 17);
    /// 1 while a defragmentation runs.
    defrag_inflight: IntGauge = IntGauge::new("etcd_disk_defrag_inflight", "Whether or not defrag is active on the member. 1 means active, 0 means not.");
    /// Time of one hash, seconds.
    hash: Histogram = histogram("etcd_mvcc_hash_duration_seconds", "The latency distribution of storage hash operation.", 0.01, 15);
    /// Time of one hash by revision, seconds.
    hash_rev: Histogram = histogram("etcd_mvcc_hash_rev_duration_seconds", "The latency distribution of storage hash by revision operation.", 0.01, 15);
    /// Time of one apply, seconds.
    apply: HistogramVec = histograms("etcd_server_apply_duration_seconds", "The latency distributions of v2 apply called by backend.", 0.0001, 20, &["version", "op", "success"]);
    /// Requests by client API version.
    client_requests: IntCounterVec = counters("etcd_server_client_requests_total", "The total number of client requests per client version.", &["type", "client_api_version"]);
    /// RPCs begun.
    grpc_started: IntCounterVec = counters("grpc_server_started_total", "Total number of RPCs started on the server.", &["grpc_type", "grpc_service", "grpc_method"]);
    /// RPCs ended, by code.
    grpc_handled: IntCounterVec = counters("grpc_server_handled_total", "Total number of RPCs completed on the server, regardless of success or failure.", &["grpc_type", "grpc_service", "grpc_method", "grpc_code"]);
    /// Resident memory.
    process_resident: IntGauge = IntGauge::new("process_resident_memory_bytes", "Resident memory size in bytes.");
    /// Virtual memory.
    process_virtual: IntGauge = IntGauge::new("process_virtual_memory_bytes", "Virtual memory size in bytes.");
    /// CPU seconds used, user and system.
    process_cpu: prometheus::Counter = prometheus::Counter::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
    /// Open file descriptors.
    process_fds: IntGauge = IntGauge::new("process_open_fds", "Number of open file descriptors.");
    /// Most file descriptors the process may open.
    process_fds_max: IntGauge = IntGauge::new("process_max_fds", "Maximum number of open file descriptors.");
    /// When the process began, seconds since 1970.
    process_start: prometheus::Gauge = prometheus::Gauge::new("process_start_time_seconds", "Start time of the process since unix epoch in seconds.");
    /// As `process_open_fds`, under etcd's own name.
    fd_used: IntGauge = IntGauge::new("os_fd_used", "The number of used file descriptors.");
    /// As `process_max_fds`, under etcd's own name.
    fd_limit: IntGauge = IntGauge::new("os_fd_limit", "The file descriptor limit.");
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything, in the text format that Prometheus scrapes (0.0.4).
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_etcds_names() {
        let metrics = Metrics::new();
        metrics.has_leader.set(1);
        metrics.wal_fsync.observe(0.003);
        let text = metrics.render();
        assert!(text.contains("\netcd_server_has_leader 1\n"), "{text}");
        assert!(text.contains("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.004\"} 1"));
    }
}
