//! Reads what is there now, at every member, and never writes.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Desk, Part, say, values::Keys};
use crate::history::{Request, Response};

/// What a reader knows.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    keys: Keys,
}

impl Reader {
    /// Of the keys that registers write.
    pub(super) fn new(desk: &Desk) -> Self {
        Self { keys: desk.keys("reg/") }
    }
}

impl Part for Reader {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Request {
        if rng.random_ratio(1, 10) {
            return say::list(self.keys.prefix()).into();
        }
        say::get(&self.keys.pick(rng)).into()
    }

    fn learn(&mut self, _request: &Request, _response: &Response) {}
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn it_reads_now_and_by_a_quorum() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut reader = Reader { keys: Keys::new("reg/", 3, 0) };
        for _ in 0..100 {
            let Request::Range(range) = reader.choose(&mut rng) else { panic!("it only reads") };
            assert!(range.key.starts_with("reg/") && range.revision == 0 && !range.serializable);
        }
    }
}
