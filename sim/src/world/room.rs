//! The plugin that holds the machine room.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use madsim::{
    Config,
    plugin::{self, Simulator},
    rand::{GlobalRng, RngCore},
    task::{NodeId, Spawner},
    time::TimeHandle,
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use reseed_rt::{sim::Life, task::Stop};
use tokio::sync::Notify;

use super::{
    clock::Clock,
    disk::{Drives, POWER_FAILURE},
    net::{Crash, Network},
    processor::Processor,
    tally::{self, Counts, Tally, Token},
};
use crate::{
    bundle::Decisions,
    fingerprint::{Trace, fold},
};

/// The machine room of the running simulation.
#[derive(Clone)]
pub struct Room(pub(crate) Arc<Inner>);

/// What all handles share.
pub(crate) struct Inner {
    pub(crate) time: TimeHandle,
    pub(crate) spawner: Spawner,
    pub(crate) drives: Mutex<Drives>,
    pub(crate) network: Mutex<Network>,
    /// Something new is due on the network.
    pub(crate) kick: Notify,
    pub(crate) pumping: std::sync::atomic::AtomicBool,
    pub(super) chance: Mutex<Chance>,
    trace: Mutex<Trace>,
    observer: Mutex<Option<Observer>>,
}

/// Something that happened to a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Its program starts.
    Boot,
    /// It went down.
    Down,
    /// Its tasks stand still.
    Paused,
    /// They go on.
    Resumed,
}

/// Hears of every step of a machine: true time, the network's name for it, what. It is called
/// inside madsim's callbacks too, so it may take no lock but its own.
pub type Observer = Box<dyn Fn(Duration, u64, Step) + Send>;

/// Per-node randomness, clocks, processors and crash modes.
pub(super) struct Chance {
    pub(super) seed: [u8; 32],
    /// Streams that were asked for by name.
    pub(super) labels: BTreeSet<String>,
    pub(super) epochs: BTreeMap<NodeId, u64>,
    pub(super) lives: BTreeMap<NodeId, Life>,
    pub(super) forks: BTreeMap<(NodeId, u64, &'static str), u64>,
    /// A stream per node.
    pub(super) draws: BTreeMap<NodeId, ChaCha8Rng>,
    pub(super) clocks: BTreeMap<NodeId, Clock>,
    /// Changes of a clock that nobody has looked at yet.
    pub(super) clock_faults: BTreeMap<NodeId, Vec<Token>>,
    pub(super) processors: BTreeMap<NodeId, Processor>,
    pub(super) stops: BTreeMap<NodeId, Stop>,
    pub(super) next_crash: BTreeMap<NodeId, Crash>,
    /// Nodes whose power failed by itself: madsim boots them again.
    pub(super) booting: BTreeSet<NodeId>,
    /// Nodes whose program has ended.
    pub(super) ended: BTreeSet<NodeId>,
    /// Points asked for so far; those that are armed have a stream each.
    pub(super) armed: BTreeMap<&'static str, Option<ChaCha8Rng>>,
    pub(super) buggify: bool,
    pub(super) tally: Tally,
}

/// A stream of its own for one part of the room.
pub(crate) fn stream(seed: [u8; 32], name: &str) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::from_seed(seed);
    rng.set_stream(fold(name.as_bytes()));
    rng
}

impl Simulator for Room {
    fn new(_: &GlobalRng, _: &TimeHandle, _: &Config) -> Self {
        unreachable!("madsim calls new1, which new would be the default of")
    }

    fn new1(rand: &GlobalRng, time: &TimeHandle, spawner: &Spawner, _: &Config) -> Self {
        let mut seed = [0; 32];
        rand.clone().fill_bytes(&mut seed);
        let chance = Chance {
            seed,
            labels: BTreeSet::new(),
            epochs: BTreeMap::new(),
            lives: BTreeMap::new(),
            forks: BTreeMap::new(),
            draws: BTreeMap::new(),
            clocks: BTreeMap::new(),
            clock_faults: BTreeMap::new(),
            processors: BTreeMap::new(),
            stops: BTreeMap::new(),
            next_crash: BTreeMap::new(),
            booting: BTreeSet::new(),
            ended: BTreeSet::new(),
            armed: BTreeMap::new(),
            buggify: false,
            tally: Tally::default(),
        };
        Self(Arc::new(Inner {
            time: time.clone(),
            spawner: spawner.clone(),
            drives: Mutex::new(Drives::new(seed)),
            network: Mutex::new(Network::new(stream(seed, "network"))),
            kick: Notify::new(),
            pumping: false.into(),
            chance: Mutex::new(chance),
            trace: Mutex::new(Trace::default()),
            observer: Mutex::new(None),
        }))
    }

