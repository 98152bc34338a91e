//! Where the driver leaves messages for other members: one bounded queue each, never waited for.

use std::collections::BTreeMap;

use raft::eraftpb::Message;
use reseed_rt::chan::{self, Sender};
use reseed_rt::task::{self, Stop, Task};

use super::PeerEvent;
use super::stream::{Route, Sending};

/// Turns of the driver whose messages may wait for one member.
const TURNS_MAX: usize = 512;

/// The queues to all other members.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    outboxes: BTreeMap<u64, Sender<Vec<Message>>>,
}

impl Peers {
    /// Starts a stream to each of `routes`; they end with `stop`.
    pub(crate) fn connect(
        routes: Vec<Route>,
        driver: &Sender<PeerEvent>,
        stop: &Stop,
    ) -> (Self, Vec<Task<()>>) {
        let mut peers = Self::default();
        let mut tasks = Vec::new();
        for route in routes {
            let (outbox, waiting) = chan::bounded("peer", TURNS_MAX);
            peers.outboxes.insert(route.to, outbox);
            let sending = Sending { route, waiting, driver: driver.clone() };
            tasks.push(task::spawn("peer", sending.run(stop.clone())));
        }
        (peers, tasks)
    }

    /// Leaves messages for their receivers, in order. Returns whom some could not be left for.
    pub(crate) fn send(&self, messages: Vec<Message>) -> Vec<u64> {
        let mut lost = Vec::new();
        for (to, messages) in by_receiver(messages) {
            let outbox = self.outboxes.get(&to);
            if outbox.is_none_or(|outbox| outbox.try_send(messages).is_err()) {
                lost.push(to);
            }
        }
        lost
    }
}

fn by_receiver(messages: Vec<Message>) -> BTreeMap<u64, Vec<Message>> {
    let mut by_receiver: BTreeMap<u64, Vec<Message>> = BTreeMap::new();
    for message in messages {
        by_receiver.entry(message.to).or_default().push(message);
    }
    by_receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(to: u64, index: u64) -> Message {
        Message { to, index, ..Message::default() }
    }

    #[test]
    fn messages_keep_their_order_and_a_full_queue_loses_the_newest() {
        let (outbox, mut waiting) = chan::bounded("peer", 1);
        let peers = Peers { outboxes: BTreeMap::from([(2, outbox)]) };
        assert!(peers.send(vec![message(2, 1), message(2, 2)]).is_empty());
        assert_eq!(peers.send(vec![message(2, 3), message(9, 1)]), [2, 9]);
        let left = waiting.try_recv().expect("one turn's messages");
        assert_eq!(left.iter().map(|message| message.index).collect::<Vec<_>>(), [1, 2]);
        assert!(waiting.try_recv().is_err());
    }
}
