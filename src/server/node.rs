//! Starting and stopping one member: which tasks there are, which queues connect them.
//!
//! ```text
//!             rpc ──► Proposer ──► driver ──► apply ──► watch hub ──► streams
//!                 └─► ReadIndex ──┘            │ └──► effects ──► lease clock, compactor
//!                                              └─ overlay ──► flusher ──► backend file, truncation
//! ```
//!
//! Stop order is the reverse of the journey: listeners drain first, then the log stops taking
//! entries, then what is applied is flushed, so that the next start replays nothing.

use std::sync::Arc;
use std::time::Duration;

use reseed_core::applied::Effect;
use reseed_proto::log::MemberRecord;
use reseed_rt::chan;
use reseed_rt::task::{self, Cancelled, Stop, Task};
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

use crate::apply::{Applier, Times};
use crate::boot::{self, BootError, Booted};
use crate::compactor::{self, Compactor};
use crate::config::Config;
use crate::corrupt::Monitor;
use crate::departure::Departure;
use crate::flusher::Flusher;
use crate::halt::{Cause, Halt, Halted};
use crate::http::listen;
use crate::lease_clock::LeaseClock;
use crate::membership::{Changer, Roster};
use crate::peer::{Door, Home, Leader, Peers};
use crate::propose::Proposer;
use crate::raft::driver::Driver;
use crate::raft::hurry::Hurry;
use crate::raft::read_queue::ReadQueue;
use crate::raft::succession::Succession;
use crate::raft::voters::Voters;
use crate::read::ReadIndex;
use crate::rpc::Services;
use crate::rpc::leaderless::Leaderless;
use crate::rpc::peer::PeerService;
use crate::state::State;
use crate::waiters::Waiters;
use crate::watch::hub;

/// Proposals and reads that may queue before the driver takes them.
const EVENTS_MAX: usize = 16_384;
/// What peers sent that may queue before the driver takes it.
const PEER_EVENTS_MAX: usize = 256;
/// Batches of committed entries that may queue before apply takes them.
const COMMITTED_MAX: usize = 1_024;
/// How long a graceful stop waits for open requests. Listeners cut them off after half of it; who
/// did not wait for that would leave the database to whoever held the last request.
const DRAIN: Duration = Duration::from_secs(10);

/// One running member.
#[derive(Debug)]
pub struct Server {
    state: Arc<State>,
    proposer: Proposer,
    client_addresses: Vec<std::net::SocketAddr>,
    stop: Stop,
    halt: Halt,
    listeners: Stop,
    log: Stop,
    peers: Peers,
    listening: Vec<Task<()>>,
    logging: Vec<Task<()>>,
    background: Vec<Task<()>>,
    /// Nothing runs on behind the back of whoever drops it.
    _stops: DropGuard,
    _lock: reseed_storage::layout::DataDir,
}

impl Server {
    /// Opens or creates the data directory and serves clients. A member whose data a majority of
    /// the others contradicts ([`Config::initial_corrupt_check`]) begins anew with theirs.
    ///
    /// # Errors
    /// The configuration cannot work, the data directory is in use or damaged beyond what the
    /// other members can mend, or a port is taken.
    pub async fn start(config: Config) -> Result<Self, BootError> {
        match Self::start_once(config.clone(), None).await {
            Err(BootError::Outvoted(right)) => {
                tracing::error!("outvoted: beginning anew with the others' data");
                Self::start_once(config, Some(right)).await
            }
            started => started,
        }
    }

