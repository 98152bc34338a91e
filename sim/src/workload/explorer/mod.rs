//! Requests from the whole input space: every field from every class of values.
//!
//! Most have words in the history, and the checker knows what they mean ([`draw`]). The rest (bytes
//! that are no text, numbers that are no enum's, calls the history does not know) must be answered
//! with an answer or an error of etcd's kind, and must not make the member stop (`raw`).
//!
//! Watches that may be refused, or of a future that does not come, get a stream of their own
//! (`watch`): a refusal names no watch, and a stream with such a future on it is told nothing else.
//!
//! Writes stay under a prefix of their own: elsewhere they would break what other roles rely on,
//! such as the keys that stand for locks.

mod draw;
mod raw;
mod watch;

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use reseed_rt::clock;

pub(super) use raw::CELLS as RAW_CELLS;

use super::{Answer, Client, Desk, Part, values::pick_weighted};
use crate::history::{Request, Response};
use draw::Explorer;

/// Between two attempts to end an alarm.
const PAUSE: Duration = Duration::from_millis(200);

/// Explores until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let mut client = desk.client();
    let mut explorer = Explorer::new(&desk);
    while desk.board.is_loading() {
        match pick_weighted(&[160, 30, 10, 1], &mut desk.rng) {
            0 => {
                let request = explorer.choose(&mut desk.rng);
                if let Answer::Ok(response) = client.ask(request.clone()).await {
                    explorer.learn(&request, &response);
                }
            }
            1 => raw::one(&mut desk).await,
            2 => {
                let (spec, number) = explorer.watch(&mut desk.rng);
                watch::one(&mut desk, spec, number).await;
            }
            _ => raise(&mut client, explorer.alarms(&mut desk.rng)).await,
        }
        desk.think().await;
    }
}

/// Raises an alarm and does not rest until it has ended.
async fn raise(client: &mut Client, [activate, deactivate]: [Request; 2]) {
    client.ask(activate).await;
    while client.ask(deactivate.clone()).await.ok().is_none() {
        clock::sleep(PAUSE).await;
    }
}

impl Part for Explorer {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Request {
        self.request(rng)
    }

    fn learn(&mut self, request: &Request, response: &Response) {
        self.remember(request, response);
    }
}
