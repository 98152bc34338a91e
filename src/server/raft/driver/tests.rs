//! The driver over a disk that fails: what is refused, and what it cannot go on after.

use futures::FutureExt as _;
use raft::eraftpb::ConfState;
use reseed_rt::chan;
use reseed_storage::testing::MemDisk;
use reseed_storage::wal::{Metadata, WalError, WalOptions};

use super::*;
use crate::raft::log_view::LogView;
use crate::waiters::Answer;

const ME: u64 = 7;
const SEGMENT_BYTES: u64 = 8192;

/// Has nobody to send to.
struct Nobody;

impl Outbound for Nobody {
    fn send(&self, messages: Vec<Message>) -> Vec<u64> {
        messages.into_iter().map(|message| message.to).collect()
    }
}

/// A lone voter that leads, driven turn by turn.
struct Member {
    driver: Driver,
    reads: Reads,
    disk: MemDisk,
    committed: Receiver<Committed>,
    next_id: u64,
    /// Held so that the driver does not take its queues for closed.
    _senders: (Sender<Event>, Sender<PeerEvent>),
}

impl Member {
    fn new() -> Self {
        let disk = MemDisk::new(1);
        let conf_state = ConfState { voters: vec![ME], ..ConfState::default() };
        let mark = Mark { index: 0, term: 0, conf_state: Bytes::from(conf_state.encode_to_vec()) };
        let metadata = Metadata { member_id: ME, cluster_id: 1 };
        let options = WalOptions { segment_bytes: SEGMENT_BYTES };
        let wal = Wal::create(disk.disk(), "/wal".as_ref(), metadata, &mark, options);
        let log = LogView::new(0, 0, conf_state, HardState::default());
        let config = raft::Config { id: ME, ..raft::Config::default() };
        let (to_driver, events) = chan::bounded("driver", 1);
        let (to_peers, from_peers) = chan::bounded("peers", 1);
        let (apply, committed) = chan::bounded("apply", 1024);
        let driver = Driver {
            node: Node::new(&config, log).expect("a valid configuration"),
            wal: wal.expect("the disk works"),
            events,
            peers: Box::new(Nobody),
            voters: Arc::default(),
            readers: Arc::default(),
            from_peers,
            apply,
            waiters: Arc::default(),
            progress: Arc::default(),
            metrics: Arc::new(Metrics::new()),
            halt: Halt::new(Stop::new()),
            tick: std::time::Duration::from_secs(1),
            catchup_entries: 0,
            sync_writes: true,
            installing: None,
            hurry: Hurry::default(),
            woke: None,
            taken_bytes: 0,
        };
        let reads = Reads::of(ME, 1, Arc::clone(&driver.readers));
        let _senders = (to_driver, to_peers);
        let mut member = Self { driver, reads, disk, committed, next_id: 1, _senders };
        member.driver.node.campaign_if_alone().expect("nobody objects");
        member.turn(VecDeque::new()).expect("the disk works");
        member
    }

    fn turn(&mut self, mut events: VecDeque<Event>) -> Result<(), DriverError> {
        while !events.is_empty() {
            self.driver.take_turn(&mut events)?;
            let carried = self.driver.carry_out(&mut self.reads).now_or_never();
            carried.expect("nothing to wait for")?;
        }
        let carried = self.driver.carry_out(&mut self.reads).now_or_never();
        carried.expect("nothing to wait for")
    }

    /// Proposes one small entry for a term; what its proposer heard.
    fn propose_leading(&mut self, led_in: Option<u64>) -> Option<Answer> {
        let (id, payload) = (self.next_id, Bytes::from_static(b"1"));
        self.next_id += 1;
        let waiters = Arc::clone(&self.driver.waiters);
        let answer = waiters.register(id);
        let outcome = self.turn([Event::Propose { id, payload, led_in }].into());
        outcome.expect("the disk works");
        answer.now_or_never()
    }

    /// Proposes entries of these sizes in one turn; what their proposers heard, and what failed.
    fn propose(&mut self, sizes: &[usize]) -> (Vec<Option<Answer>>, Result<(), DriverError>) {
        let waiters = Arc::clone(&self.driver.waiters);
        let mut answers = Vec::new();
        let mut events = VecDeque::new();
        for size in sizes {
            let id = self.next_id;
            self.next_id += 1;
            answers.push(waiters.register(id));
            let payload = Bytes::from(vec![1; *size]);
            events.push_back(Event::Propose { id, payload, led_in: None });
        }
        let outcome = self.turn(events);
        (answers.into_iter().map(|answer| answer.now_or_never()).collect(), outcome)
    }

