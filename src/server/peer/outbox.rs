//! Where the driver leaves messages for other members: one bounded queue each, never waited for.
//!
//! Who the other members are changes while this one runs. A route is there for every member but
//! this one, and for whoever has called from this cluster without being known as a member yet: a
//! leader that this member has not heard of must get its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raft::eraftpb::{Message, MessageType};
use reseed_core::cluster::Members;
use reseed_rt::chan::{self, Sender};
use reseed_rt::clock::Instant;
use reseed_rt::task::{self, Stop, Task};

use super::measure::Sent;
use super::snapshot::Transfer;
use super::stream::{Route, Sending};
use super::{IDLE_MAX, SILENT_ELECTIONS};
use crate::departure::Departure;
use crate::metrics::Metrics;
use crate::raft::{Outbound, PeerEvent};
use crate::state::State;

/// Turns of the driver whose messages may wait for one member.
const TURNS_MAX: usize = 512;
/// Addresses of one member that are tried in turn, at most.
const URLS_MAX: usize = 16;
/// Routes to callers that are no known members, at most.
const CALLERS_MAX: usize = 16;

/// What a stream, or a transfer of a snapshot, needs of its member.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// Its state, to make snapshots of, and its settings.
    pub(crate) state: Arc<State>,
    /// Hears what is lost.
    pub(crate) driver: Sender<PeerEvent>,
    /// Hears that peers refuse this member for good.
    pub(crate) departure: Departure,
    /// Ends all streams.
    pub(crate) stop: Stop,
}

/// The queues to all other members.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    home: Arc<Home>,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    own_urls: Vec<String>,
    outboxes: BTreeMap<u64, Outbox>,
    removed: BTreeSet<u64>,
    tasks: Vec<Task<()>>,
}

/// One queue.
#[derive(Debug)]
struct Outbox {
    urls: Vec<String>,
    messages: Sender<Vec<Message>>,
    link: Link,
    sent: Sent,
    stop: Stop,
    is_member: bool,
}

/// Since when a stream stands, and at which URL.
#[derive(Clone, Debug, Default)]
pub(super) struct Link(Arc<Mutex<Option<(Instant, String)>>>);

impl Link {
    pub(super) fn set_up(&self, url: &str) {
        *self.0.lock() = Some((Instant::now(), url.to_owned()));
    }

    /// Whether it stood until now.
    pub(super) fn set_down(&self) -> bool {
        self.0.lock().take().is_some()
    }

    fn up_for(&self) -> Option<Duration> {
        self.0.lock().as_ref().map(|(since, _)| since.elapsed())
    }

    /// These URLs, that of the stream in front.
    fn order(&self, urls: &[String]) -> Vec<String> {
        let mut urls = urls.to_vec();
        if let Some((_, url)) = &*self.0.lock() {
            urls.sort_by_key(|other| other != url);
        }
        urls
    }
}

impl Peers {
    /// Nobody yet.
    pub(crate) fn new(home: Home) -> Self {
        let own_urls = home.state.config.initial_advertise_peer_urls.clone();
        let table = Table { own_urls, ..Table::default() };
        Self { home: Arc::new(home), table: Arc::new(Mutex::new(table)) }
    }

    /// Makes the routes those of `members`. Those to other callers stay, unless they were removed.
    pub(crate) fn follow(&self, members: &Members) {
        let me = self.home.state.member_id;
        let mut table = self.table.lock();
        let table = &mut *table;
        table.tasks.retain(|task| !task.is_finished());
        table.removed = members.removed().map(|id| id.0).collect();
        if let Some(record) = members.iter().find(|member| member.id == me) {
            // Started to listen elsewhere, it may lack the entry that says so: others must find it
            // all the same, or it never learns that the entry is committed.
            let advertised = &self.home.state.config.initial_advertise_peer_urls;
            let elsewhere = advertised.iter().filter(|url| !record.peer_urls.contains(url));
            table.own_urls = record.peer_urls.iter().chain(elsewhere).cloned().collect();
        }
        for member in members.iter().filter(|member| member.id != me) {
            self.connect(table, member.id, &member.peer_urls, true);
        }
        let is_removed = |id: &u64| table.removed.contains(id);
        for id in table.outboxes.keys().copied().filter(is_removed).collect::<Vec<_>>() {
            if let Some(outbox) = table.outboxes.remove(&id) {
                outbox.sent.known.set(0);
                outbox.stop.cancel();
            }
        }
    }

