//! Linearizable reads share ReadIndex rounds.
//!
//! All reads that arrive while one round is under way wait for the next: a round that began before
//! a read arrived may prove an index that is too old for it. A round costs the same for one read
//! as for hundreds, so after one those whom it served are waited for: clients that have their
//! answer soon ask again. Where there are many, how long a round takes says how busy the members
//! are, and so how long to wait. The machine is pure but for the queue; the driver feeds it and
//! raft.
//!
//! ```text
//!   waiting ──(no round under way, as many as lately)──► round ──► index
//! ```

use std::sync::Arc;
use std::time::Duration;

use reseed_planted::{self as planted, Bug};
use reseed_rt::clock::Instant;

use super::read_queue::ReadQueue;

/// So long after a round the next one waits for as many reads as that one served. One client that
/// reads alone never waits.
const PAUSE: Duration = Duration::from_millis(1);
/// So many make a crowd, for which it waits as long as the round took; for twice as many, twice.
/// With 256 clients on three members that saves a fifth of the CPU of a read.
const CROWD: usize = 8;
/// It waits no longer than this, however far away the leader is.
const PAUSE_MAX: Duration = Duration::from_millis(5);
/// Rounds that serve fewer make the number that is waited for smaller by one in so many.
const CROWD_LEAVES: usize = 8;

/// The round under way and who waits for the next one.
#[derive(Debug)]
pub(crate) struct Reads {
    /// Begins every context: no other member, and no earlier life of this one, asks with it. The
    /// leader keeps the questions of all members in one table.
    asker: [u8; 16],
    /// Of the last question.
    asked: u64,
    /// Of the first question of the round under way: any answer since then is good.
    began: u64,
    began_at: Instant,
    queue: Arc<ReadQueue>,
    ticks_in_round: usize,
    /// How many rounds served lately, at most.
    crowd: usize,
    /// Until when the next round waits, and for how many.
    pause_until: Option<Instant>,
    enough: usize,
}

impl Reads {
    /// Rounds of member `id` in the life that drew `nonce`, for those in `queue`.
    pub(crate) fn of(id: u64, nonce: u64, queue: Arc<ReadQueue>) -> Self {
        let mut asker = [0; 16];
        asker[..8].copy_from_slice(&id.to_be_bytes());
        asker[8..].copy_from_slice(&nonce.to_be_bytes());
        Self {
            asker,
            asked: 0,
            began: 0,
            began_at: Instant::now(),
            queue,
            ticks_in_round: 0,
            crowd: 0,
            pause_until: None,
            enough: 1,
        }
    }