    /// Whether entries of these sizes are committed; the only other end is a refusal for want of
    /// space.
    fn is_committed(&mut self, sizes: &[usize]) -> bool {
        let (answers, outcome) = self.propose(sizes);
        outcome.unwrap_or_else(|error| panic!("{sizes:?} halts the member: {error}"));
        let mut entries = 0;
        while let Ok(Committed::Entries(batch)) = self.committed.try_recv() {
            entries += batch.iter().filter(|entry| !entry.data.is_empty()).count();
        }
        if entries == sizes.len() {
            return true;
        }
        assert_eq!(entries, 0, "a part of {sizes:?} is committed");
        let refused = answers.iter().all(|answer| matches!(answer, Some(Err(Error::NoSpace))));
        assert!(refused, "{sizes:?} is neither committed nor refused: {answers:?}");
        false
    }
}

#[test]
fn a_segment_that_cannot_be_prepared_halts() {
    let mut member = Member::new();
    // Room for this batch needs the next segment, whose preparation ends with a sync.
    member.disk.fail_sync_after(1);
    let (answers, outcome) = member.propose(&[SEGMENT_BYTES as usize]);
    let error = outcome.expect_err("a failed sync is final");
    assert!(matches!(error, DriverError::Wal(WalError::Io { .. })), "{error}");
    assert_eq!(answers, [None], "nobody is told that the disk is full");
    let (_, again) = member.propose(&[1]);
    assert!(matches!(again, Err(DriverError::Wal(WalError::Poisoned(_)))), "{again:?}");
}

#[test]
fn a_segment_that_cannot_be_prepared_ahead_of_need_halts() {
    let mut member = Member::new();
    let half = SEGMENT_BYTES as usize / 2;
    assert!(member.is_committed(&[half]));
    member.disk.fail_sync_after(1);
    let (_, outcome) = member.propose(&[1]);
    assert!(matches!(outcome, Err(DriverError::Wal(WalError::Io { .. }))), "{outcome:?}");
}

#[test]
fn a_disk_full_at_a_segments_end_refuses_and_does_not_halt() {
    // Many small entries, whose headers outweigh them, and sizes that end anywhere.
    let shapes = [vec![2; 50], vec![1; 1], vec![1; 3], vec![7; 21], vec![900; 1], vec![333; 2]];
    for shape in shapes {
        for first in 0..40 {
            let mut member = Member::new();
            member.disk.limit_bytes(Some(0));
            // Shifts by a frame's alignment where the segment ends.
            assert!(member.is_committed(&[1 + first * 8]));
            let turns = (0..).take_while(|_| member.is_committed(&shape)).count();
            assert!(turns < SEGMENT_BYTES as usize, "{shape:?} fits for ever");
            // A smaller one may still fit, or not; the member lives on either way.
            for _ in 0..100 {
                member.is_committed(&[1]);
            }
            member.disk.limit_bytes(None);
            assert!(member.is_committed(&shape), "{shape:?} where there is space again");
        }
    }
}

#[test]
fn what_a_leader_sends_at_once_needs_room_for_all_of_it() {
    let mut member = Member::new();
    member.disk.limit_bytes(Some(0));
    let log = member.driver.node.log();
    let (mut index, mut log_term) = (log.last(), log.term_of(log.last()).expect("known"));
    // Each has room by itself; raft takes both before either is written.
    let size = SEGMENT_BYTES as usize * 5 / 8;
    let sent = [1, 2].map(|_| {
        let entry =
            Entry { index: index + 1, term: 9, data: vec![1; size].into(), ..<_>::default() };
        let append = Message {
            msg_type: MessageType::MsgAppend as i32,
            from: ME + 1,
            to: ME,
            term: 9,
            index,
            log_term,
            entries: vec![entry],
            ..Message::default()
        };
        (index, log_term) = (index + 1, 9);
        append
    });
    let outcome = member.driver.hear(Some(PeerEvent::Received(sent.into())));
    outcome.expect("the disk works");
    member.turn(VecDeque::new()).expect("what there is no room for is not taken");
    assert_eq!(member.driver.node.log().last(), index - 1, "the first is");
}

#[test]
fn what_is_for_another_term_is_not_taken() {
    let mut member = Member::new();
    let term = member.driver.node.term();
    assert_eq!(member.propose_leading(Some(term - 1)), Some(Err(Error::NotLeader)));
    // In the log, and answered when it is applied.
    assert_eq!(member.propose_leading(Some(term)), None);
    assert_eq!(member.propose_leading(None), None);
}

#[test]
fn what_was_given_up_before_it_was_taken_is_not_proposed() {
    let mut member = Member::new();
    let last = member.driver.node.log().last();
    let event = |id| Event::Propose { id, payload: Bytes::from_static(b"late"), led_in: None };
    // Nobody waits for the first one any more.
    let waiters = Arc::clone(&member.driver.waiters);
    let _waiting = waiters.register(8);
    member.turn([event(7), event(8)].into()).expect("the disk works");
    assert_eq!(member.driver.node.log().last(), last + 1);
}
