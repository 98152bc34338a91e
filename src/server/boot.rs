//! From a data directory, new or old, to the opened state of a member.
//!
//! Order matters for crashes: the WAL is created with its first mark before anything else exists,
//! so a directory without a readable WAL has never acknowledged anything. The WAL says from then on
//! who this member is, whatever the flags say. At a restart the backend tells how far it got, which
//! members there were then and so who voted; the WAL replays the rest through raft.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use raft::ReadOnlyOption;
use raft::eraftpb::{Entry, HardState};
use reseed_core::cluster::Members;
use reseed_core::id::MemberId;
use reseed_core::port::Batch;
use reseed_core::{CLUSTER_VERSION, ETCD_VERSION, Machine};
use reseed_planted::{self as planted, Bug};
use reseed_proto::log::{MemberAttributes, MemberRecord, log_entry::Request};
use reseed_proto::peer::ClusterMembers;
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::Stop;
use reseed_rt::{clock, disk};
use reseed_storage::backend::{AppliedAt, Backend, BackendError, BackendOptions, finish_install};
use reseed_storage::layout::{DataDir, LayoutError};
use reseed_storage::wal::{self, Mark, Metadata, Recovered, Wal, WalError, WalOptions};
use tokio::sync::Semaphore;

use crate::config::{Config, ConfigError, InitialClusterState};
use crate::departure::REMOVED;
use crate::halt::Halt;
use crate::membership::join;
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::propose::Proposer;
use crate::raft::changes;
use crate::raft::driver::{from_wal_entry, to_wal_entry};
use crate::raft::log_view::LogView;
use crate::raft::node::Node;
use crate::repair::{self, Source};
use crate::snapshot;
use crate::state::State;

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
    /// There is no cluster to join, or this member has no place in it.
    #[error("{0}")]
    Join(String),
    /// This member was removed from its cluster.
    #[error("{REMOVED}; the data-dir used by this member must be removed")]
    Removed,
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
    /// What this member holds is not what a majority of the members holds: these.
    #[error("found data inconsistency with peers: a majority of them holds something else")]
    Outvoted(Vec<MemberRecord>),
    /// The backend cannot be used, and no other member could give its own.
    #[error(
        "{0}; no other member could be asked for its state: start one, or remove this member and \
         add it anew"
    )]
    Unrepaired(String),
    /// What this member holds is not what its peers hold, and nobody can tell who is right.
    #[error("found data inconsistency with peers, and no majority of them agrees")]
    Inconsistent,
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

/// Opens or creates everything under the data directory. What the members `better` hold, if there
/// are any, takes the place of what this one holds.
pub(crate) async fn boot(
    config: Config,
    halt: Halt,
    better: Option<Vec<MemberRecord>>,
) -> Result<Booted, BootError> {
    let data_dir = DataDir::open(&disk::disk(), &config.data_dir)?;
    remove_exports(&data_dir);
    let (mut wal, mut recovered) = open_wal(&config, &data_dir).await?;
    let Metadata { member_id, cluster_id } = recovered.metadata;
    let opened = backend_or_anothers(&config, &data_dir, (&mut wal, &mut recovered), better);
    let (backend, mut machine) = opened.await?;
    let applied = backend.applied();
    let replays = recovered.entries.last().is_some_and(|last| last.index > applied.index);
    probe::hit_if(replays, Probe::WalReplayed);
    if began_with_members(&recovered) {
        seed_members(&config, &mut machine, &backend, applied)?;
    }
    if machine.members.is_removed(MemberId(member_id)) {
        return Err(BootError::Removed);
    }
    if config.force_new_cluster {
        leave_alone(&config, &machine.members, &mut wal, &mut recovered)?;
    }
    let log = log_view(&recovered, applied, &machine.members)?;

    let replayed = planted::on(Bug::RestartReplaysAll);
    let handed_over = if replayed { log.truncated() } else { applied.index };
    let raft_config = raft_config(&config, member_id, handed_over);
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
    disk::settle().await;
    let state = Arc::new(State {
        config,
        cluster_id,
        member_id,
        machine: RwLock::new(machine),
        backend,
        progress,
        metrics,
        client_traffic: Arc::default(),
        client_snapshots: Arc::new(Semaphore::new(snapshot::AT_ONCE)),
        peer_snapshots: Arc::new(Semaphore::new(snapshot::AT_ONCE)),
        halt,
    });
    Ok(Booted { state, node, wal, data_dir })
}

