//! Reads what is there now, at every member, and never writes.
//!
//! A client that writes to a member without a quorum, or waits long for one that stands still, asks
//! nothing more. One that only reads, and soon asks another, has a question at each member at any
//! time, which is when a deposed leader could lie.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Desk, say, values::Keys};
use crate::history::Request;

/// How long an answer is waited for, at least and at most.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(800));

/// Asks one member after the other until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let mut client = desk.client();
    let reader = Reader::new(&desk);
    while desk.board.is_loading() {
        let request = reader.choose(&mut desk.rng);
        let (least, most) = PATIENCE;
        let patience = least + (most - least).mul_f64(desk.rng.random());
        // Where nobody answers in time it goes elsewhere by itself.
        if client.ask_within(request, patience).await.ok().is_some() && desk.rng.random_ratio(1, 8)
        {
            client.go_elsewhere();
        }
        desk.think().await;
    }
}

/// What a reader knows.
#[derive(Clone, Debug)]
struct Reader {
    keys: Keys,
}

impl Reader {
    /// Of the keys that registers write.
    fn new(desk: &Desk) -> Self {
        Self { keys: desk.keys("reg/") }
    }

    fn choose(&self, rng: &mut ChaCha8Rng) -> Request {
        if rng.random_ratio(1, 10) {
            return say::list(self.keys.prefix()).into();
        }
        say::get(&self.keys.pick(rng)).into()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn it_reads_now_and_by_a_quorum() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let reader = Reader { keys: Keys::new("reg/", 3, 0) };
        for _ in 0..100 {
            let Request::Range(range) = reader.choose(&mut rng) else { panic!("it only reads") };
            assert!(range.key.starts_with("reg/") && range.revision == 0 && !range.serializable);
        }
    }
}
