//! The real side of the seam: tokio's reactor and timers, the operating system's clock and entropy.
//!
//! Exactly the names `sim.rs` has, with the same types where callers can see them. Nothing here
//! decides anything: policy (what a panic does, what a timeout means) lives in the modules above.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use rand::{TryRng, rngs::SysRng};

use crate::disk::Disk;

// ---- clock ----

/// Where [`mono`] counts from: the first look at the clock in this process.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(crate) fn mono() -> Duration {
    let origin = *ORIGIN;
    origin.elapsed()
}

pub(crate) fn wall() -> Duration {
    // A clock set before 1970 reads as the epoch itself: nothing here needs to tell them apart.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

pub(crate) type Sleep = tokio::time::Sleep;

pub(crate) fn sleep(duration: Duration) -> Sleep {
    tokio::time::sleep(duration)
}

// ---- tasks ----

pub(crate) type Handle<T> = tokio::task::JoinHandle<T>;

pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> Handle<T> {
    tokio::spawn(task)
}

/// Drives the future `make` gives to its end on an OS thread of its own, under a runtime of its
/// own: timers and sockets work there whether or not the rest of the process is busy. `after` gets
/// its output when that runtime is gone too, with all that was spawned there.
pub(crate) fn spawn_thread<F: Future>(
    name: &'static str,
    make: impl FnOnce() -> F + Send + 'static,
    after: impl FnOnce(F::Output) + Send + 'static,
) {
    let drive = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the operating system gives this process a reactor");
        let output = runtime.block_on(make());
        drop(runtime);
        after(output);
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(drive)
        .expect("the operating system gives this process a thread");
}

pub(crate) fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
    tokio::task::spawn_blocking(work)
}

pub(crate) fn is_power_failure(_: &dyn std::any::Any) -> bool {
    false
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) async fn yield_now() {
    tokio::task::yield_now().await;
}

/// What a panic inside a task does: the message is out already, the process must not go on with
/// a part of itself missing.
pub(crate) fn task_panicked(name: &str) {
    eprintln!("reseed: task '{name}' panicked, stopping the process");
    std::process::abort();
}

// ---- randomness ----

/// The root of all streams of this process, drawn once from the operating system.
static ROOT: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).expect("the operating system has entropy");
    seed
});

/// How many streams were forked, so that two with one label differ.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// A seed for a stream; never the same one twice in a process.
pub(crate) fn seed(_label: &'static str) -> [u8; 32] {
    let mut seed = *ROOT;
    let fork = FORKS.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    for (byte, salt) in seed.iter_mut().zip(fork) {
        *byte ^= salt;
    }
    seed
}

pub(crate) fn draw() -> u64 {
    let mut bytes = [0; 8];
    SysRng.try_fill_bytes(&mut bytes).expect("the operating system has entropy");
    u64::from_le_bytes(bytes)
}

// ---- network ----

#[derive(Debug)]
pub(crate) struct Listener(tokio::net::TcpListener);

impl Listener {
    pub(crate) async fn bind(host_port: &str) -> io::Result<Self> {
        tokio::net::TcpListener::bind(host_port).await.map(Self)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }
}

pub(crate) type Stream = tokio::net::TcpStream;

pub(crate) fn rehome(stream: Stream) -> io::Result<Stream> {
    Stream::from_std(stream.into_std()?)
}

pub(crate) async fn connect(host_port: &str) -> io::Result<Stream> {
    let stream = tokio::net::TcpStream::connect(host_port).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

// ---- disk ----

pub(crate) fn disk() -> Arc<dyn Disk> {
    Arc::new(crate::disk_os::OsDisk)
}

pub(crate) async fn settle() {}

// ---- the rest ----

#[inline(always)]
pub(crate) fn buggify(_point: crate::buggify::Point) -> bool {
    false
}

#[inline(always)]
pub(crate) fn probe(_probe: crate::probe::Probe) {}

pub(crate) async fn stop_requested() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
