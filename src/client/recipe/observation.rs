//! Who leads, from proclamation to proclamation.
//!
//! Reads the oldest key, watches it until it is deleted, and reads again; with nobody there, it
//! watches for anybody. Proclamations that were followed by another before they were seen may be
//! missing, but it never goes back: tokens grow, and so do the revisions of one leader's words.

use std::collections::VecDeque;

use bytes::Bytes;
use reseed_planted::{self as planted, Bug};
use reseed_proto::mvccpb::{Event, KeyValue, event::EventType};

use super::queue;
use crate::{Client, Error, Watch, Watcher};

/// What a leader said.
#[derive(Clone, PartialEq, Debug)]
pub struct Leader {
    /// Its key.
    pub key: Bytes,
    /// Its fencing token: the create revision of its key.
    pub token: i64,
    /// When it said so.
    pub revision: i64,
    /// What it said.
    pub value: Bytes,
}

/// Follows an election.
#[derive(Debug)]
pub struct Observation {
    client: Client,
    prefix: String,
    sight: Sight,
    watcher: Option<Watcher>,
}

impl Observation {
    pub(super) fn new(client: Client, prefix: String) -> Self {
        Self { client, prefix, sight: Sight::default(), watcher: None }
    }

    /// The next thing a leader said, later than the one before. Cancel-safe: nothing is missed for
    /// good, as the present leader is read again.
    ///
    /// # Errors
    /// Any [`Error`]; asked again it goes on where it was.
    pub async fn next(&mut self) -> Result<Leader, Error> {
        loop {
            if let Some(leader) = self.sight.pop() {
                return Ok(leader);
            }
            let Some(watcher) = &mut self.watcher else {
                self.look().await?;
                continue;
            };
            match watcher.next().await {
                Some(Ok(batch)) => {
                    if self.sight.follow(batch.events) {
                        self.watcher = None;
                    }
                }
                Some(Err(Error::WatchCompacted { .. })) | None => self.watcher = None,
                Some(Err(error)) => {
                    self.watcher = None;
                    return Err(error);
                }
            }
        }
    }

    /// Finds the leader and watches it, or whoever comes.
    async fn look(&mut self) -> Result<(), Error> {
        let first = queue::first(&self.prefix);
        let first = if planted::on(Bug::ObserverGoesBack) { first.serializable() } else { first };
        let found = self.client.get(first).await?;
        let from = found.header.unwrap_or_default().revision + 1;
        let leader = found.kvs.into_iter().next();
        let watch = match &leader {
            Some(kv) => Watch::key(kv.key.clone()),
            None => Watch::prefix(self.prefix.clone()),
        };
        self.watcher = Some(self.client.watch(watch.start_revision(from)).await?);
        self.sight.find(leader);
        Ok(())
    }
}

/// What has been seen and not told, and how far the telling is. Pure.
#[derive(Debug, Default)]
struct Sight {
    /// Whether the watcher is one key's; otherwise it waits for anybody.
    has_leader: bool,
    told: (i64, i64),
    waiting: VecDeque<Leader>,
}

impl Sight {
    /// The leader was read.
    fn find(&mut self, leader: Option<KeyValue>) {
        self.has_leader = leader.is_some();
        self.waiting.extend(leader.map(said));
    }

    /// Events came. Is it time to look again?
    fn follow(&mut self, events: Vec<Event>) -> bool {
        for event in events {
            if !self.has_leader || event.r#type() == EventType::Delete {
                return true;
            }
            self.waiting.extend(event.kv.map(said));
        }
        false
    }

    /// The next thing that is later than all that was told.
    fn pop(&mut self) -> Option<Leader> {
        while let Some(leader) = self.waiting.pop_front() {
            let place = (leader.token, leader.revision);
            if place > self.told || planted::on(Bug::ObserverGoesBack) {
                self.told = place;
                return Some(leader);
            }
        }
        None
    }
}

fn said(kv: KeyValue) -> Leader {
    let (token, revision) = (kv.create_revision, kv.mod_revision);
    Leader { key: kv.key, token, revision, value: kv.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(create_revision: i64, mod_revision: i64) -> KeyValue {
        KeyValue { create_revision, mod_revision, ..KeyValue::default() }
    }

    fn put(create_revision: i64, mod_revision: i64) -> Event {
        Event { kv: Some(kv(create_revision, mod_revision)), ..Event::default() }
    }

    fn deletion() -> Event {
        Event { r#type: EventType::Delete.into(), kv: Some(kv(0, 9)), ..Event::default() }
    }

    fn told(sight: &mut Sight) -> Vec<(i64, i64)> {
        std::iter::from_fn(|| sight.pop()).map(|one| (one.token, one.revision)).collect()
    }

    #[test]
    fn it_tells_each_word_of_a_leader_once_and_then_looks_for_the_next() {
        let mut sight = Sight::default();
        sight.find(Some(kv(3, 5)));
        assert!(!sight.follow(vec![put(3, 6), put(3, 8)]));
        assert_eq!(told(&mut sight), [(3, 5), (3, 6), (3, 8)]);
        assert!(sight.follow(vec![deletion(), put(11, 11)]));
        // The next was a candidate for longer than the first has last spoken.
        sight.find(Some(kv(4, 4)));
        assert_eq!(told(&mut sight), [(4, 4)]);
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let mut sight = Sight::default();
        sight.find(Some(kv(3, 5)));
        assert_eq!(told(&mut sight), [(3, 5)]);
        sight.find(Some(kv(3, 5)));
        sight.find(Some(kv(2, 9)));
        assert_eq!(told(&mut sight), []);
    }

    #[test]
    fn whoever_comes_is_looked_at_and_not_believed() {
        let mut sight = Sight::default();
        sight.find(None);
        assert!(sight.follow(vec![put(7, 7)]));
        assert_eq!(told(&mut sight), []);
    }
}