    /// When a round may begin; `None` if there is nobody to serve, or one is under way.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let pause_until = self.pause_until.filter(|until| *until > now);
        let enough = if pause_until.is_some() { self.enough } else { 1 };
        match self.queue.waiting(enough) {
            0 => None,
            waiting if waiting < enough => pause_until,
            _ => Some(now),
        }
    }

    /// Begins a round if one is due; returns the context to give to raft.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.due(now)? > now {
            return None;
        }
        self.queue.begin();
        self.ticks_in_round = 0;
        let context = self.next_context();
        (self.began, self.began_at) = (self.asked, now);
        Some(context)
    }

    /// A tick has passed; returns a context if the round under way should be asked for again.
    ///
    /// A round asked for again gets a context of its own. An answer to any question of it will do,
    /// or a leader further away than the questions are apart would never be heard; the answer to
    /// a question of an earlier round will not: it may be too old for those who came since, however
    /// late a paused leader gives it (etcd #20418).
    pub(crate) fn tick(&mut self, ticks_to_retry: usize) -> Option<Vec<u8>> {
        if !self.queue.is_wanted() {
            return None;
        }
        self.ticks_in_round += 1;
        if self.ticks_in_round < ticks_to_retry {
            return None;
        }
        self.ticks_in_round = 0;
        Some(self.next_context())
    }

    /// Raft answered the round with `context`: everybody in it may read at `index`.
    pub(crate) fn answer(&mut self, context: &[u8], index: u64, now: Instant) {
        let is_of_round =
            (self.began..=self.asked).any(|question| context == self.context(question));
        if !is_of_round && !planted::on(Bug::ReadTakesAnyAnswer) {
            return;
        }
        let served = self.queue.answer(index);
        if served > 0 {
            self.crowd = served.max(self.crowd - self.crowd.div_ceil(CROWD_LEAVES));
            let took = now.saturating_duration_since(self.began_at);
            let (enough, pause) = match self.crowd / CROWD {
                0 => (served, PAUSE),
                1 => (self.crowd, took),
                _ => (self.crowd, took * 2),
            };
            self.enough = enough;
            self.pause_until = Some(now + pause.min(PAUSE_MAX));
        }
    }

    fn next_context(&mut self) -> Vec<u8> {
        self.asked += 1;
        self.context(self.asked)
    }

    fn context(&self, question: u64) -> Vec<u8> {
        [&self.asker[..], &question.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use reseed_core::error::Error;

    use super::*;

    const ROUND: Duration = Duration::from_millis(1);

    /// Reads of one member, and whoever waits.
    struct Room {
        reads: Reads,
        queue: Arc<ReadQueue>,
        now: Instant,
    }

    /// Somebody who waits.
    struct Reader(BoxFuture<'static, Result<u64, Error>>);

    impl Reader {
        fn heard(&mut self) -> Option<u64> {
            (&mut self.0).now_or_never().map(|answer| answer.expect("nobody closed the queue"))
        }
    }

    impl Room {
        fn of(id: u64) -> Self {
            let queue = Arc::new(ReadQueue::default());
            Self { reads: Reads::of(id, 7, Arc::clone(&queue)), queue, now: Instant::now() }
        }

        fn arrive(&self) -> Reader {
            let queue = Arc::clone(&self.queue);
            let mut reader = Reader(Box::pin(async move { queue.index().await }));
            assert_eq!(reader.heard(), None);
            reader
        }

        fn crowd(&self, count: usize) -> Vec<Reader> {
            (0..count).map(|_| self.arrive()).collect()
        }

        fn begin(&mut self) -> Option<Vec<u8>> {
            self.reads.begin(self.now)
        }

        fn answer(&mut self, context: &[u8], index: u64) {
            self.now += ROUND;
            self.reads.answer(context, index, self.now);
        }
    }

    #[test]
    fn an_answer_to_another_members_question_is_nobodys() {
        let (mut one, mut other) = (Room::of(1), Room::of(2));
        let mut reader = one.arrive();
        let asked = one.begin().expect("somebody waits");
        let _waits = other.arrive();
        one.answer(&other.begin().expect("somebody waits"), 9);
        assert_eq!(reader.heard(), None);
        one.answer(&asked, 8);
        assert_eq!(reader.heard(), Some(8));
    }

    #[test]
    fn a_read_that_arrives_during_a_round_waits_for_the_next() {
        let mut room = Room::of(1);
        let mut first = room.arrive();
        let round = room.begin().expect("somebody waits");
        let mut second = room.arrive();
        assert_eq!(room.begin(), None);
        room.answer(&round, 7);
        assert_eq!((first.heard(), second.heard()), (Some(7), None));
        let next = room.begin().expect("the second waits");
        room.answer(&round, 8);
        assert_eq!(second.heard(), None, "a late answer to an old round is ignored");
        room.answer(&next, 9);
        assert_eq!(second.heard(), Some(9));
    }

    #[test]
    fn a_round_without_an_answer_is_asked_for_again_while_somebody_waits() {
        let mut room = Room::of(1);
        let reader = room.arrive();
        let first = room.begin().expect("somebody waits");
        assert_eq!(room.reads.tick(2), None);
        let again = room.reads.tick(2).expect("two ticks without an answer");
        assert_ne!(first, again);
        drop(reader);
        assert_eq!((room.reads.tick(2), room.reads.tick(2)), (None, None));
    }

    #[test]
    fn those_whom_the_last_round_served_are_waited_for_but_not_for_long() {
        let mut room = Room::of(1);
        let three = room.crowd(3);
        let round = room.begin().expect("the first round waits for nobody");
        room.answer(&round, 7);
        drop(three);
        let one = room.arrive();
        assert_eq!((room.begin(), room.reads.due(room.now)), (None, Some(room.now + PAUSE)));
        let others = room.crowd(2);
        let round = room.begin().expect("all three are back");
        room.answer(&round, 8);
        drop((one, others));
        let one = room.arrive();
        room.now += PAUSE;
        let round = room.begin().expect("one of them, a while later");
        room.answer(&round, 9);
        drop(one);
        let _one = room.arrive();
        assert!(room.begin().is_some(), "who is alone waits for nobody");
    }

    #[test]
    fn a_crowd_is_waited_for_as_long_as_its_round_took_until_it_has_gone() {
        let mut room = Room::of(1);
        let mut crowd = room.crowd(2 * CROWD);
        for served in [2 * CROWD, 1, 1] {
            let round = room.begin().expect("the pause is over");
            room.answer(&round, 7);
            assert_eq!(crowd.drain(..).count(), served);
            crowd.push(room.arrive());
            // Fourteen and thirteen are no longer twice as many.
            let pause = if served == 1 { ROUND } else { ROUND * 2 };
            assert_eq!(room.reads.due(room.now), Some(room.now + pause));
            room.now += pause;
        }
        for _ in 0..2 * CROWD {
            let round = room.begin().expect("the pause is over");
            room.answer(&round, 7);
            crowd.clear();
            crowd.push(room.arrive());
            room.now += PAUSE_MAX;
        }
        let round = room.begin().expect("somebody waits");
        room.answer(&round, 7);
        crowd.clear();
        crowd.push(room.arrive());
        assert!(room.begin().is_some(), "who is left alone waits for nobody");
    }

    #[test]
    fn a_late_answer_serves_the_round_it_was_asked_for_and_no_later_one() {
        let mut room = Room::of(1);
        let mut reader = room.arrive();
        let first = room.begin().expect("somebody waits");
        let again = room.reads.tick(1).expect("a tick without an answer");
        room.answer(&first, 7);
        assert_eq!(reader.heard(), Some(7));
        drop(reader);
        let mut reader = room.arrive();
        let next = room.begin().expect("somebody waits");
        room.answer(&again, 8);
        assert_eq!(reader.heard(), None);
        room.answer(&next, 9);
        assert_eq!(reader.heard(), Some(9));
    }
}
