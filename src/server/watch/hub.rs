//! The one task that knows every watcher.
//!
//! It sleeps until there is news, a command, a signal, somebody to notify or somebody to catch up;
//! then it makes one turn, in which each of these gets a bounded share, and lets others run. Inside
//! a turn nothing is awaited. What watchers are and how they move is `reseed_core::watch`; here are
//! only streams, their names for watchers, and the answers they get.
//!
//! Reading history is the only work of a turn that may touch the disk, at most
//! [`STEP_BYTES`] of it: the hub has a thread of its own so that nothing else waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reseed_core::error::Error;
use reseed_core::mvcc::{HistoryLimits, RevisionEvents};
use reseed_core::watch::{Delivery, Filters, Group, KeyRange, Sink, Spec, WatcherId};
use reseed_planted::{self as planted, Bug};
use reseed_proto::etcdserverpb as pb;
use reseed_rt::chan::{self, Receiver, Sender};
use reseed_rt::clock::{self, Instant};
use reseed_rt::probe::{self, Probe};
use reseed_rt::task::{self, Stop, Task};
use tonic::{Code, Status};

pub(crate) use super::feed::Publisher;
use super::feed::{self, Feed, Signal, Signals, StreamId};
pub(crate) use super::member::start;
use super::outbox::{Outbox, Wishes};
use super::progress::Agenda;
use super::source::Source;
use super::stream::{Requests, Responses};
use crate::metrics::Metrics;

/// Commands of all streams that may wait for the hub.
const COMMANDS_MAX: usize = 1024;
/// Commands carried out in one turn.
const COMMANDS_PER_TURN: usize = 64;
/// Bytes of history read in one turn.
const STEP_BYTES: usize = 4 * 1024 * 1024;
/// The watch id of what concerns no single watcher.
const NO_WATCH_ID: i64 = -1;

/// What one watcher is to the hub.
#[derive(Debug)]
pub(crate) struct Owner {
    stream: StreamId,
    watch_id: i64,
    outbox: Arc<Outbox>,
    wishes: Wishes,
    progress_notify: bool,
    /// It has been sent nothing since the last progress round.
    is_idle: bool,
}

/// A watcher to create.
#[derive(Debug)]
pub(crate) struct Create {
    /// Which keys.
    pub(crate) range: KeyRange,
    /// Which events.
    pub(crate) filters: Filters,
    /// The client's name for it, 0 = draw one.
    pub(crate) watch_id: i64,
    /// The first revision wanted, 0 = what comes next; not negative.
    pub(crate) start_revision: i64,
    /// How the events are wanted.
    pub(crate) wishes: Wishes,
    /// Tell it how far it is now and then.
    pub(crate) progress_notify: bool,
}

/// What a stream asks of the hub.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Begin.
    Open(Arc<Outbox>),
    /// A new watcher.
    Create(Create),
    /// A watcher that was refused before it came here; the answer keeps its place in the order.
    Refuse(String),
    /// No more events for this watcher.
    Cancel(i64),
    /// How far are all watchers of this stream?
    Progress,
}

/// An [`Ask`] and whose it is.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) stream: StreamId,
    pub(crate) ask: Ask,
}

/// Settings of all watches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Time between progress notifications.
    pub(crate) progress_interval: Duration,
    /// Size above which a response is fragmented, where that is wanted.
    pub(crate) fragment_bytes: usize,
}

/// The way to the hub; clones lead to the same.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    commands: Sender<Command>,
    signals: Signals,
    source: Arc<dyn Source>,
    metrics: Arc<Metrics>,
    options: Options,
    streams: Arc<AtomicU64>,
}

/// Starts the hub over `source`; it ends all streams when `stop` says so.
pub(crate) fn start_over(
    source: Arc<dyn Source>,
    metrics: Arc<Metrics>,
    options: Options,
    stop: Stop,
) -> (Publisher, Hub, Task<()>) {
    let (publisher, hub, work, commands) = prepare(source, metrics, options);
    let task = task::spawn_thread("watch-hub", move || Box::pin(work.run(commands, stop)));
    (publisher, hub, task)
}

