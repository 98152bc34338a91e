//! The watch workload: one key, one writer, many watchers on a few streams.
//!
//! An operation is one event received by one watcher; its latency is counted from when the writer
//! sent the put.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Result, bail};
use reseed_client::{Connection, Put};
use reseed_proto::etcdserverpb::{
    PutRequest, WatchCreateRequest, WatchRequest, WatchResponse, kv_client::KvClient,
    watch_client::WatchClient, watch_request::RequestUnion,
};
use reseed_rt::{clock, task};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Common, load::Meter, work::Keys};

/// When each put was sent, by its number, which its value carries.
type Sent = Arc<Mutex<BTreeMap<u64, clock::Instant>>>;

/// Puts whose events may be missing before the writer waits.
const PUTS_AHEAD_MAX: u64 = 64;

pub(super) async fn run(
    common: &Common,
    connections: &[Connection],
    watchers: u64,
    meter: &Arc<Meter>,
) -> Result<()> {
    let streams_count = u64::try_from(common.clients)?.min(watchers).max(1);
    let key = Keys::new(common).key(0);
    let sent: Sent = Arc::default();
    let mut readers = Vec::new();
    let mut progress = Vec::new();
    for index in 0..streams_count {
        let share = watchers / streams_count + u64::from(index < watchers % streams_count);
        let connection = &connections[usize::try_from(index)? % connections.len()];
        let (requests, stream) = open(connection.clone(), &key, share).await?;
        let (seen, done) = mpsc::channel(1024);
        progress.push(done);
        let (sent, meter) = (Arc::clone(&sent), Arc::clone(meter));
        readers.push(task::spawn("bench.watch", async move {
            let outcome = read(stream, share, &sent, &meter, &seen).await;
            drop(requests);
            outcome
        }));
    }
    write(common, &connections[0], &key, (&sent, meter), &mut progress).await?;
    for reader in readers {
        reader.abort();
    }
    Ok(())
}

/// A stream with `share` watchers, all confirmed.
async fn open(
    connection: Connection,
    key: &bytes::Bytes,
    share: u64,
) -> Result<(mpsc::Sender<WatchRequest>, Streaming<WatchResponse>)> {
    let mut client = WatchClient::new(connection).max_decoding_message_size(usize::MAX);
    let (requests, outbound) = mpsc::channel(1);
    let create = WatchCreateRequest { key: key.clone(), ..WatchCreateRequest::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    requests.send(create.clone()).await?;
    let mut stream = client.watch(ReceiverStream::new(outbound)).await?.into_inner();
    for left in (0..share).rev() {
        match stream.message().await? {
            Some(answer) if answer.created && !answer.canceled => {}
            other => bail!("a watch was not created: {other:?}"),
        }
        if left > 0 {
            requests.send(create.clone()).await?;
        }
    }
    Ok((requests, stream))
}

/// Counts events; tells `seen` of each put that all watchers of the stream have seen.
async fn read(
    mut stream: Streaming<WatchResponse>,
    share: u64,
    sent: &Sent,
    meter: &Meter,
    seen: &mpsc::Sender<()>,
) -> Result<(), tonic::Status> {
    let mut events: u64 = 0;
    while let Some(response) = stream.message().await? {
        let now = clock::Instant::now();
        for event in &response.events {
            let value = event.kv.as_ref().map(|kv| kv.value.as_ref()).unwrap_or_default();
            let number = value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            let started = number.and_then(|number| {
                sent.lock().unwrap_or_else(PoisonError::into_inner).get(&number).copied()
            });
            meter.success(1, started.map_or_else(Default::default, |started| now - started));
            events += 1;
            if events.is_multiple_of(share) && seen.send(()).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Puts until the budget of events is spent, never far ahead of the slowest stream.
async fn write(
    common: &Common,
    connection: &Connection,
    key: &bytes::Bytes,
    (sent, meter): (&Sent, &Meter),
    progress: &mut [mpsc::Receiver<()>],
) -> Result<()> {
    let mut kv = KvClient::new(connection.clone());
    let mut value = vec![0; common.val_size.max(8)];
    let mut puts = 0;
    while let Some(number) = meter.ticket(clock::Instant::now()) {
        value[..8].copy_from_slice(&number.to_be_bytes());
        let started = clock::Instant::now();
        sent.lock().unwrap_or_else(PoisonError::into_inner).insert(number, started);
        kv.put(PutRequest::from(Put::new(key.clone(), value.clone()))).await?;
        puts += 1;
        if puts > PUTS_AHEAD_MAX {
            await_all(progress).await?;
            let oldest = number - PUTS_AHEAD_MAX;
            sent.lock().unwrap_or_else(PoisonError::into_inner).remove(&oldest);
        }
    }
    for _ in 0..puts.min(PUTS_AHEAD_MAX) {
        await_all(progress).await?;
    }
    Ok(())
}

/// Waits until every stream has seen one more put.
async fn await_all(progress: &mut [mpsc::Receiver<()>]) -> Result<()> {
    for stream in progress {
        if stream.recv().await.is_none() {
            bail!("a watch stream ended");
        }
    }
    Ok(())
}