/// This member's backend; another's, if it cannot be used or `better` ones are known.
async fn backend_or_anothers(
    config: &Config,
    data_dir: &DataDir,
    (wal, recovered): (&mut Wal, &mut Recovered),
    better: Option<Vec<MemberRecord>>,
) -> Result<(Backend, Machine), BootError> {
    let options = BackendOptions {
        cache_bytes: config.backend_cache_bytes,
        overlay_bytes_max: config.backend_overlay_bytes_max,
        ..BackendOptions::default()
    };
    let db = data_dir.db();
    finish_install(&disk::disk(), &db, recovered.mark.index)?;
    if let Some(members) = better {
        let cluster_id = recovered.metadata.cluster_id;
        let source = Source::Members(ClusterMembers { cluster_id, members });
        let why = "a majority holds something else";
        repair::refetch(config, &source, &db, (wal, recovered), why).await?;
        return open_backend(&db, options, recovered);
    }
    match open_backend(&db, options, recovered) {
        Err(why) if is_unusable(&why) && has_peers(config) && !config.force_new_cluster => {
            repair::refetch(config, &Source::Flags, &db, (wal, recovered), &why.to_string())
                .await?;
            open_backend(&db, options, recovered)
        }
        opened => opened,
    }
}

fn has_peers(config: &Config) -> bool {
    config.initial_cluster.len() > 1
}

/// The backend and what it says, if the log continues it.
fn open_backend(
    db: &Path,
    options: BackendOptions,
    recovered: &Recovered,
) -> Result<(Backend, Machine), BootError> {
    let backend = Backend::open(disk::disk(), db, options)?;
    let (applied, mark) = (backend.applied().index, recovered.mark.index);
    if applied < mark {
        return Err(BootError::BackendBehindLog { applied, mark });
    }
    let machine = Machine::restore(&backend)?;
    Ok((backend, machine))
}

/// Whether the backend's content is to blame, and not its disk.
fn is_unusable(error: &BootError) -> bool {
    matches!(
        error,
        BootError::Backend(BackendError::Engine(_))
            | BootError::Machine(_)
            | BootError::BackendBehindLog { .. }
    )
}

fn raft_config(config: &Config, id: u64, applied: u64) -> raft::Config {
    raft::Config {
        id,
        election_tick: config.election_ticks(),
        heartbeat_tick: 1,
        applied,
        max_size_per_msg: 1 << 20,
        max_inflight_msgs: 512,
        check_quorum: true,
        pre_vote: config.pre_vote,
        max_committed_size_per_ready: 8 << 20,
        read_only_option: if planted::on(Bug::ReadByClock) {
            ReadOnlyOption::LeaseBased
        } else {
            ReadOnlyOption::Safe
        },
        ..raft::Config::default()
    }
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

async fn open_wal(config: &Config, data_dir: &DataDir) -> Result<(Wal, Recovered), BootError> {
    let options = WalOptions { segment_bytes: config.wal_segment_bytes };
    if !wal::exists(&*disk::disk(), &data_dir.wal())? {
        let metadata = join::identity(config).await?;
        drop(Wal::create(disk::disk(), &data_dir.wal(), metadata, &Mark::default(), options)?);
    }
    let (mut wal, mut recovered) = Wal::open(disk::disk(), &data_dir.wal(), options)?;
    let (founder, founders) = join::founders(config);
    let founds = config.initial_cluster_state == InitialClusterState::New;
    if founds && founder != recovered.metadata {
        let Metadata { member_id, cluster_id } = recovered.metadata;
        tracing::warn!(
            member = format_args!("{member_id:x}"),
            cluster = format_args!("{cluster_id:x}"),
            "the flags make another member; the data directory says who this one is"
        );
    } else if founds && is_unfounded(&recovered) {
        // A crash may have left the log without some of them: they are written until all are there.
        extend(&mut wal, &mut recovered, changes::first_entries(founders))?;
    }
    disk::settle().await;
    Ok((wal, recovered))
}

/// Whether the first members are not all in the log: the hard state is written behind them.
fn is_unfounded(recovered: &Recovered) -> bool {
    recovered.hard_state == wal::HardState::default() && recovered.mark == Mark::default()
}

/// Appends entries that are committed by birth, durably.
fn extend(wal: &mut Wal, recovered: &mut Recovered, entries: Vec<Entry>) -> Result<(), WalError> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
    recovered.entries.retain(|entry| entry.index < first.index);
    let before = recovered.hard_state;
    let term = before.term.max(last.term);
    let hard_state = wal::HardState { term, commit: last.index, ..before };
    let entries: Vec<_> = entries.iter().map(to_wal_entry).collect();
    wal.append(&entries, Some(hard_state))?;
    wal.sync()?;
    recovered.entries.extend(entries);
    recovered.hard_state = hard_state;
    Ok(())
}