/// Everything but the task, which tests leave out to take turns by hand.
pub(super) fn prepare(
    source: Arc<dyn Source>,
    metrics: Arc<Metrics>,
    options: Options,
) -> (Publisher, Hub, Work, Receiver<Command>) {
    let (publisher, signals, feed) = feed::open();
    let (sender, commands) = chan::bounded("watch-commands", COMMANDS_MAX);
    let work = Work {
        group: Group::new(source.revision()),
        streams: BTreeMap::new(),
        agenda: Agenda::new(options.progress_interval),
        gone: Vec::new(),
        source: Arc::clone(&source),
        metrics: Arc::clone(&metrics),
        news: Vec::new(),
        feed,
    };
    let streams = Arc::new(AtomicU64::new(0));
    (
        publisher,
        Hub { commands: sender, signals, source, metrics, options, streams },
        work,
        commands,
    )
}

impl Hub {
    /// Begins a stream: one end takes the client's requests, the other gives the responses.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the hub is gone.
    pub(crate) async fn open(&self) -> Result<(Requests, Responses), Error> {
        let stream = StreamId(self.streams.fetch_add(1, Ordering::Relaxed));
        let outbox = Arc::new(Outbox::default());
        let responses = Responses::new(
            stream,
            Arc::clone(&outbox),
            self.signals.clone(),
            (Arc::clone(&self.source), Arc::clone(&self.metrics)),
            self.options.fragment_bytes,
        );
        let requests = Requests::new(stream, Arc::clone(&outbox), self.commands.clone());
        requests.send(Ask::Open(outbox)).await?;
        Ok((requests, responses))
    }
}

/// What the hub knows of a stream.
#[derive(Debug)]
struct Stream {
    outbox: Arc<Outbox>,
    watches: BTreeMap<i64, WatcherId>,
    /// The next id to draw.
    next_id: i64,
    /// Its place on the agenda.
    progress_at: Option<Instant>,
}

/// The hub's own state.
#[derive(Debug)]
pub(super) struct Work {
    group: Group<Owner>,
    streams: BTreeMap<StreamId, Stream>,
    agenda: Agenda,
    /// Watchers that compaction has cancelled, to be forgotten by their streams.
    gone: Vec<(StreamId, i64)>,
    source: Arc<dyn Source>,
    metrics: Arc<Metrics>,
    news: Vec<RevisionEvents>,
    feed: Feed,
}

impl Work {
    async fn run(mut self, mut commands: Receiver<Command>, stop: Stop) {
        let mut more = false;
        loop {
            let next = self.agenda.next();
            let mut command = None;
            let going = tokio::select! {
                biased;
                () = stop.cancelled() => false,
                going = self.feed.wait(&mut self.news) => going,
                taken = commands.recv() => {
                    command = taken;
                    command.is_some()
                }
                () = clock::sleep_until_some(next) => true,
                () = std::future::ready(()), if more => true,
            };
            if !going {
                break;
            }
            more = self.turn(command, &mut commands);
            task::yield_now().await;
        }
        for stream in self.streams.values() {
            stream.outbox.end(Status::new(
                Code::from_i32(Error::Stopped.code()),
                Error::Stopped.to_string(),
            ));
        }
    }

    /// A bounded share for everybody; `true` if there is work left that nothing will announce.
    pub(super) fn turn(
        &mut self,
        first: Option<Command>,
        commands: &mut Receiver<Command>,
    ) -> bool {
        self.publish();
        for signal in self.feed.take_signals() {
            match signal {
                Signal::Room(stream) => self.room(stream),
                Signal::Closed(stream) => self.close(stream),
            }
        }
        let rest = std::iter::from_fn(|| commands.try_recv().ok());
        for command in first.into_iter().chain(rest).take(COMMANDS_PER_TURN) {
            self.carry_out(command);
        }
        self.notify_idle(Instant::now());
        let more = self.catch_up();
        self.forget_gone();
        self.measure();
        more
    }

    /// Hands on all news there are, and what was missed.
    fn publish(&mut self) {
        self.feed.take_news(&mut self.news);
        let mut news = std::mem::take(&mut self.news);
        let mut sink = Outboxes { gone: &mut self.gone, source: &*self.source };
        self.group.publish(&news, &mut sink);
        self.group.skip_to(self.feed.take_missed());
        news.clear();
        self.news = news; // Keeps its memory.
    }

    fn room(&mut self, stream: StreamId) {
        let Some(stream) = self.streams.get(&stream) else { return };
        for id in stream.watches.values() {
            self.group.room(*id);
        }
    }

