//! A session: a lease that lives as long as its owner does, and not much longer.

use std::{sync::Arc, time::Duration};

use reseed_rt::clock::Instant;

use super::Keeper;
use crate::{Client, Error};

/// How a [`Session`] lives.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Seconds its lease outlives the last renewal. Default 60, as etcd's.
    pub ttl_secs: i64,
    /// A lease to take over instead of a new one.
    pub lease: Option<i64>,
    /// How much slower than a member's this machine's clock may be, in percent: the session
    /// counts as lost so much early. Default 10.
    pub clock_margin_percent: u32,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { ttl_secs: 60, lease: None, clock_margin_percent: 10 }
    }
}

/// A lease kept alive in the background. Clones are the same session; with the last one renewals
/// end, and the lease runs out.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    lease: i64,
    keeper: Arc<Keeper>,
}

impl Session {
    /// Begins a session, with a lease of its own unless `options` name one.
    ///
    /// # Errors
    /// Any [`Error`] of the grant, which is not repeated: a lease that nobody knows of runs out by
    /// itself. [`Error::SessionLost`] if the lease to take over is gone.
    pub async fn begin(client: &Client, options: SessionOptions) -> Result<Self, Error> {
        let sent = Instant::now();
        let (lease, ttl) = match options.lease {
            Some(lease) => (lease, client.lease_keep_alive_once(lease).await?.ttl),
            None => {
                let granted = client.lease_grant(options.ttl_secs, 0).await?;
                (granted.id, granted.ttl)
            }
        };
        let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
        if ttl.is_zero() {
            return Err(Error::SessionLost);
        }
        let keeper = Keeper::start(client, lease, (sent, ttl), options.clock_margin_percent);
        Ok(Self { client: client.clone(), lease, keeper: Arc::new(keeper) })
    }

    /// The client it was begun with.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its lease: what is put with it goes when the session ends.
    #[must_use]
    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// May it still be believed in? Once `false`, for ever `false`.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.keeper.is_alive()
    }

    /// When it is lost unless its lease is renewed; `None`: it is lost.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.keeper.until()
    }

    /// Returns when the session is lost. Cancel-safe.
    pub async fn lost(&self) {
        self.keeper.lost().await;
    }

    /// Ends the session at once, with everything that hangs on its lease.
    ///
    /// # Errors
    /// Any [`Error`] of the revocation, which is not repeated; the lease runs out by itself then.
    pub async fn end(self) -> Result<(), Error> {
        self.client.lease_revoke(self.lease).await.map(drop)
    }

    /// What `work` gives, unless the session is lost before.
    pub(super) async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.lost() => Err(Error::SessionLost),
            done = work => done,
        }
    }
}
