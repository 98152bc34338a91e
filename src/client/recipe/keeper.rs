//! Keeps a lease alive in the background, and says when it is lost.
//!
//! It renews at a third of the time to live, each attempt with as little patience as leaves time
//! for the next one elsewhere, and goes on through every error until the lease is said to be gone
//! or must be believed to be.

use std::time::Duration;

use reseed_core::error::Error as EtcdError;
use reseed_rt::{
    clock::{self, Instant},
    task::{self, Stop},
};
use tokio::sync::watch;

use super::belief::Belief;
use crate::{Client, Error, lease::KeepAlive, retry::Backoff};

/// Keeps a lease alive until it is dropped.
#[derive(Debug)]
pub struct Keeper {
    beliefs: watch::Receiver<Belief>,
    stop: Stop,
}

impl Keeper {
    /// Starts to keep alive a lease that was granted, or renewed, for `ttl` by a request sent at
    /// `sent`. Its owner stops believing in it `margin_percent` of its time early.
    #[must_use]
    pub fn start(
        client: &Client,
        lease: i64,
        (sent, ttl): (Instant, Duration),
        margin_percent: u32,
    ) -> Self {
        let belief = Belief::granted(sent, ttl, margin_percent);
        let (tell, beliefs) = watch::channel(belief);
        let stop = Stop::new();
        let pace = belief.pace();
        let patience = client.request_timeout.map_or(pace, |limit| limit.min(pace));
        let renewals = client.with_timeout(Some(patience)).lease_keep_alive(lease);
        let backoff = Backoff::new(client.channel.len());
        drop(task::spawn("client.keeper", keep(renewals, backoff, tell, stop.clone())));
        Self { beliefs, stop }
    }

    /// May the lease still be believed in?
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.beliefs.borrow().is_over(Instant::now())
    }

    /// When the lease is lost unless it is renewed; `None`: it is lost.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.beliefs.borrow().until().filter(|_| self.is_alive())
    }

    /// Returns when the lease is lost. Cancel-safe.
    pub async fn lost(&self) {
        let mut beliefs = self.beliefs.clone();
        loop {
            let until = beliefs.borrow_and_update().until();
            let Some(until) = until.filter(|until| Instant::now() < *until) else { return };
            // The task being gone means that nobody renews: what is left is the time.
            tokio::select! {
                biased;
                Ok(()) = beliefs.changed() => {}
                () = clock::sleep_until(until) => {}
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn keep(
    mut renewals: KeepAlive,
    mut backoff: Backoff,
    tell: watch::Sender<Belief>,
    stop: Stop,
) {
    let endpoints = backoff.endpoints();
    let mut pause = tell.borrow().pace();
    loop {
        let belief = *tell.borrow();
        let Some(until) = belief.until() else { return };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = clock::sleep_until(until) => {
                tell.send_replace(belief.over());
                return;
            }
            () = clock::sleep(pause) => {}
        }
        let sent = Instant::now();
        match stop.run_until_cancelled(renewals.renew()).await {
            None => return,
            Some(Ok(answer)) => {
                let ttl = Duration::from_secs(u64::try_from(answer.ttl).unwrap_or(0));
                let belief = belief.renewed(sent, ttl, Instant::now());
                tell.send_replace(belief);
                backoff = Backoff::new(endpoints);
                pause = belief.pace();
            }
            Some(Err(Error::Etcd(EtcdError::LeaseNotFound))) => {
                tell.send_replace(belief.over());
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "a renewal failed");
                pause = backoff.next_pause();
            }
        }
    }
}