    fn create_node(&self, id: NodeId) {
        lock(&self.0.drives).add(id);
    }

    /// The node was killed: by a nemesis, or because its disk panicked with a power failure.
    fn reset_node(&self, id: NodeId) {
        let how = {
            let mut chance = lock(&self.0.chance);
            *chance.epochs.entry(id).or_default() += 1;
            if let Some(life) = chance.lives.remove(&id) {
                life.end();
            }
            chance.stops.remove(&id);
            chance.ended.remove(&id);
            if let Some(processor) = chance.processors.get_mut(&id) {
                processor.reset();
            }
            chance.next_crash.remove(&id).unwrap_or(Crash::Power)
        };
        let now = self.0.time.elapsed();
        lock(&self.0.drives).reset(id, how, now);
        lock(&self.0.network).crash(host(id), how, now);
        self.0.kick.notify_one();
        self.0.trace("reset", host(id), &[]);
        self.0.observe(id, Step::Down);
    }
}

/// The network's name for a node.
pub(crate) fn host(id: NodeId) -> u64 {
    // madsim keeps the number private but prints it.
    id.to_string().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(u64::MAX)
}

/// A panic while a lock was held is a planned power failure at worst; the state is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// What runs on `node` is dead from now on, and is forgotten instead of dropped.
    pub(crate) fn end_life(&self, node: NodeId) {
        if let Some(life) = lock(&self.chance).lives.get(&node) {
            life.end();
        }
    }

    /// The power or the program of `node` is gone, and what runs there with it. The panic reaches
    /// madsim, which kills the node and boots it again after some seconds.
    pub(crate) fn crash(&self, node: NodeId, how: Crash) -> ! {
        let what = match how {
            Crash::Power => "power failure",
            Crash::Process => "killed",
        };
        self.trace(what, host(node), &[]);
        self.end_life(node);
        let mut chance = lock(&self.chance);
        chance.next_crash.insert(node, how);
        chance.booting.insert(node);
        drop(chance);
        panic!("{POWER_FAILURE}");
    }

    /// The program of `node` starts.
    pub(crate) fn boots(&self, node: NodeId) {
        lock(&self.chance).booting.remove(&node);
        lock(&self.network).boot(host(node));
        self.kick.notify_one();
        self.observe(node, Step::Boot);
    }

    /// Tells whoever wants to know.
    pub(crate) fn observe(&self, node: NodeId, step: Step) {
        if let Some(observer) = lock(&self.observer).as_ref() {
            observer(self.time.elapsed(), host(node), step);
        }
    }

    /// Feeds one event into the run's fingerprint.
    pub(crate) fn trace(&self, kind: &'static str, node: u64, parts: &[&[u8]]) {
        lock(&self.trace).event(self.time.elapsed(), kind, node, parts);
    }
}

impl Room {
    /// The room of the running simulation. Not for use inside a plugin's callbacks: madsim holds
    /// the lock of its plugin map there.
    #[must_use]
    pub fn current() -> Self {
        Self::clone(&plugin::simulator::<Self>())
    }

    /// Feeds one event of a workload into the run's fingerprint.
    pub fn trace(&self, kind: &'static str, parts: &[&[u8]]) {
        self.0.trace(kind, host(plugin::node()), parts);
    }

