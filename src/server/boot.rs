//! From a data directory, new or old, to the opened state of a member.
//!
//! Order matters for crashes: the WAL is created with its first mark before anything else exists,
//! so a directory without a readable WAL has never acknowledged anything. At a restart the backend
//! tells how far it got; the WAL replays the rest through raft.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use prost::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState};
use reseed_core::id::MemberId;
use reseed_core::port::Batch;
use reseed_core::{CLUSTER_VERSION, ETCD_VERSION, Machine};
use reseed_proto::log::{MemberAttributes, MemberRecord, log_entry::Request};
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::Stop;
use reseed_rt::{clock, disk};
use reseed_storage::backend::{AppliedAt, Backend, BackendError, BackendOptions, finish_install};
use reseed_storage::layout::{DataDir, LayoutError};
use reseed_storage::wal::{self, Mark, Metadata, Recovered, Wal, WalError, WalOptions};
use tokio::sync::Semaphore;

use crate::config::{Config, ConfigError};
use crate::halt::Halt;
use crate::identity;
use crate::metrics::Metrics;
use crate::peer::Route;
use crate::progress::Progress;
use crate::propose::Proposer;
use crate::raft::driver::from_wal_entry;
use crate::raft::log_view::LogView;
use crate::raft::node::Node;
use crate::snapshot;
use crate::state::State;

/// A peer that answers nothing for so many election timeouts is connected to anew.
const SILENT_ELECTIONS: u32 = 3;