    fn close(&mut self, id: StreamId) {
        let Some(stream) = self.streams.remove(&id) else { return };
        for watcher in stream.watches.values() {
            self.group.remove(*watcher);
        }
        if let Some(at) = stream.progress_at {
            self.agenda.remove(id, at);
        }
        let silence = planted::on(Bug::CloseSilencesOthers);
        self.feed.set_watched(!self.group.is_empty() && !silence);
    }

    fn carry_out(&mut self, Command { stream, ask }: Command) {
        match ask {
            Ask::Open(outbox) => self.open(stream, outbox),
            Ask::Create(create) => self.create(stream, create),
            Ask::Refuse(reason) => self.refuse(stream, reason),
            Ask::Cancel(watch_id) => self.cancel(stream, watch_id),
            Ask::Progress => self.progress(stream),
        }
    }

    fn open(&mut self, id: StreamId, outbox: Arc<Outbox>) {
        // Its signal may have come, and found nothing, before this.
        if outbox.is_closed() {
            return;
        }
        let stream = Stream { outbox, watches: BTreeMap::new(), next_id: 0, progress_at: None };
        self.streams.insert(id, stream);
    }

    /// Registers a watcher at revision R of the store: it gets, once, every event after R, or from
    /// its start revision on.
    ///
    /// When R is read, everything up to R has been offered to the queue, because apply offers under
    /// the machine's lock. So after one look into the queue the group is at R, or somebody else's
    /// revision was missed and the group knows. Where there was no watcher, nothing was offered:
    /// then the group starts at R.
    fn create(&mut self, stream_id: StreamId, create: Create) {
        let Some(stream) = self.streams.get(&stream_id) else { return };
        let Some(watch_id) = stream.id_for(create.watch_id) else {
            let reason = "mvcc: duplicate watch ID provided on the WatchStream";
            return self.refuse(stream_id, reason.into());
        };
        let was_empty = self.group.is_empty();
        self.feed.set_watched(true);
        let revision = self.source.revision();
        if was_empty {
            self.group.skip_to(revision);
        }
        self.publish();
        let Some(stream) = self.streams.get_mut(&stream_id) else { return };
        let asked = create.start_revision;
        let skipped = i64::from(planted::on(Bug::WatchNowSkips));
        let start = if asked == 0 { revision + 1 + skipped } else { asked };
        probe::hit_if(start > revision + 1, Probe::WatchFuture);
        let owner = Owner {
            stream: stream_id,
            watch_id,
            outbox: Arc::clone(&stream.outbox),
            wishes: create.wishes,
            progress_notify: create.progress_notify,
            is_idle: true,
        };
        let id = self.group.insert(Spec {
            owner,
            range: create.range,
            filters: create.filters,
            start,
            progress_from: revision.max(asked),
        });
        stream.watches.insert(watch_id, id);
        if create.watch_id == 0 {
            stream.next_id = watch_id + 1;
        }
        if create.progress_notify && stream.progress_at.is_none() {
            stream.progress_at = Some(self.agenda.add(stream_id, Instant::now()));
        }
        let header = Some(self.source.header_at(revision));
        let created = pb::WatchResponse { header, watch_id, created: true, ..Default::default() };
        stream.outbox.answer(created);
        let mut sink = Outboxes { gone: &mut self.gone, source: &*self.source };
        self.group.compacted(self.source.compact_revision(), &mut sink);
        self.forget_gone();
    }

    fn refuse(&mut self, stream: StreamId, cancel_reason: String) {
        let Some(stream) = self.streams.get(&stream) else { return };
        stream.outbox.answer(pb::WatchResponse {
            header: Some(self.source.header_at(self.source.revision())),
            watch_id: NO_WATCH_ID,
            created: true,
            canceled: true,
            cancel_reason,
            ..Default::default()
        });
    }

    fn cancel(&mut self, stream: StreamId, watch_id: i64) {
        let Some(stream) = self.streams.get_mut(&stream) else { return };
        let Some(id) = stream.watches.remove(&watch_id) else { return };
        self.group.remove(id);
        let header = Some(self.source.header_at(self.source.revision()));
        let canceled = pb::WatchResponse { header, watch_id, canceled: true, ..Default::default() };
        stream.outbox.answer(canceled);
        self.feed.set_watched(!self.group.is_empty());
    }

