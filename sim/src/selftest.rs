//! The seam, proven without a store: a gRPC service that counts its calls on disk.
//!
//! Real tonic, HTTP/2 and protobuf bytes over the simulated network; each call is written and
//! synced before it is answered; the power fails in the middle of disk operations; whatever was
//! answered must be counted after the reboot. If this holds, and two processes print the same
//! fingerprint, the world is fit to hold the server.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use rand::RngExt;
use reseed_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use reseed_rt::{
    clock,
    disk::{self, File, OpenMode},
    net::{ChannelOptions, Listener, ServeOptions, channel, serve},
    signal,
    task::Stop,
};
use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status, body::Body};

use crate::{
    fleet, out,
    report::Verdict,
    run::{self, Ended},
    selftest_faults,
    world::{Room, SECTOR, disk_image::Stats, net::Crash, node::Machine},
};

/// What `cargo sim selftest` takes.
#[derive(clap::Args)]
pub struct Options {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 3)]
    count: u64,
    /// Run one seed in this process and report.
    #[arg(long, hide = true)]
    child: bool,
    /// Which of the tests (with --child).
    #[arg(long, hide = true, default_value = "seam")]
    test: String,
    /// Write a line per event to this file (with --child).
    #[arg(long, hide = true)]
    trace: Option<PathBuf>,
}

/// What a child says about its run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    failure: Option<String>,
    fingerprint: String,
    events: u64,
    sim_secs: f64,
    summary: String,
}

/// Runs each seed in two processes, which must agree; the exit code.
#[must_use]
pub fn command(options: &Options) -> u8 {
    if options.child {
        fleet::report(&one(options));
        return Verdict::Pass.exit_code();
    }
    let seeds = options.seed..options.seed.saturating_add(options.count);
    let all = seeds.flat_map(|seed| TESTS.map(|test| twice(test, seed)));
    all.fold(Verdict::Pass, Verdict::worst).exit_code()
}

/// The tests: this file's, and `selftest_faults.rs`.
const TESTS: [&str; 2] = ["seam", "faults"];

fn one(options: &Options) -> Report {
    let setting = run::Setting {
        seed: options.seed,
        time_limit: Duration::from_secs(1_200),
        trace: options.trace.clone(),
    };
    if options.test == TESTS[1] {
        return report(run::simulate(setting, selftest_faults::program));
    }
    report(run::simulate(setting, program))
}

fn report<T: std::fmt::Debug>(ended: Ended<T>) -> Report {
    let summary = ended.output.as_ref().map(|summary| format!("{summary:?}")).unwrap_or_default();
    Report {
        failure: ended.output.err(),
        fingerprint: ended.fingerprint,
        events: ended.events,
        sim_secs: ended.elapsed.as_secs_f64(),
        summary,
    }
}

fn twice(test: &str, seed: u64) -> Verdict {
    let seed_text = seed.to_string();
    let command = ["selftest", "--child", "--test", test, "--seed", &seed_text];
    let command: Vec<String> = command.map(str::to_owned).into();
    let runs: Vec<_> = (0..2).map(|_| fleet::run_child::<Report>(&command)).collect();
    let reports: Vec<&Report> =
        runs.iter().filter_map(|run| run.as_ref().ok()?.report.as_ref()).collect();
    let verdict = match reports.as_slice() {
        [one, _] if one.failure.is_some() => Verdict::Violation,
        [one, two] if one.fingerprint != two.fingerprint => Verdict::Nondeterminism,
        [_, _] => Verdict::Pass,
        _ => Verdict::Inconclusive,
    };
    match (verdict, reports.first()) {
        (Verdict::Pass, Some(report)) => {
            let Report { fingerprint, events, sim_secs, summary, .. } = report;
            out::line(format!(
                "pass {test} seed {seed} {fingerprint} twice: {events} events, {sim_secs:.0} s\n  \
                 {summary}"
            ));
        }
        _ => out::line(format!("{verdict:?} {test} seed {seed}: {runs:?}")),
    }
    verdict
}

const PORT: u16 = 2379;
/// Long enough for a reboot and the retries of a connection.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a self-test saw.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Calls answered.
    pub answered: u64,
    /// Calls the disk had counted in the end.
    pub counted: u64,
    /// Reboots of the server.
    pub crashes: u64,
    /// What the disk went through.
    pub disk: Stats,
}

/// Runs the self-test inside a simulation.
///
/// # Panics
/// If an answered call is not on disk.
pub async fn program() -> Summary {
    let room = Room::current();
    let server = Machine::boot("server", Ipv4Addr::new(10, 0, 0, 1).into(), counting_server);
    let answered = Arc::new(Mutex::new(0));
    let shared = answered.clone();
    let ip = Ipv4Addr::new(10, 0, 0, 2).into();
    let client = Machine::boot("client", ip, move || call_in_a_loop(shared.clone()));
    let mut rng = room.stream("selftest");
    for round in 0..10 {
        clock::sleep(Duration::from_millis(rng.random_range(100..2000))).await;
        if round % 2 == 0 {
            let n = rng.random_range(0..40);
            room.with_drives(|drives| {
                drives.drive(server.id()).crash_after(n, Crash::Power, "power_at_disk_op");
            });
        } else if !server.is_down() {
            let how = if rng.random() { Crash::Power } else { Crash::Process };
            server.kill(how);
            clock::sleep(Duration::from_millis(rng.random_range(1..3000))).await;
            server.restart();
        }
    }
    clock::sleep(Duration::from_secs(30)).await;
    client.kill(Crash::Process);
    let answered = *answered.lock().expect("nobody panics with it");
    let counted = ask_count().await;
    assert!(counted >= answered, "{answered} calls were answered, {counted} are on disk");
    let crashes = room.crashes(server.id());
    Summary { answered, counted, crashes, disk: room.with_drives(|all| all.stats(server.id())) }
}