    /// Somebody of this cluster calls: who is no member as far as this one knows gets a route, too.
    /// One that calls from elsewhere than the log says so far is answered there as well: a member
    /// that joins while its leader moves could not even say that it lacks the log.
    pub(super) fn answer_to(&self, caller: u64, urls: &[String]) {
        let mut table = self.table.lock();
        if caller == self.home.state.member_id || urls.is_empty() {
            return;
        }
        let strangers = table.outboxes.values().filter(|outbox| !outbox.is_member).count();
        let (known, is_member) = match table.outboxes.get(&caller) {
            Some(outbox) => (outbox.urls.clone(), outbox.is_member),
            None if strangers < CALLERS_MAX => (Vec::new(), false),
            None => return,
        };
        let fresh: Vec<_> = urls.iter().filter(|url| !known.contains(url)).cloned().collect();
        if !fresh.is_empty() && known.len() + fresh.len() <= URLS_MAX {
            self.connect(&mut table, caller, &[known, fresh].concat(), is_member);
        }
    }

    fn connect(&self, table: &mut Table, to: u64, urls: &[String], is_member: bool) {
        if let Some(outbox) = table.outboxes.get_mut(&to) {
            outbox.is_member |= is_member;
            if outbox.urls == urls {
                return;
            }
            outbox.stop.cancel();
            // What the old stream had not sent is lost; a driver that is too busy to hear it finds
            // out by the answers that do not come.
            let _full = self.home.driver.try_send(PeerEvent::Unreachable(to));
        }
        let (messages, waiting) = chan::bounded("peer", TURNS_MAX);
        let (stop, link) = (self.home.stop.child_token(), Link::default());
        let sent = Sent::new(self.metrics(), self.home.state.member_id, to);
        sent.known.set(1);
        let sending = Sending {
            route: self.route_to(table, to, urls),
            waiting,
            driver: self.home.driver.clone(),
            link: link.clone(),
            sent: sent.clone(),
            departure: self.home.departure.clone(),
            idle_max: IDLE_MAX,
        };
        table.tasks.push(task::spawn("peer", sending.run(stop.clone())));
        let urls = urls.to_vec();
        table.outboxes.insert(to, Outbox { urls, messages, link, sent, stop, is_member });
    }

    /// Where everything about peers is counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.home.state.metrics
    }

    fn route_to(&self, table: &Table, to: u64, urls: &[String]) -> Route {
        Route {
            cluster: self.home.state.cluster_id,
            from: self.home.state.member_id,
            to,
            own_urls: table.own_urls.clone(),
            urls: urls.to_vec(),
            silence_max: self.home.state.config.election_timeout * SILENT_ELECTIONS,
        }
    }

    /// The way to a member; the URL at which it is known to be reached is in front.
    pub(crate) fn route(&self, to: u64) -> Option<Route> {
        let table = self.table.lock();
        let outbox = table.outboxes.get(&to)?;
        Some(self.route_to(&table, to, &outbox.link.order(&outbox.urls)))
    }

    /// Who is connected, and for how long.
    pub(crate) fn connected(&self) -> BTreeMap<u64, Duration> {
        let table = self.table.lock();
        let up =
            table.outboxes.iter().filter_map(|(id, outbox)| Some((*id, outbox.link.up_for()?)));
        up.collect()
    }

    /// Whether this one was a member once.
    pub(super) fn is_removed(&self, id: u64) -> bool {
        self.table.lock().removed.contains(&id)
    }

    /// Raft sends a member one snapshot at a time: none before it hears what became of the last.
    fn send_snapshot(&self, message: Message) {
        let to = message.to;
        let Some(route) = self.route(to) else { return };
        let Home { state, driver, stop, .. } = (*self.home).clone();
        let transfer = Transfer { route, state, message };
        drop(task::spawn("snapshot", async move {
            let Some(arrived) = stop.run_until_cancelled(transfer.run()).await else { return };
            // The driver may be gone; then nobody needs to know.
            let _gone = driver.send(PeerEvent::SnapshotSent { to, arrived }).await;
        }));
    }

    /// Returns once all streams have ended, which they do when they are told to stop.
    pub(crate) async fn ended(&self) {
        let tasks = std::mem::take(&mut self.table.lock().tasks);
        for task in tasks {
            // One that ended early has nothing left to do.
            let _ended = task.await;
        }
    }
}

impl Outbound for Peers {
    fn send(&self, mut messages: Vec<Message>) -> Vec<u64> {
        for snapshot in messages.extract_if(.., |message| is_snapshot(message)) {
            self.send_snapshot(snapshot);
        }
        let mut lost = Vec::new();
        if messages.is_empty() {
            return lost;
        }
        let table = self.table.lock();
        for (to, messages) in by_receiver(messages) {
            let Some(outbox) = table.outboxes.get(&to) else {
                lost.push(to);
                continue;
            };
            if outbox.messages.try_send(messages).is_err() {
                outbox.sent.failures.inc();
                lost.push(to);
            }
        }
        lost
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
pub(crate) mod tests;
