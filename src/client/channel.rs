//! Several endpoints behind one face.
//!
//! Sticky, not round-robin: one endpoint serves until it fails, then the next one does. A client
//! thus keeps one warm connection, and its requests keep their order as long as nothing breaks.
//! Who failed is decided by `retry` and `watch`; here is only the pointer they move.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{ClientOptions, Connection, Error};

pub(crate) struct Channel {
    connections: Vec<Connection>,
    current: AtomicUsize,
}

impl Channel {
    pub(crate) fn new(options: &ClientOptions) -> Result<Self, Error> {
        let connections = options
            .endpoints
            .iter()
            .map(|endpoint| Connection::new(endpoint, options))
            .collect::<Result<Vec<_>, _>>()?;
        if connections.is_empty() {
            return Err(Error::Endpoint { endpoint: String::new(), reason: "none was given" });
        }
        Ok(Self { connections, current: AtomicUsize::new(0) })
    }

    /// How many endpoints there are; at least one.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// The endpoint in favour.
    pub(crate) fn pick(&self) -> Connection {
        self.connections[self.current.load(Ordering::Relaxed) % self.len()].clone()
    }

    /// `failed` did not serve: favour the next one, unless somebody else has moved on already.
    pub(crate) fn avoid(&self, failed: &Connection) {
        let current = self.current.load(Ordering::Relaxed);
        if self.connections[current % self.len()].endpoint() == failed.endpoint() {
            // Losing the race means that somebody else moved on: just as good.
            let next = (current + 1) % self.len();
            self.current.compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed).ok();
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.connections).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_endpoint_is_left_once() {
        let channel = Channel::new(&ClientOptions::new(["a:1", "b:1"])).expect("two endpoints");
        let first = channel.pick();
        channel.avoid(&first);
        assert_eq!(channel.pick().endpoint(), "b:1");
        channel.avoid(&first);
        assert_eq!(channel.pick().endpoint(), "b:1", "moved on for a stale failure");
        channel.avoid(&channel.pick());
        assert_eq!(channel.pick().endpoint(), "a:1", "the list goes round");
    }

    #[test]
    fn no_endpoint_is_an_error() {
        assert!(Channel::new(&ClientOptions::new(Vec::<String>::new())).is_err());
    }
}
