//! What this member knows of its own place in the log, readable without a lock.
//!
//! Written by the driver (term, leader, commit) and by apply (applied); read by every response
//! header, by `Status`, and by linearizable reads that wait for an index to be applied.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use reseed_rt::clock::{self, Instant};
use reseed_rt::wake::{self, Sleeper};

use crate::sight::{Observer, Sight, Sights};

/// Between two looks for a leader.
const READY_INTERVAL: Duration = Duration::from_millis(5);

/// Ticks after which a driver that has not run no longer vouches for its leadership; etcd's three
/// heartbeats.
const STALE_TICKS: u32 = 3;

/// Positions in the log; all start at what the disk said at boot.
#[derive(Debug, Default)]
pub struct Progress {
    term: AtomicU64,
    leader: AtomicU64,
    /// When that leader, or the last there was, became known, by this process's clock; 0 = never.
    led_since_millis: AtomicU64,
    committed: AtomicU64,
    last: AtomicU64,
    applied: AtomicU64,
    leads_alone: AtomicBool,
    /// When the driver last ticked, by this process's clock; 0 = never.
    ticked_millis: AtomicU64,
    /// How often it ticked so late that others may have elected another leader meanwhile.
    stood_still: AtomicU64,
    /// How many of these times are made good: a quorum has said since who leads.
    made_good: AtomicU64,
    learner: AtomicBool,
    successors: Mutex<Vec<u64>>,
    sights: Sights,
    /// Who waits for an index, under it and a number of its own.
    waiting: Mutex<BTreeMap<(u64, u64), Sleeper>>,
    waits: AtomicU64,
}

impl Progress {
    /// Raft term.
    pub fn term(&self) -> u64 {
        self.term.load(Ordering::Relaxed)
    }

    /// Member id of the leader, 0 if none is known.
    pub fn leader(&self) -> u64 {
        self.leader.load(Ordering::Relaxed)
    }

    /// Index up to which the log is committed.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Index of the last entry that has been applied and is visible to reads.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Whether this member leads a cluster in which nobody else votes.
    pub(crate) fn leads_alone(&self) -> bool {
        self.leads_alone.load(Ordering::Acquire)
    }

    pub(crate) fn set_leads_alone(&self, leads_alone: bool) {
        self.leads_alone.store(leads_alone, Ordering::Release);
    }

    /// The driver has counted a heartbeat interval of this length; did it stand still before?
    ///
    /// A driver that wakes ticks before it hears what it missed: that tick vouches for nothing.
    pub(crate) fn tick(&self, interval: Duration) -> bool {
        let stood_still = self.note_pause(self.since_tick(), interval);
        self.ticked_millis.store(Instant::now().as_millis().max(1), Ordering::Release);
        stood_still
    }

    fn note_pause(&self, pause: Duration, interval: Duration) -> bool {
        let stood_still = pause > interval * STALE_TICKS;
        if stood_still {
            self.stood_still.fetch_add(1, Ordering::AcqRel);
        }
        stood_still
    }

    /// Whether the driver, which ticks at this interval, has not run for so long that others may
    /// have elected another leader, and no quorum has said since who leads.
    pub(crate) fn is_stale(&self, interval: Duration) -> bool {
        self.since_tick() > interval * STALE_TICKS
            || self.made_good.load(Ordering::Acquire) < self.stood_still()
    }

    /// How often the driver has stood still.
    pub(crate) fn stood_still(&self) -> u64 {
        self.stood_still.load(Ordering::Acquire)
    }

    /// A quorum has said who leads, asked after the driver had stood still so many times.
    pub(crate) fn make_good(&self, stood_still: u64) {
        self.made_good.fetch_max(stood_still, Ordering::AcqRel);
    }

    /// Who could lead in this member's place, the best first; nobody if it does not lead.
    pub(crate) fn successors(&self) -> Vec<u64> {
        self.successors.lock().clone()
    }

    pub(crate) fn set_successors(&self, ids: Vec<u64>) {
        *self.successors.lock() = ids;
    }

    /// How long ago the driver last ticked; nothing at all before it ran.
    pub(crate) fn since_tick(&self) -> Duration {
        let ticked = self.ticked_millis.load(Ordering::Acquire);
        let now = Instant::now().as_millis();
        Duration::from_millis(if ticked == 0 { 0 } else { now.saturating_sub(ticked) })
    }

