//! One simulation in this process: a seed, a world, a future, and how it ended.
//!
//! A process runs one simulation: process-wide counters in dependencies (task ids, tokio's watch
//! channels) would otherwise make the second depend on the first. Within it, the simulation gets a
//! fresh thread, because the standard library's hash keys are drawn once per thread.

use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use madsim::{
    Config,
    runtime::{Handle, Runtime},
};

use crate::{
    bundle::Decisions,
    world::{Room, SimWorld, disk::POWER_FAILURE},
};

/// What a simulation needs besides its program.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Decides everything.
    pub seed: u64,
    /// Simulated time after which the run counts as hanging.
    pub time_limit: Duration,
    /// Where to write a line per event, to compare two runs.
    pub trace: Option<PathBuf>,
}

/// How a simulation ended.
#[derive(Clone, Debug)]
pub struct Ended<T> {
    /// What the program returned, or the message it panicked with.
    pub output: Result<T, String>,
    /// The hash over everything that happened.
    pub fingerprint: String,
    /// Events in that hash.
    pub events: u64,
    /// Simulated time.
    pub elapsed: Duration,
    /// What the simulator decided.
    pub decisions: Decisions,
    /// How often each kind of fault bit, and each effect came about.
    pub fired: BTreeMap<String, u64>,
}

/// Runs `program` on the supervising node of a simulation of its own.
///
/// # Panics
/// If the operating system refuses a thread.
pub fn simulate<T, F>(setting: Setting, program: impl FnOnce() -> F + Send + 'static) -> Ended<T>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    hush_planned_panics();
    reseed_rt::sim::install(Arc::new(SimWorld));
    std::thread::Builder::new()
        .name("simulation".to_owned())
        .stack_size(16 << 20)
        .spawn(move || simulate_here(setting, program))
        .expect("the operating system gives this process a thread")
        .join()
        .expect("panics of the program are caught inside")
}

fn simulate_here<T, F>(setting: Setting, program: impl FnOnce() -> F) -> Ended<T>
where
    F: Future<Output = T> + 'static,
    T: 'static,
{
    let mut runtime = Runtime::with_seed_and_config(setting.seed, Config::default());
    runtime.add_simulator::<Room>();
    runtime.set_time_limit(setting.time_limit);
    let room = Arc::new(std::sync::OnceLock::new());
    let shared = room.clone();
    let whole = async move {
        let room = shared.get_or_init(Room::current);
        if let Some(path) = &setting.trace {
            room.trace_to(path).expect("the trace file can be made");
        }
        drop(madsim::task::spawn(sweep()));
        let output = program().await;
        // The final draw tells apart runs that differ only in what nobody recorded.
        let last: [u8; 16] = madsim::rand::random();
        room.trace("end", &[&last]);
        output
    };
    let output = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(whole)));
    let room: Option<Room> = room.get().cloned();
    if let Some(Err(error)) = room.as_ref().map(Room::close_trace) {
        eprintln!("the trace is not complete: {error}");
    }
    // A runtime with half-dead tasks panics in destructors; the process ends soon anyway.
    std::mem::forget(runtime);
    Ended {
        output: output.map_err(|panic| message(panic.as_ref())),
        fingerprint: room.as_ref().map(Room::fingerprint).unwrap_or_default(),
        events: room.as_ref().map(Room::events).unwrap_or_default(),
        elapsed: room.as_ref().map(Room::elapsed).unwrap_or_default(),
        decisions: room.as_ref().map(Room::decisions).unwrap_or_default(),
        fired: room.iter().flat_map(Room::fired).map(|(name, n)| (name.to_owned(), n)).collect(),
    }
}

/// madsim keeps a trace of every task that ever ran until somebody counts them.
async fn sweep() {
    loop {
        madsim::time::sleep(Duration::from_secs(1)).await;
        let _counted = Handle::current().metrics().num_tasks();
    }
}

/// The text of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Planned power failures are panics, and not worth a message each.
fn hush_planned_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(POWER_FAILURE) {
                usual(info);
            }
        }));
    });
}