    #[expect(clippy::too_many_lines, reason = "one list: every task and queue of a member")]
    async fn start_once(
        config: Config,
        better: Option<Vec<MemberRecord>>,
    ) -> Result<Self, BootError> {
        config.validate()?;
        let stop = Stop::new();
        let halt = Halt::new(stop.clone());
        let Booted { state, node, wal, data_dir } =
            boot::boot(config, halt.clone(), better).await?;
        let mut listeners_open = listen::bind(&state.config).await?;

        let (listeners, log) = (stop.child_token(), stop.child_token());
        let (events, events_in) = chan::bounded("driver", EVENTS_MAX);
        let (committed, committed_in) = chan::bounded("apply", COMMITTED_MAX);
        let (to_driver, from_peers) = chan::bounded("peers", PEER_EVENTS_MAX);
        let departure = Departure::default();
        let peers = Peers::new(Home {
            state: Arc::clone(&state),
            driver: to_driver.clone(),
            departure: departure.clone(),
            stop: log.clone(),
        });
        let voters = Arc::new(Voters::default());
        let roster = Roster {
            state: Arc::clone(&state),
            peers: peers.clone(),
            voters: Arc::clone(&voters),
            departure: departure.clone(),
        };
        roster.refresh();
        let waiters = Arc::new(Waiters::default());
        let readers = Arc::new(ReadQueue::default());
        let read_index = ReadIndex::new(Arc::clone(&readers), &state);
        let connected = Box::new({
            let peers = peers.clone();
            move || peers.connected()
        });
        let proposer = Proposer::new(events.clone(), Arc::clone(&waiters), &state, connected);
        let (publisher, watch_hub, hub_task) = hub::start(Arc::clone(&state), log.clone());
        let leases = LeaseClock::new(Arc::clone(&state), proposer.clone(), read_index.clone());
        let compactor = Compactor::new(Arc::clone(&state), proposer.clone());

        let (on_lease, on_compaction) = (leases.clone(), compactor.clone());
        let on_members = roster.clone();
        let applier = Applier {
            state: Arc::clone(&state),
            committed: committed_in,
            waiters: Arc::clone(&waiters),
            watchers: publisher,
            on_effect: Box::new(move |effect| {
                on_lease.on_effect(effect);
                on_compaction.on_effect(effect);
                if *effect == Effect::MembersChanged {
                    on_members.refresh();
                }
            }),
            on_install: Box::new({
                let (leases, compactor) = (leases.clone(), compactor.clone());
                let state = Arc::clone(&state);
                move || {
                    roster.refresh();
                    leases.reload(&state);
                    compactor.on_install();
                }
            }),
            halt: halt.clone(),
            times: Times::new(state.metrics.apply.clone()),
        };
        let flusher = Flusher {
            state: Arc::clone(&state),
            driver: events.clone(),
            halt: halt.clone(),
            marked_at: node.log().truncated(),
        };
        let driver = Driver {
            node,
            wal,
            events: events_in,
            peers: Box::new(peers.clone()),
            from_peers,
            voters,
            readers,
            apply: committed,
            waiters,
            progress: Arc::clone(&state.progress),
            metrics: Arc::clone(&state.metrics),
            halt: halt.clone(),
            tick: state.config.heartbeat_interval,
            catchup_entries: state.config.snapshot_catchup_entries,
            sync_writes: !state.config.unsafe_no_fsync,
            installing: None,
            hurry: Hurry::default(),
            woke: None,
            taken_bytes: 0,
        };

        let driver_stop = log.clone();
        let flusher_stop = log.clone();
        let changer = Changer {
            state: Arc::clone(&state),
            proposer: proposer.clone(),
            peers: peers.clone(),
            driver: events.clone(),
            turn: Arc::new(Semaphore::new(1)),
        };
        let (cluster, member) = (state.cluster_id, state.member_id);
        let door = Door { cluster, member, peers: peers.clone(), driver: to_driver };
        let service = PeerService::new(door, changer.clone(), data_dir.db(), leases.clone());
        let mut logging = listeners_open.serve_peers(&service, &log);
        logging.extend([
            task::spawn_thread("driver", move || Box::pin(driver.run(driver_stop))),
            task::spawn("apply", applier.run(log.clone())),
            task::spawn_thread("flusher", move || Box::pin(flusher.run(flusher_stop))),
            hub_task,
        ]);
        let monitor =
            Monitor { state: Arc::clone(&state), proposer: proposer.clone(), peers: peers.clone() };
        if let Err(error) = monitor.check_before_serving().await {
            log.cancel();
            for task in logging {
                // As in `stop`.
                let _ended: Result<(), Cancelled> = task.await;
            }
            peers.ended().await;
            // It would write beside whoever starts this member again.
            service.snapshots_ended().await;
            return Err(error);
        }
        let published = Stop::new();
        let leaderless = Arc::new(Leaderless::default());
        let background = vec![
            task::spawn("leaderless", Arc::clone(&leaderless).run(Arc::clone(&state), log.clone())),
            task::spawn(
                "succession",
                Succession {
                    id: state.member_id,
                    progress: Arc::clone(&state.progress),
                    peers: peers.clone(),
                    election_timeout: state.config.election_timeout,
                }
                .run(log.clone()),
            ),
            task::spawn("corruption", monitor.run(log.clone())),
            task::spawn("leases", leases.clone().run(log.clone())),
            task::spawn(
                "departure",
                departure.run(halt.clone(), state.config.election_timeout, log.clone()),
            ),
            task::spawn("compactor", compactor.clone().run(log.clone())),
            task::spawn("auto-compaction", compactor::run_auto(compactor.clone(), log.clone())),
            task::spawn(
                "publish",
                boot::publish(Arc::clone(&state), proposer.clone(), published.clone(), log.clone()),
            ),
        ];
        let services = Services {
            state: Arc::clone(&state),
            proposer: proposer.clone(),
            read_index,
            watch: watch_hub,
            leases,
            leader: Leader::new(Arc::clone(&state), peers.clone()),
            compactor,
            changer,
            leaderless,
            stop: listeners.clone(),
        };
        let client_addresses = listeners_open.client_addresses();
        let listening = listeners_open.serve(services, &published, &listeners);
        Ok(Self {
            state,
            proposer,
            client_addresses,
            _stops: stop.clone().drop_guard(),
            stop,
            halt,
            listeners,
            log,
            peers,
            listening,
            logging,
            background,
            _lock: data_dir,
        })
    }

