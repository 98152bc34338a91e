//! A client that puts, gets, deletes and swaps, one request at a time.

use std::{collections::BTreeMap, time::Duration};

use rand::{RngExt, distr::weighted::WeightedIndex, prelude::Distribution};
use rand_chacha::ChaCha8Rng;
use reseed_proto::etcdserverpb::{DeleteRangeRequest, kv_client};
use reseed_rt::clock;
use tonic::{Code, Status, transport::Channel};

use super::{ANSWER_MAX, MESSAGE_BYTES_MAX, Scribe, connection, translate};
use crate::{
    kv_history::{Request, Response, What},
    plan::Plan,
};

/// Weights of put, get, delete and swap.
const MIX: [u32; 4] = [45, 25, 10, 20];

/// A client and what it knows.
pub struct KvClient {
    scribe: Scribe,
    rng: ChaCha8Rng,
    stub: kv_client::KvClient<Channel>,
    /// Mod revisions last seen, so that swaps have a chance.
    seen: BTreeMap<String, i64>,
    mix: WeightedIndex<u32>,
    keys: u64,
    value_bytes_max: u64,
    think_max: Duration,
}

impl KvClient {
    /// A client that follows `plan`, with chance of its own.
    ///
    /// # Panics
    /// Never: the weights are constant.
    #[must_use]
    pub fn new(scribe: Scribe, plan: &Plan, rng: ChaCha8Rng) -> Self {
        Self {
            scribe,
            rng,
            stub: stub(),
            seen: BTreeMap::new(),
            mix: WeightedIndex::new(MIX).expect("not all are zero"),
            keys: plan.load.keys,
            value_bytes_max: plan.load.value_bytes_max,
            think_max: plan.load.think_max,
        }
    }

    /// Sends requests until `end`.
    pub async fn run(mut self, end: clock::Instant) {
        while clock::Instant::now() < end {
            self.one().await;
            let think = self.think_max.mul_f64(self.rng.random());
            clock::sleep(think).await;
        }
    }

    async fn one(&mut self) {
        let op = self.scribe.recorder.next_op();
        let request = self.choose(op);
        self.scribe.note(What::Invoke { op, request: request.clone() });
        let what = match clock::timeout(ANSWER_MAX, self.send(&request)).await {
            Ok(Ok(response)) => {
                self.learn(&request, &response);
                What::Ok { op, response }
            }
            Ok(Err(status)) => {
                let error = format!("{:?}: {}", status.code(), status.message());
                if certainly_refused(&request, &status) {
                    What::Fail { op, error }
                } else {
                    What::Unknown { op, error }
                }
            }
            Err(elapsed) => {
                // The connection may hang for ever: what is left of it is not worth keeping.
                self.stub = stub();
                What::Unknown { op, error: elapsed.to_string() }
            }
        };
        self.scribe.note(what);
    }

    fn choose(&mut self, op: u64) -> Request {
        let key = format!("key-{}", self.rng.random_range(0..self.keys));
        match self.mix.sample(&mut self.rng) {
            0 => Request::Put { key, value: self.value(op) },
            1 => Request::Get { key },
            2 => Request::Delete { key },
            _ => {
                let expected = self.seen.get(&key).copied().unwrap_or(0);
                Request::Swap { key, expected, value: self.value(op) }
            }
        }
    }

    /// A value nobody else writes, of some length.
    fn value(&mut self, op: u64) -> String {
        let len = self.rng.random_range(0..=self.value_bytes_max);
        let mut value = format!("{op}.");
        value.extend(std::iter::repeat_n('v', usize::try_from(len).unwrap_or(0)));
        value
    }

    async fn send(&mut self, request: &Request) -> Result<Response, Status> {
        match request {
            Request::Put { key, value } => {
                let answer = self.stub.put(translate::put(key, value)).await?.into_inner();
                let revision = translate::revision(answer.header.as_ref());
                Ok(Response { revision, wrote: true, found: None })
            }
            Request::Get { key } => {
                let answer = self.stub.range(translate::get(key)).await?.into_inner();
                let revision = translate::revision(answer.header.as_ref());
                let found = answer.kvs.first().map(translate::version);
                Ok(Response { revision, wrote: false, found })
            }
            Request::Delete { key } => {
                let key = translate::bytes(key);
                let request = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
                let answer = self.stub.delete_range(request).await?.into_inner();
                let revision = translate::revision(answer.header.as_ref());
                Ok(Response { revision, wrote: answer.deleted > 0, found: None })
            }
            Request::Swap { key, expected, value } => {
                let request = translate::swap(key, *expected, value);
                let answer = self.stub.txn(request).await?.into_inner();
                let revision = translate::revision(answer.header.as_ref());
                let found = translate::found(&answer.responses);
                Ok(Response { revision, wrote: answer.succeeded, found })
            }
        }
    }

    fn learn(&mut self, request: &Request, response: &Response) {
        let key = request.key().to_owned();
        match (request, &response.found) {
            (Request::Delete { .. }, _) => {
                self.seen.remove(&key);
            }
            (_, Some(found)) => {
                self.seen.insert(key, found.mod_revision);
            }
            (Request::Put { .. } | Request::Swap { .. }, None) if response.wrote => {
                self.seen.insert(key, response.revision);
            }
            (_, None) => {
                self.seen.remove(&key);
            }
        }
    }
}

fn stub() -> kv_client::KvClient<Channel> {
    kv_client::KvClient::new(connection()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// A refusal before the log, or a read, which has no effect to speak of. Everything else may have
/// happened, whatever the text says.
fn certainly_refused(request: &Request, status: &Status) -> bool {
    matches!(request, Request::Get { .. }) || status.code() == Code::InvalidArgument
}
