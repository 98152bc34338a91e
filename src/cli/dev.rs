//! `reseed dev`: a cluster of several members on this machine, for trying things out.
//!
//! Each member is a process of this very program, with its data and log in a directory that stays:
//! the next start goes on with it. Not for production: all members die with the machine.
#![expect(clippy::disallowed_methods, reason = "directories and processes of the command's own")]

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use clap::builder::TypedValueParser;
use reseed_client::{Client, ClientOptions, Get};
use reseed_rt::net::Listener;
use reseed_rt::{clock, signal};

use super::Invocation;

/// Time between two looks at the members.
const LOOK: Duration = Duration::from_millis(50);
/// Longest to wait for the cluster to answer, or for a member to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// As many as etcd advises at most.
const MEMBERS_MAX: u16 = 7;

fn members() -> impl TypedValueParser<Value = u16> {
    clap::value_parser!(u16).range(1..=i64::from(MEMBERS_MAX))
}

/// Run a cluster on this machine, to try things out.
#[derive(Debug, Parser)]
#[command(name = "reseed dev")]
struct Options {
    /// How many members.
    #[arg(long, default_value_t = 3, value_parser = members())]
    members: u16,
    /// Where data and logs are kept.
    #[arg(long, default_value = "reseed-dev")]
    dir: PathBuf,
    /// The first member's client port; its peer port is the next one, then come the others.
    #[arg(long, default_value_t = 2379, value_parser = clap::value_parser!(u16).range(1..65_000))]
    port: u16,
}

/// Runs the cluster until a signal; returns the exit code.
pub(crate) fn run(invocation: &Invocation) -> u8 {
    let options = match Options::try_parse_from(&invocation.args) {
        Ok(options) => options,
        Err(error) => {
            // clap knows whether this is help or a complaint, and where each belongs.
            error.print().ok();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    match super::block_on(serve(&options)) {
        Ok(()) => 0,
        Err(error) => {
            super::complain(&format!("reseed dev: {error:#}\n"));
            1
        }
    }
}

async fn serve(options: &Options) -> Result<()> {
    options.check().await?;
    let mut members = Members::start(options)?;
    let endpoints: Vec<String> = (0..options.members).map(|n| options.client(n)).collect();
    tokio::select! {
        biased;
        name = signal::stop_requested() => return members.stop(name).await,
        ended = members.ended() => return ended,
        answered = await_answer(&endpoints) => answered?,
    }
    members.check()?;
    super::say(&format!(
        "{} members run, with data and logs in {}; Ctrl-C stops them.\n\n  \
         etcdctl --endpoints={} endpoint status -w table\n",
        options.members,
        options.dir.display(),
        endpoints.join(",")
    ));
    tokio::select! {
        biased;
        name = signal::stop_requested() => members.stop(name).await,
        ended = members.ended() => ended,
    }
}

impl Options {
    /// What would end one of the members soon, said before any is started.
    async fn check(&self) -> Result<()> {
        let in_dir = (0..MEMBERS_MAX).filter(|n| self.data_dir(*n).is_dir()).count();
        if in_dir != 0 && in_dir != usize::from(self.members) {
            let dir = self.dir.display();
            bail!(
                "{dir} holds a cluster of {in_dir}: ask for --members {in_dir}, or another --dir"
            );
        }
        for port in self.port..self.port + 2 * self.members {
            let address = format!("127.0.0.1:{port}");
            // Closed again at once: a member takes it.
            let bound = Listener::bind(&address).await;
            bound.with_context(|| format!("{address}, one of the members' ports"))?;
        }
        Ok(())
    }

    fn data_dir(&self, n: u16) -> PathBuf {
        self.dir.join(format!("m{n}"))
    }

    fn client(&self, n: u16) -> String {
        format!("127.0.0.1:{}", self.port + 2 * n)
    }

    fn peer(&self, n: u16) -> String {
        format!("http://127.0.0.1:{}", self.port + 2 * n + 1)
    }

    fn flags(&self, n: u16) -> Vec<String> {
        let all = (0..self.members).map(|n| format!("m{n}={}", self.peer(n)));
        let (client, peer) = (self.client(n), self.peer(n));
        vec![
            format!("--name=m{n}"),
            format!("--data-dir={}", self.data_dir(n).display()),
            format!("--listen-client-urls=http://{client}"),
            format!("--advertise-client-urls=http://{client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={}", all.collect::<Vec<_>>().join(",")),
        ]
    }

    fn log(&self, n: u16) -> PathBuf {
        self.dir.join(format!("m{n}.log"))
    }
}

/// The members' processes; killed when dropped.
struct Members {
    children: Vec<(Child, PathBuf)>,
}

impl Members {
    fn start(options: &Options) -> Result<Self> {
        let dir = &options.dir;
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let binary = std::env::current_exe().context("finding this program")?;
        let mut members = Self { children: Vec::new() };
        for n in 0..options.members {
            let log = options.log(n);
            let child = spawn(&binary, &options.flags(n), &log)?;
            members.children.push((child, log));
        }
        Ok(members)
    }

    /// Returns when a member has ended by itself, with where to read why.
    async fn ended(&mut self) -> Result<()> {
        loop {
            self.check()?;
            clock::sleep(LOOK).await;
        }
    }

    /// An error if a member has ended by itself.
    fn check(&mut self) -> Result<()> {
        match self.first_ended()? {
            Some((status, log)) => {
                bail!("a member ended with {status}; its log is {}", log.display())
            }
            None => Ok(()),
        }
    }

    fn first_ended(&mut self) -> Result<Option<(ExitStatus, PathBuf)>> {
        for (child, log) in &mut self.children {
            if let Some(status) = child.try_wait().context("looking after a member")? {
                return Ok(Some((status, log.clone())));
            }
        }
        Ok(None)
    }

    /// Stops all members, one after the other, as an operator would.
    async fn stop(mut self, signal_name: &str) -> Result<()> {
        super::complain(&format!("{signal_name}: stopping\n"));
        for (child, _) in &mut self.children {
            let pid = child.id().to_string();
            // It may have ended by itself.
            Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status().ok();
            let deadline = clock::Instant::now() + PATIENCE;
            while child.try_wait().context("waiting for a member")?.is_none() {
                if clock::Instant::now() >= deadline {
                    bail!("member with process id {pid} does not stop");
                }
                clock::sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for (child, _) in &mut self.children {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Returns when a linearizable read is answered.
async fn await_answer(endpoints: &[String]) -> Result<()> {
    let options = ClientOptions {
        request_timeout: Some(Duration::from_secs(1)),
        ..ClientOptions::new(endpoints.iter().cloned())
    };
    let client = Client::connect(options)?;
    let deadline = clock::Instant::now() + PATIENCE;
    while client.get(Get::key("a")).await.is_err() {
        if clock::Instant::now() >= deadline {
            bail!("the cluster does not answer within {PATIENCE:?}");
        }
        clock::sleep(LOOK).await;
    }
    Ok(())
}

#[expect(clippy::disallowed_types, reason = "the log of a member")]
fn spawn(binary: &Path, flags: &[String], log: &Path) -> Result<Child> {
    let into = std::fs::File::options().create(true).append(true).open(log);
    let into = into.with_context(|| format!("opening {}", log.display()))?;
    Command::new(binary)
        .arg("serve")
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(into)
        // The terminal's Ctrl-C is for this program, which asks each member once.
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))
}
