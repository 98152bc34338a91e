//! What one client does, over and over.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use reseed_client::{Compare, Connection, Get, Put, Txn, op::CompareResult};
use reseed_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutRequest, RangeRequest,
    TxnRequest, kv_client::KvClient, lease_client::LeaseClient, response_op::Response,
};
use reseed_rt::rng;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{Common, Workload};

/// The keys of a run: fixed-width decimal numbers, so that their order is that of the numbers.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    size: usize,
    count: u64,
}

impl Keys {
    /// Room for a hundred million keys.
    pub(super) const SIZE_MIN: usize = 8;

    pub(super) fn new(common: &Common) -> Self {
        Self { size: common.key_size, count: common.key_space }
    }

    pub(super) fn key(&self, number: u64) -> Bytes {
        format!("{number:0width$}", width = self.size).into()
    }
}

/// One client.
#[derive(Debug)]
pub(super) struct Worker {
    keys: Keys,
    value: Bytes,
    /// `None`: in order.
    chance: Option<ChaCha8Rng>,
    task: Task,
}

#[derive(Debug)]
enum Task {
    Put(KvClient<Connection>),
    Fill { kv: KvClient<Connection>, batch: u64 },
    Range { kv: KvClient<Connection>, keys_per_range: u64, serializable: bool },
    Swap { kv: KvClient<Connection>, key: Bytes, mod_revision: i64 },
    Grant { lease: LeaseClient<Connection>, ttl: i64 },
    KeepAlive(Box<KeepAlive>),
}

#[derive(Debug)]
struct KeepAlive {
    id: i64,
    requests: mpsc::Sender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

impl Worker {
    /// Gets a client ready, so that what it does next is the workload and nothing else.
    pub(super) async fn prepare(
        common: &Common,
        workload: &Workload,
        connection: Connection,
        client: usize,
    ) -> Result<Self> {
        let keys = Keys::new(common);
        let kv = || KvClient::new(connection.clone()).max_decoding_message_size(usize::MAX);
        let task = match *workload {
            Workload::Put | Workload::Watch { .. } | Workload::Compare(_) => Task::Put(kv()),
            Workload::Fill { batch, .. } => Task::Fill { kv: kv(), batch },
            Workload::Range { keys_per_range, serializable } => {
                Task::Range { kv: kv(), keys_per_range: keys_per_range.max(1), serializable }
            }
            Workload::Txn => {
                let key = keys.key(u64::try_from(client)?);
                Task::Swap { kv: kv(), key, mod_revision: 0 }
            }
            Workload::Lease { keep_alive: false, ttl } => {
                Task::Grant { lease: LeaseClient::new(connection), ttl }
            }
            Workload::Lease { keep_alive: true, ttl } => {
                Task::KeepAlive(Box::new(KeepAlive::open(connection, ttl).await?))
            }
        };
        let mut content = rng::fork("bench.client");
        let value = (0..common.val_size).map(|_| content.random()).collect::<Vec<u8>>().into();
        let chance = (!common.sequential).then_some(content);
        Ok(Self { keys, value, chance, task })
    }

    /// One request; returns the operations it counts for.
    pub(super) async fn step(&mut self, ticket: u64) -> Result<u64, Status> {
        let number = match &mut self.chance {
            Some(chance) => chance.next_u64() % self.keys.count,
            None => ticket % self.keys.count,
        };
        match &mut self.task {
            Task::Put(kv) => {
                let put = Put::new(self.keys.key(number), self.value.clone());
                kv.put(PutRequest::from(put)).await?;
                Ok(1)
            }
            Task::Fill { kv, batch } => fill(kv, &self.keys, &self.value, (ticket, *batch)).await,
            Task::Range { kv, keys_per_range, serializable } => {
                let get = match *keys_per_range {
                    1 => Get::key(self.keys.key(number)),
                    count => {
                        let first = number.min(self.keys.count.saturating_sub(count));
                        Get::range(self.keys.key(first), self.keys.key(first + count))
                    }
                };
                let get = if *serializable { get.serializable() } else { get };
                kv.range(RangeRequest::from(get)).await?;
                Ok(1)
            }
            Task::Swap { kv, key, mod_revision } => {
                *mod_revision = swap(kv, key, &self.value, *mod_revision).await?;
                Ok(1)
            }
            Task::Grant { lease, ttl } => {
                lease.lease_grant(LeaseGrantRequest { ttl: *ttl, id: 0 }).await?;
                Ok(1)
            }
            Task::KeepAlive(stream) => stream.renew().await,
        }
    }
}

async fn fill(
    kv: &mut KvClient<Connection>,
    keys: &Keys,
    value: &Bytes,
    (ticket, batch): (u64, u64),
) -> Result<u64, Status> {
    let first = ticket * batch;
    let numbers = first..keys.count.min(first + batch);
    let count = numbers.end - numbers.start;
    let mut puts = numbers.map(|number| Put::new(keys.key(number), value.clone()));
    match (batch, puts.next()) {
        (1, Some(put)) => drop(kv.put(PutRequest::from(put)).await?),
        (_, Some(first)) => {
            let txn = Txn::new().then(std::iter::once(first).chain(puts));
            kv.txn(TxnRequest::from(txn)).await?;
        }
        (_, None) => {}
    }
    Ok(count)
}

/// Replaces the value if the key is as this client left it; returns its revision afterwards.
async fn swap(
    kv: &mut KvClient<Connection>,
    key: &Bytes,
    value: &Bytes,
    mod_revision: i64,
) -> Result<i64, Status> {
    let txn = Txn::new()
        .when([Compare::mod_revision(key.clone(), CompareResult::Equal, mod_revision)])
        .then([Put::new(key.clone(), value.clone())])
        .or_else([Get::key(key.clone())]);
    let answer = kv.txn(TxnRequest::from(txn)).await?.into_inner();
    if answer.succeeded {
        return Ok(answer.header.map_or(0, |header| header.revision));
    }
    let found = answer.responses.into_iter().next().and_then(|op| op.response);
    match found {
        Some(Response::ResponseRange(range)) => {
            Ok(range.kvs.first().map_or(0, |pair| pair.mod_revision))
        }
        _ => Err(Status::internal("a transaction answered with something else than it was asked")),
    }
}

impl KeepAlive {
    async fn open(connection: Connection, ttl: i64) -> Result<Self> {
        let mut lease = LeaseClient::new(connection);
        let id = lease.lease_grant(LeaseGrantRequest { ttl, id: 0 }).await?.into_inner().id;
        let (requests, outbound) = mpsc::channel(1);
        requests.send(LeaseKeepAliveRequest { id }).await?;
        let outbound = tokio_stream::wrappers::ReceiverStream::new(outbound);
        let mut answers = lease.lease_keep_alive(outbound).await?.into_inner();
        answers.message().await?.context("the keep-alive stream ended")?;
        Ok(Self { id, requests, answers })
    }

    async fn renew(&mut self) -> Result<u64, Status> {
        let ended = || Status::unavailable("the keep-alive stream ended");
        self.requests.send(LeaseKeepAliveRequest { id: self.id }).await.map_err(|_| ended())?;
        let answer = self.answers.message().await?.ok_or_else(ended)?;
        match answer.ttl {
            0 => Err(Status::not_found("the lease is gone")),
            _ => Ok(1),
        }
    }
}
