//! Requests from the whole input space: every field from every class of values.
//!
//! Most have words in the history, and the checker knows what they mean ([`draw`]). The rest (bytes
//! that are no text, numbers that are no enum's, calls the history does not know) must be answered
//! with an answer or an error of etcd's kind, and must not make the member stop (`raw`).
//!
//! Writes stay under a prefix of their own: elsewhere they would break what other roles rely on,
//! such as the keys that stand for locks.

mod draw;
mod raw;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Answer, Desk, Part};
use crate::history::{Request, Response};
use draw::Explorer;

/// Explores until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let mut client = desk.client();
    let mut explorer = Explorer::new(&desk);
    while desk.board.is_loading() {
        if desk.rng.random_ratio(1, 5) {
            raw::one(&mut desk).await;
        } else {
            let request = explorer.choose(&mut desk.rng);
            if let Answer::Ok(response) = client.ask(request.clone()).await {
                explorer.learn(&request, &response);
            }
        }
        desk.think().await;
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
