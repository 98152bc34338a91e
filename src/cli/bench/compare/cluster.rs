//! The members of one side of a comparison, on free ports of this machine.
#![expect(clippy::disallowed_methods, reason = "directories of the bench's own")]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use reseed_client::{Client, ClientOptions, Put};
use reseed_rt::clock;

use super::process::{Name, Process};

/// Longest to wait for a leader after the one before it was killed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest to wait for one write of those that probe for a leader.
const PROBE: Duration = Duration::from_millis(200);

/// Running members; killed, and their directory removed, when dropped.
#[derive(Debug)]
pub(super) struct Cluster {
    members: Vec<Process>,
    dir: Dir,
}

#[derive(Debug)]
struct Dir(PathBuf);

impl Cluster {
    /// Starts `size` members in an empty directory and waits until each answers.
    pub(super) async fn start(binary: &Path, dir: &Path, size: usize) -> Result<Self> {
        if dir.exists() {
            bail!("{} is in the way: remove it, or name another --dir", dir.display());
        }
        let mut cluster = Self { members: Vec::new(), dir: Dir(dir.to_owned()) };
        let mut all = Vec::new();
        for index in 0..size {
            all.push(Name::on_a_free_port(index).await?);
        }
        for me in &all {
            let home = cluster.dir.0.join(&me.name);
            cluster.members.push(Process::start(binary, &home, me, &all).await?);
        }
        for member in &mut cluster.members {
            member.await_answer().await?;
        }
        Ok(cluster)
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.members.iter().map(Process::pid).collect()
    }

    pub(super) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.endpoint().to_owned()).collect()
    }

    /// Stops one and starts it again; returns how long it took to answer.
    pub(super) async fn restart(&mut self) -> Result<Duration> {
        self.members.first_mut().context("a member")?.restart().await
    }

    /// Kills the leader; returns how long it took until another member took a write. The cluster
    /// is one member short from then on.
    pub(super) async fn kill_leader(&mut self) -> Result<Duration> {
        let leader = self.leader().await?;
        let rest: Vec<_> = self.endpoints().into_iter().enumerate().collect();
        let rest = rest.into_iter().filter(|(index, _)| *index != leader).map(|(_, one)| one);
        // One connection to each, made before: only the election is measured.
        let mut clients = Vec::new();
        for endpoint in rest {
            let client = Client::connect(ClientOptions::new([endpoint]))?.with_timeout(Some(PROBE));
            client.status().await.context("a member that stays")?;
            clients.push(client);
        }
        self.members[leader].kill()?;
        let killed = clock::Instant::now();
        while killed.elapsed() < PATIENCE {
            for client in &clients {
                if client.put(Put::new("leader", "killed")).await.is_ok() {
                    return Ok(killed.elapsed());
                }
            }
        }
        bail!("no leader after {PATIENCE:?}")
    }

    /// Which member leads.
    async fn leader(&self) -> Result<usize> {
        for (index, member) in self.members.iter().enumerate() {
            let client = Client::connect(ClientOptions::new([member.endpoint().to_owned()]))?;
            let status = client.status().await.context("asking who leads")?;
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                return Ok(index);
            }
        }
        bail!("nobody leads")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // What is left is the operator's to see, and in the way of the next run.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
