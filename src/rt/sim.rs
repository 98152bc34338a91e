//! The simulated side of the seam: madsim's executor and timers, and a [`World`] for the rest.
//!
//! Exactly the names `os.rs` has. What a node's disk, sockets, clocks and chance are is not
//! decided here: crate `sim` installs a [`World`] that answers for the node whose task asks.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{buggify::Point, disk::Disk, probe::Probe};

/// The simulated machine room, asked on behalf of the node the current task runs on.
pub trait World: Send + Sync + 'static {
    /// The node's monotonic clock, since an arbitrary origin.
    fn mono(&self) -> Duration;
    /// The node's calendar clock, since the Unix epoch.
    fn wall(&self) -> Duration;
    /// How long the node's `local` lasts in true simulated time.
    fn true_duration(&self, local: Duration) -> Duration;
    /// The life of the node's present incarnation.
    fn life(&self) -> Life;
    /// Asked before each poll of a task of a node whose life is [`Life::hook`]ed: how long the task
    /// waits for the node's processor. The power may fail here, as a panic.
    fn processor_wait(&self) -> Duration;
    /// The seed of a new random stream.
    fn seed(&self, label: &'static str) -> [u8; 32];
    /// One random number.
    fn draw(&self) -> u64;
    /// Does `point` fire? Only if it is armed.
    fn buggify(&self, point: Point) -> bool;
    /// The node's disk.
    fn disk(&self) -> Arc<dyn Disk>;
    /// How long, in true simulated time, the node's disk works on what it was asked.
    fn disk_settles(&self) -> Duration;
    /// That time has passed.
    fn disk_settled(&self);
    /// Listens on the node's network.
    ///
    /// # Errors
    /// `AddrInUse`, or a malformed address.
    fn bind(&self, host_port: &str) -> io::Result<Box<dyn Acceptor>>;
    /// Connects from the node.
    fn connect(&self, host_port: &str) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>>;
    /// Waits until the node is asked to stop; which signal.
    fn stop_requested(&self) -> BoxFuture<'static, &'static str>;
}

/// A simulated listener.
pub trait Acceptor: Send + Sync + fmt::Debug {
    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;
    /// Polls for the next connection.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Duplex>, SocketAddr)>>;
}

/// A simulated connection.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Duplex for T {}

/// One incarnation of a node: from boot to crash. Clones share it.
#[derive(Clone, Default, Debug)]
pub struct Life(Arc<Flags>);

#[derive(Default, Debug)]
struct Flags {
    over: AtomicBool,
    hooked: AtomicBool,
}

impl Life {
    /// The node has crashed.
    pub fn end(&self) {
        self.0.over.store(true, Ordering::Relaxed);
    }

    /// From now on the world is asked before each poll of the node's tasks, or no more. A flag, so
    /// that it costs nothing while no fault needs it.
    pub fn hook(&self, hooked: bool) {
        self.0.hooked.store(hooked, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }

    fn is_hooked(&self) -> bool {
        self.0.hooked.load(Ordering::Relaxed)
    }
}

/// A task of a node that may crash. Destructors do not run in a machine without power: what the
/// task still owns then is forgotten, not dropped, as the memory of a dead process is. (Dropping
/// it is more than untrue: the power may have failed, as a panic, in the middle of a library that
/// held a lock, and its destructors would find the lock poisoned.)
struct Mortal<T> {
    life: Life,
    work: Option<BoxFuture<'static, T>>,
    /// The task's turn on the processor of a slow machine has not come yet.
    turn: Option<Pin<Box<madsim::time::Sleep>>>,
}

impl<T> Mortal<T> {
    /// Waits for the node's processor, once for each poll of the work.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.turn.is_none() {
            let wait = world().processor_wait();
            if wait.is_zero() {
                return Poll::Ready(());
            }
            self.turn = Some(Box::pin(madsim::time::sleep(wait)));
        }
        if let Some(turn) = &mut self.turn {
            ready!(turn.as_mut().poll(cx));
        }
        self.turn = None;
        Poll::Ready(())
    }
}

/// Ties `work` to the life of the node it runs on.
pub fn mortal<T>(work: impl Future<Output = T> + Send + 'static) -> impl Future<Output = T> + Send
where
    T: 'static,
{
    Mortal { life: world().life(), work: Some(Box::pin(work)), turn: None }
}

impl<T> Future for Mortal<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if self.life.is_hooked() || self.turn.is_some() {
            ready!(self.poll_turn(cx));
        }
        let work = self.work.as_mut().expect("taken only on drop");
        work.as_mut().poll(cx)
    }
}

impl<T> Drop for Mortal<T> {
    fn drop(&mut self) {
        if self.life.is_over() {
            std::mem::forget(self.work.take());
        }
    }
}