    /// The fingerprint so far.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        lock(&self.0.trace).digest()
    }

    /// Events hashed so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        lock(&self.0.trace).events()
    }

    /// What the simulator decided so far, and the root and labels of the streams it drew from.
    #[must_use]
    pub fn decisions(&self) -> Decisions {
        let chance = lock(&self.0.chance);
        let root = chance.seed.to_vec();
        let labels = chance.labels.iter().cloned().collect();
        Decisions { root, labels, decided: lock(&self.0.trace).decisions().to_vec() }
    }

    /// Completes the trace's file, if there is one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn close_trace(&self) -> io::Result<()> {
        lock(&self.0.trace).close()
    }

    /// Writes every event as a line to `path` too.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn trace_to(&self, path: &std::path::Path) -> io::Result<()> {
        lock(&self.0.trace).write_to(path)
    }

    /// True time since the simulation began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.time.elapsed()
    }

    /// A random stream of the run's own, not a node's.
    #[must_use]
    pub fn stream(&self, name: &str) -> ChaCha8Rng {
        let mut chance = lock(&self.0.chance);
        chance.labels.insert(name.to_owned());
        stream(chance.seed, name)
    }

    /// The network, to cut links and the like.
    pub fn with_network<T>(&self, f: impl FnOnce(&mut Network) -> T) -> T {
        let result = f(&mut lock(&self.0.network));
        self.0.kick.notify_one();
        result
    }

    /// The disks, to arm faults and read counters.
    pub fn with_drives<T>(&self, f: impl FnOnce(&mut Drives) -> T) -> T {
        f(&mut lock(&self.0.drives))
    }

    /// Changes a node's clock.
    pub fn set_clock(&self, node: NodeId, change: impl FnOnce(Clock) -> Clock) {
        let mut chance = lock(&self.0.chance);
        let clock = chance.clocks.entry(node).or_default();
        *clock = change(*clock);
    }

    /// Changes a node's clock by a fault called `kind`, which counts when the node next looks.
    pub fn disturb_clock(
        &self,
        node: NodeId,
        kind: &'static str,
        change: impl FnOnce(Clock) -> Clock,
    ) {
        self.set_clock(node, change);
        let mut chance = lock(&self.0.chance);
        let token = chance.tally.arm(kind);
        chance.clock_faults.entry(node).or_default().push(token);
    }

    /// Changes a node's processor; its polls are asked for as long as that is of use.
    pub fn with_processor(&self, node: NodeId, change: impl FnOnce(&mut Processor, &mut Tally)) {
        let mut chance = lock(&self.0.chance);
        let Chance { processors, tally, lives, .. } = &mut *chance;
        let processor = processors.entry(node).or_default();
        change(processor, tally);
        lives.entry(node).or_default().hook(processor.is_troubled());
    }

    /// Asks the program of `node` to stop, as a signal would.
    pub fn request_stop(&self, node: NodeId) {
        lock(&self.0.chance).stops.entry(node).or_default().cancel();
    }

    /// Was the program of `node` asked to stop?
    #[must_use]
    pub fn is_stop_requested(&self, node: NodeId) -> bool {
        lock(&self.0.chance).stops.get(&node).is_some_and(Stop::is_cancelled)
    }

    /// The program of `node` has ended.
    pub(super) fn set_ended(&self, node: NodeId) {
        lock(&self.0.chance).ended.insert(node);
    }

    /// Has the program of `node` ended, and not been started again?
    #[must_use]
    pub fn has_ended(&self, node: NodeId) -> bool {
        lock(&self.0.chance).ended.contains(&node)
    }

    /// Did the power of `node` fail by itself, so that it boots by itself too?
    #[must_use]
    pub fn boots_by_itself(&self, node: NodeId) -> bool {
        lock(&self.0.chance).booting.contains(&node)
    }

    /// Counts what happened that no part of the world counts by itself.
    pub fn count(&self, name: &'static str) {
        lock(&self.0.chance).tally.count(name, 1);
    }

    /// How often each kind of fault bit, and each effect came about.
    #[must_use]
    pub fn fired(&self) -> Counts {
        let mut counts = lock(&self.0.chance).tally.counts().clone();
        tally::add(&mut counts, &lock(&self.0.drives).counts());
        tally::add(&mut counts, &lock(&self.0.network).counts());
        counts
    }

    /// Who hears of every step of a machine from now on.
    pub fn set_observer(&self, observer: Observer) {
        *lock(&self.0.observer) = Some(observer);
    }

    /// What the next kill of `node` is; without this it is a power failure.
    pub fn set_next_crash(&self, node: NodeId, how: Crash) {
        lock(&self.0.chance).next_crash.insert(node, how);
    }

    /// How often `node` was killed.
    #[must_use]
    pub fn crashes(&self, node: NodeId) -> u64 {
        lock(&self.0.chance).epochs.get(&node).copied().unwrap_or(0)
    }

    /// Arms points of `rt::buggify`: by chance, which depends on the seed, or none.
    pub fn arm_points(&self, buggify: bool) {
        lock(&self.0.chance).buggify = buggify;
    }
}