/// Why a member could not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A setting cannot work.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The data directory is in use, of another format, or cannot be opened.
    #[error("{0}")]
    Layout(#[from] LayoutError),
    /// The write-ahead log is damaged or cannot be opened.
    #[error("write-ahead log: {0}")]
    Wal(#[from] WalError),
    /// The backend is damaged or cannot be opened.
    #[error("backend: {0}")]
    Backend(#[from] BackendError),
    /// The backend's content contradicts itself.
    #[error("backend content: {0}")]
    Machine(#[from] reseed_core::error::Error),
    /// The data directory belongs to another member or cluster.
    #[error(
        "the data directory belongs to member {found_member:x} of cluster {found_cluster:x}, but \
         the flags say member {member:x} of cluster {cluster:x}"
    )]
    WrongIdentity {
        /// Member id in the directory.
        found_member: u64,
        /// Cluster id in the directory.
        found_cluster: u64,
        /// Member id from the flags.
        member: u64,
        /// Cluster id from the flags.
        cluster: u64,
    },
    /// The backend holds entries that the log has never seen: one of them is from elsewhere.
    #[error(
        "the backend has applied entry {applied}, but the write-ahead log ends at {last}: it lost \
         entries that were acknowledged, or is not this backend's log"
    )]
    LogBehindBackend {
        /// Applied index of the backend.
        applied: u64,
        /// Last index of the log.
        last: u64,
    },
    /// The log and the backend leave a gap.
    #[error("the write-ahead log begins after entry {mark}, but the backend ends at {applied}")]
    BackendBehindLog {
        /// Applied index of the backend.
        applied: u64,
        /// Index of the log's mark.
        mark: u64,
    },
    /// Consensus refuses its own log.
    #[error("raft: {0}")]
    Raft(#[from] raft::Error),
    /// A listen address cannot be bound.
    #[error("listen on {address}: {source}")]
    Listen {
        /// `host:port`.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A member that is open but not running.
pub(crate) struct Booted {
    pub(crate) state: Arc<State>,
    pub(crate) node: Node,
    pub(crate) wal: Wal,
    pub(crate) data_dir: DataDir,
}

/// Opens or creates everything under the data directory.
pub(crate) fn boot(config: Config, halt: Halt) -> Result<Booted, BootError> {
    let me = config
        .initial_cluster
        .iter()
        .find(|member| member.name == config.name)
        .ok_or_else(|| ConfigError(format!("no member {} in the cluster", config.name)))?;
    let member_id = identity::member_id(me, &config.initial_cluster_token);
    let cluster_id = identity::cluster_id(&config);

    let data_dir = DataDir::open(&disk::disk(), &config.data_dir)?;
    remove_exports(&data_dir);
    let metadata = Metadata { member_id, cluster_id };
    let (wal, recovered) = open_wal(&config, &data_dir, metadata)?;
    let options = BackendOptions {
        cache_bytes: config.backend_cache_bytes,
        overlay_bytes_max: config.backend_overlay_bytes_max,
        ..BackendOptions::default()
    };
    finish_install(&disk::disk(), &data_dir.db(), recovered.mark.index)?;
    let backend = Backend::open(disk::disk(), &data_dir.db(), options)?;
    let applied = backend.applied();
    let replays = recovered.entries.last().is_some_and(|last| last.index > applied.index);
    probe::hit_if(replays, Probe::WalReplayed);
    let log = log_view(&recovered, applied)?;
    let mut machine = Machine::restore(&backend)?;
    seed_members(&config, &mut machine, &backend, applied)?;

    let raft_config = raft::Config {
        id: member_id,
        election_tick: config.election_ticks(),
        heartbeat_tick: 1,
        applied: applied.index,
        max_size_per_msg: 1 << 20,
        max_inflight_msgs: 512,
        check_quorum: true,
        pre_vote: config.pre_vote,
        max_committed_size_per_ready: 8 << 20,
        ..raft::Config::default()
    };
    let node = Node::new(&raft_config, log)?;
    let metrics = Arc::new(Metrics::new());
    describe(&metrics, &config, member_id);
    let progress = Arc::new(Progress::default());
    progress.set_applied(applied.index);
    progress.set_raft(node.term(), 0, node.committed());
    tracing::info!(
        member = format_args!("{member_id:x}"),
        cluster = format_args!("{cluster_id:x}"),
        applied = applied.index,
        replay = node.log().last().saturating_sub(applied.index),
        revision = machine.mvcc.revision(),
        "opened the data directory"
    );
    let state = Arc::new(State {
        config,
        cluster_id,
        member_id,
        machine: RwLock::new(machine),
        backend,
        progress,
        metrics,
        snapshots: Arc::new(Semaphore::new(snapshot::AT_ONCE)),
        halt,
    });
    Ok(Booted { state, node, wal, data_dir })
}

/// Removes snapshot files that a crash left behind; one that stays costs space only.
fn remove_exports(data_dir: &DataDir) {
    let (disk, dir) = (disk::disk(), data_dir.snap());
    for name in disk.list(&dir).unwrap_or_default() {
        if name.starts_with(snapshot::EXPORT.0) && name.ends_with(snapshot::EXPORT.1) {
            let removed = disk.remove(&dir.join(&name));
            tracing::info!(name, ok = removed.is_ok(), "removed an unfinished snapshot");
        }
    }
}

fn open_wal(
    config: &Config,
    data_dir: &DataDir,
    metadata: Metadata,
) -> Result<(Wal, Recovered), BootError> {
    let options = WalOptions { segment_bytes: config.wal_segment_bytes };
    if !wal::exists(&*disk::disk(), &data_dir.wal())? {
        let token = &config.initial_cluster_token;
        let ids = config.initial_cluster.iter().map(|member| identity::member_id(member, token));
        let conf_state =
            ConfState { voters: ids.collect(), ..ConfState::default() }.encode_to_vec();
        let mark = Mark { index: 0, term: 0, conf_state: Bytes::from(conf_state) };
        drop(Wal::create(disk::disk(), &data_dir.wal(), metadata, &mark, options)?);
    }
    let (wal, recovered) = Wal::open(disk::disk(), &data_dir.wal(), options)?;
    let found = recovered.metadata;
    if (found.member_id, found.cluster_id) != (metadata.member_id, metadata.cluster_id) {
        return Err(BootError::WrongIdentity {
            found_member: found.member_id,
            found_cluster: found.cluster_id,
            member: metadata.member_id,
            cluster: metadata.cluster_id,
        });
    }
    Ok((wal, recovered))
}

/// What raft sees of the recovered log. `applied` is what the backend file holds.
fn log_view(recovered: &Recovered, applied: AppliedAt) -> Result<LogView, BootError> {
    let mark = &recovered.mark;
    let conf_state = ConfState::decode(mark.conf_state.clone())
        .map_err(|error| raft::Error::Store(raft::StorageError::Other(Box::new(error))))?;
    let entries: Vec<Entry> = recovered.entries.iter().cloned().map(from_wal_entry).collect();
    let last = entries.last().map_or(mark.index, |entry| entry.index);
    if applied.index > last {
        return Err(BootError::LogBehindBackend { applied: applied.index, last });
    }
    if applied.index < mark.index {
        return Err(BootError::BackendBehindLog { applied: applied.index, mark: mark.index });
    }
    let found = recovered.hard_state;
    let hard_state = HardState {
        term: found.term,
        vote: found.vote,
        // What is applied was committed, even if the commit index that said so was not synced.
        commit: found.commit.max(applied.index).max(mark.index).min(last),
    };
    let mut log = LogView::new(mark.index, mark.term, conf_state, hard_state);
    log.append(&entries);
    Ok(log)
}

/// The members at bootstrap are known from the flags, the same on every member.
fn seed_members(
    config: &Config,
    machine: &mut Machine,
    backend: &Backend,
    applied: AppliedAt,
) -> Result<(), BootError> {
    if machine.members.iter().len() > 0 {
        return Ok(());
    }
    let mut batch = Batch::default();
    for member in &config.initial_cluster {
        let record = MemberRecord {
            id: identity::member_id(member, &config.initial_cluster_token),
            peer_urls: member.peer_urls.clone(),
            ..MemberRecord::default()
        };
        machine.members.bootstrap(record, &mut batch);
    }
    backend.commit(batch, applied)?;
    Ok(())
}

/// How every other member is reached.
pub(crate) fn routes(state: &State) -> Vec<Route> {
    let machine = state.machine.read();
    let others = machine.members.iter().filter(|member| member.id != state.member_id);
    others.map(|member| route(state, member)).collect()
}

/// How this member is reached.
pub(crate) fn route(state: &State, member: &MemberRecord) -> Route {
    Route {
        cluster: state.cluster_id,
        from: state.member_id,
        to: member.id,
        urls: member.peer_urls.clone(),
        silence_max: state.config.election_timeout * SILENT_ELECTIONS,
    }
}

fn describe(metrics: &Metrics, config: &Config, member_id: u64) {
    metrics.server_id.with_label_values(&[&format!("{member_id:x}")]).set(1);
    metrics.server_version.with_label_values(&[ETCD_VERSION]).set(1);
    metrics.cluster_version.with_label_values(&[short_version(CLUSTER_VERSION)]).set(1);
    let quota = config.quota_backend_bytes.unwrap_or(0);
    metrics.quota_backend_bytes.set(i64::try_from(quota).unwrap_or(i64::MAX));
}

/// `3.7` of `3.7.0`.
fn short_version(version: &'static str) -> &'static str {
    version.rsplit_once('.').map_or(version, |(minor, _patch)| minor)
}

/// Tells the cluster this member's name and client URLs, until it is told.
pub(crate) async fn publish(state: Arc<State>, proposer: Proposer, stop: Stop) {
    let attributes = MemberAttributes {
        member_id: state.member_id,
        name: state.config.name.clone(),
        client_urls: state.config.advertise_client_urls.clone(),
    };
    let known = state.machine.read().members.get(MemberId(state.member_id)).is_some_and(|member| {
        member.name == attributes.name && member.client_urls == attributes.client_urls
    });
    if known {
        return;
    }
    loop {
        let proposed = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            answer = proposer.propose(Request::MemberAttributes(attributes.clone())) => answer,
        };
        match proposed {
            Ok(_) => return,
            Err(error) => tracing::warn!(%error, "could not publish this member's URLs yet"),
        }
        clock::sleep(Duration::from_millis(500)).await;
    }
}
