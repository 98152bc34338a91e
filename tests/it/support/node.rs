//! One daemon as a child process: its directory, its port, its log, its end.
//!
//! reseed by default, Debian's etcd where the two are compared. A node is killed and reaped when it
//! is dropped, whatever happens; if the test is failing then, the end of its log is printed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::thread;

use tempfile::TempDir;

use super::{http, wait};

/// How a node is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Flags besides those every node gets.
    pub(crate) flags: Vec<String>,
    /// Where the data is; a temporary directory if not given.
    pub(crate) data_dir: Option<PathBuf>,
    /// Debian's etcd instead of reseed.
    pub(crate) etcd: bool,
    /// What it is called, `default` if not given, and where its peers reach it.
    pub(crate) name: Option<String>,
    /// Where it listens for its peers; anywhere if not given.
    pub(crate) peer: Option<SocketAddr>,
    /// Where it listens for clients; anywhere on loopback if not given.
    pub(crate) client: Option<SocketAddr>,
    /// The network namespace it runs in; this process's if not given.
    pub(crate) space: Option<String>,
}

impl Options {
    /// With these flags.
    pub(crate) fn flags(flags: &[&str]) -> Self {
        Self { flags: flags.iter().map(ToString::to_string).collect(), ..Self::default() }
    }
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Node {
    options: Options,
    home: Arc<TempDir>,
    data_dir: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
}

impl Node {
    /// Starts reseed with etcd's defaults and waits until it serves.
    pub(crate) fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts a daemon and waits until it serves.
    pub(crate) fn start_with(options: Options) -> Self {
        let mut node = Self::prepare(options);
        node.start_again();
        node
    }

    /// Sets it up without starting it.
    pub(crate) fn prepare(options: Options) -> Self {
        let home = Arc::new(TempDir::new().expect("a temporary directory"));
        let data_dir = options.data_dir.clone().unwrap_or_else(|| home.path().join("data"));
        let address = options.client.unwrap_or_else(free_address);
        Self { options, home, data_dir, address, child: None }
    }

    /// Starts it over its old data, if any, without waiting for anything: a member of a cluster
    /// serves only when enough of them do.
    pub(crate) fn launch(&mut self) {
        assert!(self.child.is_none(), "the node is running");
        self.child = Some(self.spawn());
    }

    /// Sends it a signal, such as `STOP` or `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("the node is running").id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.is_ok_and(|s| s.success()), "signal {signal} to {pid}");
    }

    /// Starts it over its old data, on a new port, and waits until it serves.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "the node is running");
        // Another process may take a free port before the daemon does: then try another.
        for _ in 0..5 {
            self.address = free_address();
            self.child = Some(self.spawn());
            if self.wait_until_serving() {
                return;
            }
            self.child = None;
            if !self.log().contains("in use") {
                break;
            }
        }
        panic!("the node does not start:\n{}", self.log_end());
    }

    /// Runs the daemon in a way that is expected to fail; its exit status and what it said.
    pub(crate) fn start_and_fail(options: Options) -> (ExitStatus, String) {
        let mut node = Self::prepare(options);
        let mut child = node.spawn();
        let status = wait::until("the daemon to give up", || {
            let status = child.try_wait().expect("a child of ours");
            if status.is_none() && http::get(node.address, "/health").is_some() {
                child.kill().expect("a child of ours");
                panic!("the daemon serves, but should have refused to start");
            }
            status
        });
        node.child = None;
        (status, node.log())
    }

    fn spawn(&self) -> Child {
        let url = self.endpoint();
        let binary = if self.options.etcd { "etcd" } else { env!("CARGO_BIN_EXE_reseed") };
        let mut command = match &self.options.space {
            None => Command::new(binary),
            Some(space) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", space, binary]);
                command
            }
        };
        let name = self.options.name.as_deref().unwrap_or("default");
        let peer = format!("http://{}", self.options.peer.unwrap_or_else(free_address));
        command.args(["--name", name, "--data-dir"]).arg(&self.data_dir).args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
            "--listen-peer-urls",
            &peer,
        ]);
        if self.options.etcd {
            command.args(["--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &format!("default={peer}")]);
        }
        let log = File::options().create(true).append(true).open(self.log_path());
        let log = log.expect("the log can be written");
        command
            .args(&self.options.flags)
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| !name.starts_with("ETCD_")))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{binary}: {e}"))
    }

    /// False if it has exited instead.
    pub(crate) fn wait_until_serving(&mut self) -> bool {
        let address = self.address;
        let child = self.child.as_mut().expect("just started");
        wait::until("the node to serve", || {
            if child.try_wait().expect("a child of ours").is_some() {
                return Some(false);
            }
            let answer = http::get(address, "/health")?;
            (answer.status == 200).then_some(true)
        })
    }

    /// Where clients reach it: `http://host:port`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where clients reach it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its peers reach it, if that was said.
    pub(crate) fn peer_address(&self) -> SocketAddr {
        self.options.peer.expect("the node was given an address for its peers")
    }

    /// Its data directory.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Kills it without warning (kill -9) and reaps it.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the node is running");
        child.kill().expect("a child of ours");
        child.wait().expect("a child of ours");
    }

    /// Asks it to stop (`TERM`, `INT`) and waits until it has.
    pub(crate) fn stop(&mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        let mut child = self.child.take().expect("the node is running");
        self.reap(&mut child)
    }

    fn reap(&self, child: &mut Child) -> ExitStatus {
        wait::until("the node to stop", || child.try_wait().expect("a child of ours"))
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        let child = self.child.as_mut().expect("the node was started");
        child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits until it has stopped by itself.
    pub(crate) fn wait_until_stopped(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it was started");
        wait::until("the node to stop by itself", || child.try_wait().expect("a child of ours"))
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// Everything it has written to its standard streams, over all its starts.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Panics if it has stopped, or has written of a panic.
    pub(crate) fn assert_healthy(&mut self) {
        assert!(self.is_running(), "the node has stopped:\n{}", self.log_end());
        assert!(!self.log().contains("panicked"), "a panic:\n{}", self.log_end());
        let health = wait::until("health", || http::get(self.address, "/health"));
        assert_eq!(health.status, 200, "{health:?}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Already gone is as good.
            _ = child.kill();
            _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("--- end of the node's log\n{}", self.log_end());
        }
    }
}

/// An address on loopback where nobody listens, given to nobody else by this process.
pub(crate) fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_ports(1)).into()
}

/// The first of so many ports in a row where nobody listens, given to nobody else by this process.
///
/// Not those that the system picks: it would pick the same for a connection that somebody opens
/// before the daemon listens. These are below its range (`ip_local_port_range`).
pub(crate) fn free_ports(count: u16) -> u16 {
    const PORTS: Range<u32> = 10_000..32_000;
    static NEXT: LazyLock<AtomicU32> =
        LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(97)));
    let first = || NEXT.fetch_add(count.into(), Relaxed) % (PORTS.end - PORTS.start) + PORTS.start;
    let candidates = (PORTS.start..PORTS.end).filter_map(|_| u16::try_from(first()).ok());
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut free = candidates.filter(|first| (*first..first + count).all(is_free));
    free.next().expect("free ports")
}
