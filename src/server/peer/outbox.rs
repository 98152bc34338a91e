//! Where the driver leaves messages for other members: one bounded queue each, never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;

use raft::eraftpb::{Message, MessageType};
use reseed_rt::chan::{self, Sender};
use reseed_rt::task::{self, Stop, Task};

use super::PeerEvent;
use super::snapshot::Transfer;
use super::stream::{Route, Sending};
use crate::state::State;

/// Turns of the driver whose messages may wait for one member.
const TURNS_MAX: usize = 512;

/// The way to all other members.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    outboxes: BTreeMap<u64, Outbox>,
}

/// What a stream, or a transfer of a snapshot, needs of its member.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) state: Arc<State>,
    pub(crate) driver: Sender<PeerEvent>,
    pub(crate) stop: Stop,
}

#[derive(Debug)]
struct Outbox {
    queue: Sender<Vec<Message>>,
    route: Route,
    home: Home,
}

impl Peers {
    /// Starts a stream to each of `routes`; they end with the member.
    pub(crate) fn connect(home: &Home, routes: Vec<Route>) -> (Self, Vec<Task<()>>) {
        let mut peers = Self::default();
        let tasks = routes.into_iter().map(|route| peers.open(home.clone(), route)).collect();
        (peers, tasks)
    }

    fn open(&mut self, home: Home, route: Route) -> Task<()> {
        let (queue, waiting) = chan::bounded("peer", TURNS_MAX);
        let sending = Sending { route: route.clone(), waiting, driver: home.driver.clone() };
        let stop = home.stop.clone();
        self.outboxes.insert(route.to, Outbox { queue, route, home });
        task::spawn("peer", sending.run(stop))
    }

    /// Leaves messages for their receivers, in order. Returns whom some could not be left for.
    pub(crate) fn send(&self, mut messages: Vec<Message>) -> Vec<u64> {
        for snapshot in messages.extract_if(.., |message| is_snapshot(message)) {
            self.send_snapshot(snapshot);
        }
        let queue = |to| self.outboxes.get(&to).map(|outbox| &outbox.queue);
        by_receiver(messages)
            .into_iter()
            .filter_map(|(to, messages)| {
                let left = queue(to).is_some_and(|queue| queue.try_send(messages).is_ok());
                (!left).then_some(to)
            })
            .collect()
    }

    /// Raft sends a member one snapshot at a time: none before it hears what became of the last.
    fn send_snapshot(&self, message: Message) {
        let to = message.to;
        let Some(outbox) = self.outboxes.get(&to) else { return };
        let Home { state, driver, stop } = outbox.home.clone();
        let transfer = Transfer { route: outbox.route.clone(), state, message };
        drop(task::spawn("snapshot", async move {
            let Some(arrived) = stop.run_until_cancelled(transfer.run()).await else { return };
            // The driver may be gone; then nobody needs to know.
            let _gone = driver.send(PeerEvent::SnapshotSent { to, arrived }).await;
        }));
    }
}

fn is_snapshot(message: &Message) -> bool {
    message.msg_type == MessageType::MsgSnapshot as i32
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
    fn messages_are_sorted_by_receiver_and_keep_their_order() {
        let sorted = by_receiver(vec![message(2, 1), message(3, 2), message(2, 3)]);
        let indexes = |to| sorted[&to].iter().map(|message| message.index).collect::<Vec<_>>();
        assert_eq!((indexes(2), indexes(3)), (vec![1, 3], vec![2]));
    }
}