/// `--force-new-cluster`: the log goes on, all of it counts as committed, and everybody else is
/// removed. etcd gives up what it does not know to be committed; a lone member may keep it, as a
/// leader may that was elected with this log.
fn leave_alone(
    config: &Config,
    members: &Members,
    wal: &mut Wal,
    recovered: &mut Recovered,
) -> Result<(), BootError> {
    let id = recovered.metadata.member_id;
    let peer_urls = config.initial_advertise_peer_urls.clone();
    let flags = MemberRecord { id, peer_urls, ..MemberRecord::default() };
    let me = members.get(MemberId(id)).unwrap_or(&flags);
    let tail: Vec<Entry> = recovered.entries.iter().cloned().map(from_wal_entry).collect();
    let mark = &recovered.mark;
    let behind = tail.last().map_or((mark.index, mark.term), |entry| (entry.index, entry.term));
    let behind = (behind.0, behind.1.max(recovered.hard_state.term));
    let changes = changes::alone(me, members, &tail);
    tracing::warn!(changes = changes.len(), "forcing a new cluster of this member alone");
    Ok(extend(wal, recovered, changes::entries_behind(behind, changes))?)
}

/// What raft sees of the recovered log. `applied` is what the backend file holds, `members` those
/// it knows there.
fn log_view(
    recovered: &Recovered,
    applied: AppliedAt,
    members: &Members,
) -> Result<LogView, BootError> {
    let mark = &recovered.mark;
    let entries: Vec<Entry> = recovered.entries.iter().cloned().map(from_wal_entry).collect();
    let last = entries.last().map_or(mark.index, |entry| entry.index);
    if applied.index > last {
        return Err(BootError::LogBehindBackend { applied: applied.index, last });
    }
    let found = recovered.hard_state;
    let hard_state = HardState {
        term: found.term,
        vote: found.vote,
        // What is applied was committed, even if the commit index that said so was not synced.
        commit: match planted::on(Bug::RestartCommitsAll) {
            true => last,
            false => found.commit.max(applied.index).max(mark.index).min(last),
        },
    };
    let conf_state = changes::conf_state(members);
    let mut log = LogView::new(mark.index, mark.term, conf_state, hard_state);
    log.append(&entries);
    Ok(log)
}

/// reseed 0.1 made clusters whose first members are not in the log: such a log begins with a
/// configuration instead.
fn began_with_members(recovered: &Recovered) -> bool {
    recovered.mark.index == 0 && !recovered.mark.conf_state.is_empty()
}

/// The members of such a cluster are known from the flags, until the backend has them.
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
    for member in join::founders(config).1 {
        machine.members.bootstrap(member, &mut batch);
    }
    backend.commit(batch, applied)?;
    Ok(())
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

/// Tells the cluster this member's name and client URLs, until it is told; then `published` ends.
pub(crate) async fn publish(state: Arc<State>, proposer: Proposer, published: Stop, stop: Stop) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = tell_who_i_am(&state, &proposer) => published.cancel(),
    }
}

async fn tell_who_i_am(state: &State, proposer: &Proposer) {
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
        match proposer.propose(Request::MemberAttributes(attributes.clone())).await {
            Ok(_) => return,
            Err(error) => tracing::warn!(%error, "could not publish this member's URLs yet"),
        }
        clock::sleep(Duration::from_millis(500)).await;
    }
}
