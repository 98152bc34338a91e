//! One member under comparison: started, asked whether it is there, stopped or killed.
#![expect(clippy::disallowed_methods, reason = "directories and processes of the bench's own")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use reseed_client::{Client, ClientOptions, Get};
use reseed_rt::{clock, net::Listener};

/// Longest to wait for a server to answer, or to go.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Who a member is, before it runs.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) peer_url: String,
}

impl Name {
    /// The `index`th member, on a free port.
    pub(super) async fn on_a_free_port(index: usize) -> Result<Self> {
        let peer_url = format!("http://127.0.0.1:{}", free_port().await?);
        Ok(Self { name: format!("m{index}"), peer_url })
    }
}

/// A running member; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    binary: PathBuf,
    dir: PathBuf,
    flags: Vec<String>,
    endpoint: String,
}

impl Process {
    /// Starts `binary` on an empty directory as one of `all`.
    pub(super) async fn start(binary: &Path, dir: &Path, me: &Name, all: &[Name]) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let endpoint = format!("127.0.0.1:{}", free_port().await?);
        let Name { name, peer_url } = me;
        let cluster: Vec<_> =
            all.iter().map(|one| format!("{}={}", one.name, one.peer_url)).collect();
        let flags = vec![
            format!("--name={name}"),
            format!("--data-dir={}", dir.join("data").display()),
            format!("--listen-client-urls=http://{endpoint}"),
            format!("--advertise-client-urls=http://{endpoint}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--initial-cluster={}", cluster.join(",")),
            // etcd's databases are larger than its default quota allows here.
            "--quota-backend-bytes=8000000000".to_owned(),
            "--logger=zap".to_owned(),
            "--log-level=error".to_owned(),
        ];
        let child = spawn(binary, dir, &flags)?;
        let (binary, dir) = (binary.to_owned(), dir.to_owned());
        Ok(Self { child, binary, dir, flags, endpoint })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Stops it with SIGTERM and starts it again; returns how long it took to answer.
    pub(super) async fn restart(&mut self) -> Result<Duration> {
        self.stop().await?;
        let started = clock::Instant::now();
        self.child = spawn(&self.binary, &self.dir, &self.flags)?;
        self.await_answer().await?;
        Ok(started.elapsed())
    }

    /// Ends it with SIGKILL.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing a member")?;
        self.child.wait().context("waiting for a killed member")?;
        Ok(())
    }

    /// Returns when a linearizable read is answered.
    pub(super) async fn await_answer(&mut self) -> Result<()> {
        let options = ClientOptions {
            request_timeout: Some(Duration::from_secs(1)),
            ..ClientOptions::new([self.endpoint.clone()])
        };
        let deadline = clock::Instant::now() + PATIENCE;
        loop {
            // A client of its own each time: what failed once is not tried slower next time.
            let client = Client::connect(options.clone())?.with_timeout(Some(LOOK * 20));
            if client.get(Get::key("a")).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().context("looking after a server")? {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("{} ended with {status}: {log}", self.binary.display());
            }
            if clock::Instant::now() >= deadline {
                bail!("{} does not answer", self.binary.display());
            }
            clock::sleep(LOOK).await;
        }
    }

    async fn stop(&mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().context("running kill")?;
        if !told.success() {
            bail!("kill -TERM {pid}: {told}");
        }
        let deadline = clock::Instant::now() + PATIENCE;
        while self.child.try_wait().context("waiting for a server")?.is_none() {
            if clock::Instant::now() >= deadline {
                bail!("{} does not stop", self.binary.display());
            }
            clock::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What `etcd --version` says first.
pub(super) fn version(binary: &Path) -> String {
    let said = Command::new(binary).arg("--version").output().map(|output| output.stdout);
    let said = String::from_utf8(said.unwrap_or_default()).unwrap_or_default();
    said.lines().next().unwrap_or("etcd of an unknown version").to_owned()
}

#[expect(clippy::disallowed_types, reason = "the log of a server under comparison")]
fn spawn(binary: &Path, dir: &Path, flags: &[String]) -> Result<Child> {
    let log = std::fs::File::create(dir.join("log")).context("creating a log")?;
    Command::new(binary)
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))
}

async fn free_port() -> Result<u16> {
    let listener = Listener::bind("127.0.0.1:0").await.context("finding a free port")?;
    Ok(listener.local_addr()?.port())
}