static WORLD: OnceLock<Arc<dyn World>> = OnceLock::new();

/// Installs the world. The first one stays for the life of the process: a world has no state of
/// its own, it finds that of the running simulation.
pub fn install(world: Arc<dyn World>) {
    let _already = WORLD.set(world);
}

fn world() -> &'static dyn World {
    WORLD.get().expect("a simulation installs its world before it runs").as_ref()
}

// ---- clock ----

/// Longer sleeps are as good as forever, and the virtual clock must not overflow.
const SLEEP_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub(crate) fn mono() -> Duration {
    world().mono()
}

pub(crate) fn wall() -> Duration {
    world().wall()
}

pub(crate) type Sleep = madsim::time::Sleep;

pub(crate) fn sleep(duration: Duration) -> Sleep {
    madsim::time::sleep(world().true_duration(duration.min(SLEEP_MAX)))
}

// ---- tasks ----

pub(crate) type Handle<T> = madsim::task::JoinHandle<T>;

pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> Handle<T> {
    madsim::task::spawn(mortal(task))
}

pub(crate) fn spawn_thread<F: Future + Send + 'static>(
    _name: &'static str,
    make: impl FnOnce() -> F + Send + 'static,
    after: impl FnOnce(F::Output) + Send + 'static,
) {
    let work = make();
    drop(spawn(async move { after(work.await) }));
}

pub(crate) async fn blocking<T>(work: impl FnOnce() -> T) -> Result<T, std::convert::Infallible> {
    Ok(work())
}

/// With these words the disk of a dead machine ends what its program was about to do.
pub const POWER_FAILURE: &str = "simulated power failure";

pub(crate) fn is_power_failure(panic: &dyn std::any::Any) -> bool {
    panic.downcast_ref::<&str>() == Some(&POWER_FAILURE)
        || panic.downcast_ref::<String>().is_some_and(|text| text == POWER_FAILURE)
}

pub(crate) fn cores() -> usize {
    0
}

pub(crate) async fn yield_now() {
    madsim::task::yield_now().await;
}

/// The panic goes on into the simulator, which knows whether it planned for it.
pub(crate) fn task_panicked(_name: &str) {}

// ---- randomness ----

pub(crate) fn seed(label: &'static str) -> [u8; 32] {
    world().seed(label)
}

pub(crate) fn draw() -> u64 {
    world().draw()
}

// ---- network ----

#[derive(Debug)]
pub(crate) struct Listener(Box<dyn Acceptor>);

impl Listener {
    pub(crate) async fn bind(host_port: &str) -> io::Result<Self> {
        world().bind(host_port).map(Self)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        std::future::poll_fn(|cx| self.0.poll_accept(cx)).await
    }
}

pub(crate) type Stream = Box<dyn Duplex>;

#[expect(clippy::unnecessary_wraps, reason = "as the real side's")]
pub(crate) fn rehome(stream: Stream) -> io::Result<Stream> {
    Ok(stream)
}

pub(crate) async fn connect(host_port: &str) -> io::Result<Stream> {
    world().connect(host_port).await
}

// ---- disk ----

pub(crate) fn disk() -> Arc<dyn Disk> {
    world().disk()
}

pub(crate) async fn settle() {
    let busy = world().disk_settles();
    if !busy.is_zero() {
        madsim::time::sleep(busy).await;
        world().disk_settled();
    }
}

// ---- the rest ----

pub(crate) fn buggify(point: Point) -> bool {
    let fires = world().buggify(point);
    POINTS[point as usize].fetch_add(u64::from(fires), Ordering::Relaxed);
    fires
}

pub(crate) fn probe(probe: Probe) {
    PROBES[probe as usize].fetch_add(1, Ordering::Relaxed);
}

/// How often each point fired and each probe was hit: by the one simulation of this process.
static POINTS: [AtomicU64; Point::ALL.len()] = [const { AtomicU64::new(0) }; Point::ALL.len()];
static PROBES: [AtomicU64; Probe::ALL.len()] = [const { AtomicU64::new(0) }; Probe::ALL.len()];

/// How often each point fired so far.
pub fn points() -> impl Iterator<Item = (&'static str, u64)> {
    let names = Point::ALL.iter().map(|point| point.name());
    names.zip(POINTS.iter().map(|count| count.load(Ordering::Relaxed)))
}

/// How often each probe was hit so far.
pub fn probes() -> impl Iterator<Item = (&'static str, u64)> {
    let names = Probe::ALL.iter().map(|probe| probe.name());
    names.zip(PROBES.iter().map(|count| count.load(Ordering::Relaxed)))
}

pub(crate) async fn stop_requested() -> &'static str {
    world().stop_requested().await
}