    /// Answers only if the stream has watchers and all of them are synced; etcd stays silent
    /// otherwise, and the client asks again.
    fn progress(&mut self, stream: StreamId) {
        self.publish();
        let Some(stream) = self.streams.get(&stream) else { return };
        let synced = |id: &WatcherId| self.group.progress(*id).is_some();
        if stream.watches.is_empty() || !stream.watches.values().all(synced) {
            return;
        }
        let header = Some(self.source.header_at(self.group.revision()));
        let response = pb::WatchResponse { header, watch_id: NO_WATCH_ID, ..Default::default() };
        stream.outbox.answer(response);
    }

    /// Tells watchers that asked for it, and have been sent nothing for a while, how far they are.
    pub(super) fn notify_idle(&mut self, now: Instant) {
        while let Some(id) = self.agenda.pop(now) {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.progress_at = Some(self.agenda.add(id, now));
            let may_send = stream.outbox.is_idle();
            for watcher in stream.watches.values() {
                let progress = self.group.progress(*watcher);
                let Some(owner) = self.group.owner_mut(*watcher) else { continue };
                let was_idle = std::mem::replace(&mut owner.is_idle, true);
                let Some(revision) = progress else { continue };
                if owner.progress_notify && was_idle && may_send {
                    let header = Some(self.source.header_at(revision));
                    let watch_id = owner.watch_id;
                    let told = pb::WatchResponse { header, watch_id, ..Default::default() };
                    owner.outbox.answer(told);
                }
            }
        }
    }

    /// One step of feeding those who lack something; `true` if there may be more to do.
    fn catch_up(&mut self) -> bool {
        let mut sink = Outboxes { gone: &mut self.gone, source: &*self.source };
        let compacted = self.source.compact_revision();
        let Some(step) = self.group.plan(compacted, &mut sink) else { return false };
        let asked = usize::try_from(step.to - step.from + 1).unwrap_or(1);
        let limits = HistoryLimits { revisions_max: asked, bytes_max: STEP_BYTES };
        let skip = planted::on(Bug::WatchFromCompactedSkips) && step.from == compacted;
        match self.source.history(step.from + i64::from(skip), limits) {
            Ok(history) => {
                // A read that a limit cut short ends with the last revision it holds. It holds at
                // least one if there is any, so finding none means that there is none.
                let through = history.last().map_or(step.to, |last| last.revision.min(step.to));
                self.group.catch_up(&step, &history, through, &mut sink);
                true
            }
            // Compacted since the look above: the next plan cancels whom it concerns.
            Err(Error::Compacted) => true,
            Err(error) => {
                tracing::warn!(%error, "watchers cannot read history");
                false
            }
        }
    }

    fn forget_gone(&mut self) {
        for (stream, watch_id) in self.gone.drain(..) {
            if let Some(stream) = self.streams.get_mut(&stream) {
                stream.watches.remove(&watch_id);
            }
        }
    }

    /// How many watchers there are.
    #[cfg(test)]
    pub(super) fn watcher_count(&self) -> usize {
        self.group.len()
    }

    fn measure(&self) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.watchers.set(count(self.group.len()));
        self.metrics.watch_streams.set(count(self.streams.len()));
        self.metrics.slow_watchers.set(count(self.group.unsynced_count()));
    }
}

impl Stream {
    /// The id a new watcher gets; nothing if the one it wants is taken.
    fn id_for(&self, asked: i64) -> Option<i64> {
        if asked != 0 {
            return (!self.watches.contains_key(&asked)).then_some(asked);
        }
        (self.next_id..).find(|id| !self.watches.contains_key(id))
    }
}

/// The outboxes, as the group sees them.
struct Outboxes<'a> {
    gone: &'a mut Vec<(StreamId, i64)>,
    source: &'a dyn Source,
}

impl Sink<Owner> for Outboxes<'_> {
    fn offer(&mut self, owner: &mut Owner, delivery: Delivery) -> bool {
        owner.is_idle = false;
        owner.outbox.offer(owner.watch_id, owner.wishes, delivery)
    }

    fn compacted(&mut self, owner: Owner, compact_revision: i64) {
        self.gone.push((owner.stream, owner.watch_id));
        owner.outbox.answer(pb::WatchResponse {
            // etcd sends no revision and no reason here: the compact revision says it all.
            header: Some(self.source.header_at(0)),
            watch_id: owner.watch_id,
            canceled: true,
            compact_revision,
            ..Default::default()
        });
    }
}