/// A fresh machine asks how many calls were counted.
pub(crate) async fn ask_count() -> u64 {
    let auditor = Machine::idle("auditor", Ipv4Addr::new(10, 0, 0, 3).into());
    let answer = auditor.spawn(async {
        let ask = HealthCheckRequest { service: "count".to_owned() };
        let channel = channel("server:2379", ChannelOptions::default());
        HealthClient::new(channel).check(ask).await.expect("the server is up by now")
    });
    let answer = answer.await.expect("nobody cancels it");
    u64::try_from(answer.get_ref().status).expect("a count")
}

/// A client that never stops calling, and counts the answers.
pub(crate) async fn call_in_a_loop(answered: Arc<Mutex<u64>>) {
    let mut client = HealthClient::new(channel("server:2379", ChannelOptions::default()));
    loop {
        let call = client.check(HealthCheckRequest { service: "add".to_owned() });
        match clock::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(_)) => *answered.lock().expect("nobody panics with it") += 1,
            Ok(Err(_)) | Err(_) => clock::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn counting_server() {
    let (disk, dir) = (disk::disk(), Path::new("/var/lib"));
    let file = disk.open(&dir.join("count"), OpenMode::CreateOrOpen).expect("opened");
    disk.sync_dir(dir).expect("synced");
    serve_count(file).await;
}

/// A counting server that ends when its disk fails, when it is asked to, and when its file is not
/// what it wrote; then it overwrites nothing.
pub(crate) async fn careful_server() {
    match checked_file() {
        Ok(Some(file)) => serve_count(file).await,
        // Started again, it tries again.
        Ok(None) | Err(_) => {}
    }
}

/// The file with the counts, if it holds nothing but them.
fn checked_file() -> io::Result<Option<Arc<dyn File>>> {
    let (disk, dir) = (disk::disk(), Path::new("/var/lib"));
    let file = disk.open(&dir.join("count"), OpenMode::CreateOrOpen)?;
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_at(&mut bytes, 0)?;
    if bytes.iter().any(|byte| *byte != 1) {
        return Ok(None);
    }
    // After a sync that failed, the page cache may show what the disk does not have. Sector by
    // sector: whenever the power fails, what is there has no hole.
    for (sector, counts) in (0..).zip(bytes.chunks(SECTOR)) {
        file.write_at(counts, sector * SECTOR as u64)?;
        file.sync()?;
    }
    disk.sync_dir(dir)?;
    Ok(Some(file))
}

async fn serve_count(file: Arc<dyn File>) {
    let failed = Stop::new();
    let counter = Counter { file, next: Mutex::new(()), failed: failed.clone() };
    let listener = Listener::bind(&format!("0.0.0.0:{PORT}")).await.expect("a free port");
    let service = Service(HealthServer::new(counter));
    let stop = failed.clone();
    let asked = async {
        signal::stop_requested().await;
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = serve(listener, service, ServeOptions::default(), failed) => {}
        () = asked => {}
    }
}

/// Appends a byte per call.
struct Counter {
    file: Arc<dyn File>,
    next: Mutex<()>,
    /// An error of the disk is the end.
    failed: Stop,
}

impl Counter {
    /// Counts, if asked to; how many calls were counted before.
    fn count(&self, adds: bool) -> io::Result<u64> {
        let _turn = self.next.lock().map_err(|_| io::Error::other("poisoned"))?;
        if self.failed.is_cancelled() {
            return Err(io::Error::other("stopping"));
        }
        let len = self.file.len()?;
        if adds {
            let added = self.file.write_at(&[1], len).and_then(|()| self.file.sync());
            if added.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::StorageFull) {
                self.failed.cancel();
            }
            added?;
        }
        Ok(len)
    }
}

#[tonic::async_trait]
impl Health for Counter {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let count = self.count(request.get_ref().service == "add");
        disk::settle().await;
        let status = i32::try_from(count?).map_err(|_| Status::out_of_range("too many"))?;
        Ok(Response::new(HealthCheckResponse { status }))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("not counted"))
    }

    type WatchStream = futures::stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not counted"))
    }
}

/// The health service as `serve` wants it.
#[derive(Clone)]
struct Service(HealthServer<Counter>);

impl tonic::codegen::Service<http::Request<hyper::body::Incoming>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<hyper::body::Incoming>) -> Self::Future {
        self.0.call(request)
    }
}
