//! Clients in a closed loop, a shared budget of operations, one histogram.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use reseed_client::{Client, ClientOptions, Connection};
use reseed_rt::{clock, task};
use tonic::Status;

use super::{
    Common, Workload,
    report::{Report, Usage},
    watch,
    work::{Keys, Worker},
};

/// Longest latency the histogram can hold; what is longer counts as this.
const LATENCY_MICROS_MAX: u64 = 600_000_000;
/// Different error texts kept.
const ERROR_TEXTS_MAX: usize = 8;

/// What clients share while a run lasts.
#[derive(Debug)]
pub(super) struct Meter {
    /// Operations handed out so far.
    tickets: AtomicU64,
    total: u64,
    deadline: Option<clock::Instant>,
    results: Mutex<Results>,
}

#[derive(Debug)]
struct Results {
    latency: Histogram<u64>,
    ops: u64,
    errors: u64,
    error_texts: BTreeMap<String, u64>,
}

impl Meter {
    fn new(total: u64, time: Option<Duration>) -> Result<Arc<Self>> {
        let latency = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3)?;
        let results = Results { latency, ops: 0, errors: 0, error_texts: BTreeMap::new() };
        Ok(Arc::new(Self {
            tickets: AtomicU64::new(0),
            total,
            deadline: time.map(|time| clock::Instant::now() + time),
            results: Mutex::new(results),
        }))
    }

    /// Number of the next operation; `None` when the run is over.
    pub(super) fn ticket(&self, now: clock::Instant) -> Option<u64> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            return None;
        }
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        (ticket < self.total).then_some(ticket)
    }

    /// Counts `ops` operations that took `latency` each.
    pub(super) fn success(&self, ops: u64, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.ops += ops;
        results.latency.saturating_record_n(micros.max(1), ops);
    }

    pub(super) fn failure(&self, status: &Status) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.errors += 1;
        let text = format!("{:?}: {}", status.code(), status.message());
        let is_known = results.error_texts.contains_key(&text);
        if is_known || results.error_texts.len() < ERROR_TEXTS_MAX {
            *results.error_texts.entry(text).or_default() += 1;
        }
    }
}

/// Connections, made and warm.
pub(super) async fn connect(common: &Common) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(common.conns);
    for index in 0..common.conns.max(1) {
        let mut endpoints = common.endpoints.clone();
        let first = index % endpoints.len().max(1);
        endpoints.rotate_left(first);
        let options = ClientOptions { keepalive_interval: None, ..ClientOptions::new(endpoints) };
        let client = Client::connect(options)?;
        client.status().await.with_context(|| format!("endpoints {:?}", common.endpoints))?;
        connections.push(client.connection());
    }
    Ok(connections)
}

/// Runs a workload to its end.
pub(super) async fn run(common: Common, workload: Workload) -> Result<Report> {
    let common = Arc::new(adjust(common, &workload)?);
    let connections = connect(&common).await?;
    let workers = prepare(&common, &workload, &connections).await?;
    let server = usage_of_server(&common)?;
    let loader = Usage::own();
    let started = clock::Instant::now();
    let meter = Meter::new(common.total(), common.time())?;
    match &workload {
        Workload::Watch { watchers } => {
            watch::run(&common, &connections, *watchers, &meter).await?;
        }
        _ => closed_loop(workers, &meter).await,
    }
    let took = started.elapsed();
    let results = meter.results.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Report {
        workload: name_of(&workload),
        clients: common.clients,
        conns: common.conns,
        ops: results.ops,
        errors: results.errors,
        error_texts: results.error_texts.clone(),
        took,
        latency: results.latency.clone(),
        server: server.zip(usage_of_server(&common)?),
        loader: loader.zip(Usage::own()),
    })
}

fn usage_of_server(common: &Common) -> Result<Option<Usage>> {
    let pids = &common.server_pid;
    match Usage::of(pids) {
        _ if pids.is_empty() => Ok(None),
        Some(usage) => Ok(Some(usage)),
        None => bail!("one of the processes {pids:?} (--server-pid) cannot be read"),
    }
}

/// What a workload implies for the common options.
fn adjust(mut common: Common, workload: &Workload) -> Result<Common> {
    if common.key_size < Keys::SIZE_MIN {
        bail!("--key-size must be at least {}", Keys::SIZE_MIN);
    }
    if let Workload::Fill { keys, batch } = *workload {
        if batch == 0 {
            bail!("--batch must be at least 1");
        }
        common.total = Some(keys.div_ceil(batch));
        common.seconds = None;
        common.key_space = keys;
        common.sequential = true;
    }
    common.clients = common.clients.max(1);
    common.conns = common.conns.max(1).min(common.clients);
    common.key_space = common.key_space.max(1);
    Ok(common)
}

fn name_of(workload: &Workload) -> &'static str {
    match workload {
        Workload::Put => "put",
        Workload::Range { .. } => "range",
        Workload::Txn => "txn",
        Workload::Watch { .. } => "watch",
        Workload::Lease { keep_alive: false, .. } => "lease-grant",
        Workload::Lease { keep_alive: true, .. } => "lease-keep-alive",
        Workload::Fill { .. } => "fill",
        Workload::Compare(_) => "compare",
    }
}

async fn prepare(
    common: &Arc<Common>,
    workload: &Workload,
    connections: &[Connection],
) -> Result<Vec<Worker>> {
    let mut workers = Vec::with_capacity(common.clients);
    for client in 0..common.clients {
        let connection = connections[client % connections.len()].clone();
        workers.push(Worker::prepare(common, workload, connection, client).await?);
    }
    Ok(workers)
}

async fn closed_loop(workers: Vec<Worker>, meter: &Arc<Meter>) {
    let running: Vec<_> = workers
        .into_iter()
        .map(|mut worker| {
            let meter = Arc::clone(meter);
            task::spawn("bench.client", async move {
                let mut now = clock::Instant::now();
                while let Some(ticket) = meter.ticket(now) {
                    let outcome = worker.step(ticket).await;
                    let done = clock::Instant::now();
                    match outcome {
                        Ok(ops) => meter.success(ops, done - now),
                        Err(status) => meter.failure(&status),
                    }
                    now = done;
                }
            })
        })
        .collect();
    for client in running {
        // Cancelled only if the runtime is going down, and this with it.
        client.await.ok();
    }
}