    /// Whether this member only learns and does not vote.
    pub fn is_learner(&self) -> bool {
        self.learner.load(Ordering::Relaxed)
    }

    pub(crate) fn set_learner(&self, learner: bool) {
        self.learner.store(learner, Ordering::Relaxed);
    }

    /// From now on `observer` sees what happens here; there can be one.
    pub fn show_to(&self, observer: Observer) {
        self.sights.show_to(observer);
    }

    /// Shows something to the observer, if there is one.
    pub(crate) fn show(&self, sight: impl FnOnce() -> Sight) {
        self.sights.show(sight);
    }

    /// How long the leader, or the last there was, has been known; `None`: there never was one.
    pub(crate) fn led_for(&self) -> Option<Duration> {
        let since = self.led_since_millis.load(Ordering::Relaxed);
        let millis = Instant::now().as_millis().saturating_sub(since);
        (since != 0).then(|| Duration::from_millis(millis))
    }

    pub(crate) fn set_raft(&self, term: u64, leader: u64, committed: u64) {
        if leader != 0 && leader != self.leader() {
            self.led_since_millis.store(Instant::now().as_millis().max(1), Ordering::Relaxed);
        }
        self.sights.show(|| Sight::Place { term, leader, committed, last: self.last_index() });
        self.term.store(term, Ordering::Relaxed);
        self.leader.store(leader, Ordering::Relaxed);
        self.committed.store(committed, Ordering::Relaxed);
    }

    /// Index of the last entry in the log, committed or not.
    pub fn last_index(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    pub(crate) fn set_last_index(&self, index: u64) {
        self.last.store(index, Ordering::Relaxed);
    }

    /// Makes `index` the applied index and wakes whoever waited for it.
    pub(crate) fn set_applied(&self, index: u64) {
        let before = self.applied.swap(index, Ordering::AcqRel);
        assert!(before <= index, "applied index went back from {before} to {index}");
        let mut waiting = self.waiting.lock();
        let later = waiting.split_off(&(index + 1, 0));
        let woken = std::mem::replace(&mut *waiting, later);
        drop(waiting);
        wake::wake_all(woken.into_values());
    }

    /// Returns when there is a leader and everything is applied that was known to be committed
    /// then.
    pub(crate) async fn ready(&self) {
        let mut ticks = clock::interval(READY_INTERVAL);
        while self.leader() == 0 || self.committed() == 0 {
            ticks.tick().await;
        }
        self.wait_applied(self.committed()).await;
    }

    /// Returns once the applied index is at least `index`.
    pub(crate) async fn wait_applied(&self, index: u64) {
        if self.applied() < index {
            let number = self.waits.fetch_add(1, Ordering::Relaxed);
            Wait { progress: self, place: (index, number) }.await;
        }
    }
}

/// Ready once its index is applied.
struct Wait<'a> {
    progress: &'a Progress,
    place: (u64, u64),
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.progress.waiting.lock();
        // Apply stores before it locks: an index reached meanwhile is seen here.
        if self.progress.applied() >= self.place.0 {
            return Poll::Ready(());
        }
        match waiting.entry(self.place) {
            Entry::Occupied(mut asleep) => asleep.get_mut().again(cx),
            Entry::Vacant(place) => _ = place.insert(Sleeper::here(cx)),
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.progress.waiting.lock().remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_tick_is_made_good_by_a_quorum_only() {
        let (progress, interval) = (Progress::default(), Duration::from_millis(100));
        progress.note_pause(Duration::from_millis(300), interval);
        assert!(!progress.is_stale(interval), "late, but nobody else can lead yet");
        progress.note_pause(Duration::from_millis(301), interval);
        assert!(progress.is_stale(interval));
        let asked = progress.stood_still();
        progress.note_pause(Duration::from_secs(9), interval);
        progress.make_good(asked);
        assert!(progress.is_stale(interval), "it stood still again after it had asked");
        progress.make_good(progress.stood_still());
        assert!(!progress.is_stale(interval));
    }

    #[tokio::test]
    async fn waiting_ends_when_the_index_is_applied() {
        let progress = Progress::default();
        progress.set_applied(3);
        progress.wait_applied(3).await;
        let (_, ()) = tokio::join!(progress.wait_applied(5), async { progress.set_applied(7) });
        assert!(progress.waiting.lock().is_empty());
    }
}