    /// What the member's parts share; for embedders, tests and status pages.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    #[cfg(test)]
    pub(crate) fn proposer(&self) -> &Proposer {
        &self.proposer
    }

    #[cfg(test)]
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Where clients are served, one per listen URL: the real ports where 0 was asked for.
    pub fn client_addresses(&self) -> &[std::net::SocketAddr] {
        &self.client_addresses
    }

    /// Returns when this member takes and answers requests: it knows a leader and has applied
    /// everything that was committed at start.
    pub async fn ready(&self) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = self.state.progress.ready() => {}
        }
    }

    /// Returns only if the member stops by itself, with the reason, or wants to be stopped and
    /// started again ([`Cause::Outvoted`]: it runs until [`Server::stop`] returns).
    pub async fn halted(&self) -> Halted {
        tokio::select! {
            biased;
            () = self.halt.told() => {}
            () = self.stop.cancelled() => {}
        }
        let stopped = || Halted { reason: "stopped".into(), cause: Cause::Broken };
        self.halt.reason().unwrap_or_else(stopped)
    }

    /// A leader that goes without a word costs the others an election timeout.
    async fn hand_over(&self) {
        let progress = &self.state.progress;
        if progress.leader() != self.state.member_id || progress.leads_alone() {
            return;
        }
        if self.peers.connected().is_empty() {
            tracing::info!("nobody is there to take over leadership");
            return;
        }
        let limit = self.state.config.election_timeout * 2;
        match reseed_rt::clock::timeout(limit, self.proposer.hand_over(None)).await {
            Ok(Ok(())) => tracing::info!("leadership is handed over"),
            Ok(Err(_)) | Err(_) => tracing::warn!("nobody took over leadership in time"),
        }
    }

    /// Stops gracefully: leadership is handed over, open requests are answered, what is applied is
    /// flushed. Returns what [`Server::halted`] would, if the member has halted.
    pub async fn stop(self) -> Option<Halted> {
        self.hand_over().await;
        self.listeners.cancel();
        let drained = async {
            for task in self.listening {
                // A task that ended early has nothing left to drain.
                let _ended: Result<(), Cancelled> = task.await;
            }
        };
        if reseed_rt::clock::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("open requests were cut off after {DRAIN:?}");
        }
        self.log.cancel();
        for task in self.logging.into_iter().chain(self.background) {
            // As above.
            let _ended: Result<(), Cancelled> = task.await;
        }
        self.peers.ended().await;
        self.stop.cancel();
        self.halt.reason()
    }
}
