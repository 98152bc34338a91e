//! A look at everything when all is quiet: the history from the beginning, and the state.

use std::time::Duration;

use reseed_proto::etcdserverpb::{RangeRequest, RangeResponse, kv_client::KvClient};
use reseed_rt::clock;
use tonic::Status;

use super::{MESSAGE_BYTES_MAX, connection, translate, watch};
use crate::check::old::Audit;

/// Between two attempts, while the member still recovers.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads everything, again and again until it works. Callers bound this: a healed member that
/// cannot be read is a violation of its own.
pub async fn audit() -> Audit {
    loop {
        match attempt().await {
            Ok(audit) => return audit,
            Err(status) => {
                tracing::debug!(%status, "the audit has to wait");
                clock::sleep(PAUSE).await;
            }
        }
    }
}

async fn attempt() -> Result<Audit, Status> {
    let range = watch::timely(read_all()).await?;
    let revision = translate::revision(range.header.as_ref());
    let of = |kv| {
        (translate::text(&reseed_proto::mvccpb::KeyValue::clone(kv).key), translate::version(kv))
    };
    let state = range.kvs.iter().map(of).collect();
    let mut audit = Audit { changes: Vec::new(), state, revision };
    let mut next = 1;
    // The stream is given up once it is silent: by then it has said all there is.
    let _silent = watch::follow(&mut next, |_, changes| audit.changes.extend(changes)).await;
    // Did anything happen meanwhile? Unknown requests may still have been on their way.
    let again = watch::timely(read_all()).await?;
    if translate::revision(again.header.as_ref()) != revision {
        return Err(Status::aborted("the store is not quiet yet"));
    }
    Ok(audit)
}

async fn read_all() -> Result<RangeResponse, Status> {
    let (key, range_end) = translate::EVERYTHING;
    let mut client = KvClient::new(connection()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(client.range(RangeRequest { key, range_end, ..RangeRequest::default() }).await?.into_inner())
}
