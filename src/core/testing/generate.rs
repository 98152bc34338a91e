//! Requests from raw bytes: one generator for property tests, fuzzers and the simulator.
//!
//! Every string of bytes is some sequence of requests, near strings give near sequences, and no
//! bytes give the simplest request; so proptest shrinks by shortening, libFuzzer mutates with
//! effect, and a corpus file is a readable regression. The key space is tiny, so that requests
//! meet; every field is used, and so are values no client library would send. Nothing here asks
//! whether a request makes sense.

use alloc::vec::Vec;

use bytes::Bytes;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::log_entry::Request;

/// Keys requests are about: neighbours, prefixes of each other, both ends of the key space.
pub const KEYS: [&[u8]; 8] = [b"a", b"b", b"c", b"aa", b"ab", b"\0", b"\xff", b"b\0"];
/// Ends of ranges: none, all above, prefixes, backwards, past the last key.
const ENDS: [&[u8]; 8] = [b"", b"\0", b"b", b"c", b"d", b"a", b"\xff\xff", b"ab"];
const VALUES: [&[u8]; 6] = [b"1", b"2", b"", b"10", b"\0", b"a longer value, to tell it apart"];
/// Leases requests are about.
pub const LEASES: [i64; 5] = [1, 2, 3, -4, i64::MAX];

/// Bytes to draw from; once they are used up, every draw is zero.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    /// Draws from `bytes`, first to last.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether every further draw is zero.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    /// A number below `bound`, which is 1 to 256.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!((1..=256).contains(&bound), "one byte cannot choose among {bound}");
        usize::from(self.byte()) % bound
    }

    /// One of `choices`.
    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// True once in `n`, never on an empty source.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }
}

/// One step of a test: something to do to a machine and to whatever it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A request that goes through the log.
    Apply(Request),
    /// A read.
    Range(pb::RangeRequest),
    /// The changes since a revision.
    History(i64),
    /// The hash at a revision.
    Hash(i64),
    /// Background compaction work over at most so many keys.
    Scrub(usize),
    /// The member stops and starts again from its backend.
    Restart,
}

/// One step; `now` is the current revision, around which drawn revisions lie.
pub fn step(source: &mut Source<'_>, now: i64) -> Step {
    match source.below(32) {
        0..=17 => Step::Apply(request(source, now)),
        18..=23 => Step::Range(range(source, now)),
        24..=25 => Step::History(revision(source, now)),
        26..=27 => Step::Hash(revision(source, now)),
        28..=30 => Step::Scrub(1 + source.below(4)),
        _ => Step::Restart,
    }
}

/// One request that goes through the log.
pub fn request(source: &mut Source<'_>, now: i64) -> Request {
    match source.below(32) {
        0..=10 => Request::Put(put(source)),
        11..=15 => Request::DeleteRange(delete_range(source)),
        16..=22 => Request::Txn(txn(source, now, 2)),
        23..=24 => Request::Compaction(pb::CompactionRequest {
            revision: revision(source, now),
            physical: source.once_in(2),
        }),
        25..=27 => Request::LeaseGrant(pb::LeaseGrantRequest {
            ttl: source.pick(&[10, 1, 0, -1, 60, 9_000_000_000, 9_000_000_001, i64::MAX]),
            id: source.pick(&LEASES),
        }),
        28..=29 => Request::LeaseRevoke(pb::LeaseRevokeRequest { id: source.pick(&LEASES) }),
        30 => Request::LeaseCheckpoint(checkpoint(source)),
        _ => Request::Alarm(alarm(source)),
    }
}

/// A put: any field may be set, also those that exclude each other.
pub fn put(source: &mut Source<'_>) -> pb::PutRequest {
    let mut put = pb::PutRequest { key: key(source), value: value(source), ..Default::default() };
    let flags = source.byte();
    put.prev_kv = flags & 1 != 0;
    put.ignore_value = flags & 0x0e == 0x0e;
    put.ignore_lease = flags & 0x70 == 0x70;
    if put.ignore_value && flags & 0x80 != 0 {
        put.value = Bytes::new();
    }
    if flags & 0x30 == 0x20 {
        put.lease = source.pick(&LEASES);
    }
    put
}

/// A deletion of a key or a range.
pub fn delete_range(source: &mut Source<'_>) -> pb::DeleteRangeRequest {
    let key = key(source);
    pb::DeleteRangeRequest { key, range_end: end(source), prev_kv: source.once_in(2) }
}

/// A range with every field.
pub fn range(source: &mut Source<'_>, now: i64) -> pb::RangeRequest {
    let mut range = pb::RangeRequest { key: key(source), ..Default::default() };
    range.range_end = end(source);
    let flags = source.byte();
    range.serializable = flags & 1 != 0;
    range.keys_only = flags & 2 != 0;
    range.count_only = flags & 0x1c == 0x1c;
    if flags & 0x20 != 0 {
        range.limit = source.pick(&[0, 1, 2, 3, -1, i64::MAX]);
        range.sort_order = source.pick(&[0, 1, 2, 2, 1, 7, -1]);
        range.sort_target = source.pick(&[0, 1, 2, 3, 4, 5]);
    }
    if flags & 0x40 != 0 {
        range.revision = revision(source, now);
    }
    if flags & 0x80 != 0 {
        let which = source.byte();
        for (bit, bound) in [
            (1, &mut range.min_mod_revision),
            (2, &mut range.max_mod_revision),
            (4, &mut range.min_create_revision),
            (8, &mut range.max_create_revision),
        ] {
            if which & bit != 0 {
                *bound = revision(source, now);
            }
        }
    }
    range
}

/// A transaction, with nested ones down to `depth` levels below it.
pub fn txn(source: &mut Source<'_>, now: i64, depth: usize) -> pb::TxnRequest {
    let mut txn = pb::TxnRequest::default();
    for _ in 0..source.pick(&[1, 0, 1, 2]) {
        txn.compare.push(compare(source, now));
    }
    for _ in 0..source.pick(&[1, 2, 3, 0]) {
        txn.success.push(op(source, now, depth));
    }
    for _ in 0..source.pick(&[0, 1, 2, 3]) {
        txn.failure.push(op(source, now, depth));
    }
    txn
}

fn op(source: &mut Source<'_>, now: i64, depth: usize) -> pb::RequestOp {
    use pb::request_op::Request as Op;
    let request = match source.below(32) {
        0..=11 => Some(Op::RequestPut(put(source))),
        12..=17 => Some(Op::RequestDeleteRange(delete_range(source))),
        18..=24 => Some(Op::RequestRange(range(source, now))),
        25..=30 if depth > 0 => Some(Op::RequestTxn(txn(source, now, depth - 1))),
        25..=30 => Some(Op::RequestTxn(pb::TxnRequest::default())),
        _ => None,
    };
    pb::RequestOp { request }
}

fn compare(source: &mut Source<'_>, now: i64) -> pb::Compare {
    use pb::compare::TargetUnion;
    let mut compare = pb::Compare { key: key(source), ..Default::default() };
    compare.result = source.pick(&[0, 1, 2, 3, 0, 3, 9]);
    compare.target = source.pick(&[3, 0, 1, 2, 4, 3, 5]);
    let shape = source.below(16);
    // Nearly always the operand that belongs to the target, sometimes another or none.
    let operand = if shape == 15 { source.pick(&[0, 1, 2, 3, 4, 7]) } else { compare.target };
    compare.target_union = match operand {
        0 => Some(TargetUnion::Version(source.pick(&[0, 1, 2, 3, -1]))),
        1 => Some(TargetUnion::CreateRevision(revision(source, now))),
        2 => Some(TargetUnion::ModRevision(revision(source, now))),
        3 => Some(TargetUnion::Value(value(source))),
        4 => Some(TargetUnion::Lease(source.pick(&[0, 1, 2]))),
        _ => None,
    };
    if shape & 3 == 3 {
        compare.range_end = end(source);
    }
    compare
}

fn checkpoint(source: &mut Source<'_>) -> pb::LeaseCheckpointRequest {
    let checkpoints = (0..=source.below(2)).map(|_| pb::LeaseCheckpoint {
        id: source.pick(&LEASES),
        remaining_ttl: source.pick(&[5, 1, 0, 60]),
    });
    pb::LeaseCheckpointRequest { checkpoints: checkpoints.collect::<Vec<_>>() }
}

fn alarm(source: &mut Source<'_>) -> pb::AlarmRequest {
    pb::AlarmRequest {
        // Off more often than on: an alarm makes most requests uninteresting.
        action: source.pick(&[2, 0, 1, 2]),
        member_id: source.pick(&[1, 1, 2]),
        alarm: source.pick(&[1, 1, 2]),
    }
}

/// A key, empty now and then.
pub fn key(source: &mut Source<'_>) -> Bytes {
    let choice = source.byte();
    if choice == 0xff {
        return Bytes::new();
    }
    Bytes::from_static(KEYS[usize::from(choice) % KEYS.len()])
}

/// The end of a range; one key as often as not.
pub fn end(source: &mut Source<'_>) -> Bytes {
    let choice = source.below(16);
    Bytes::from_static(ENDS.get(choice).copied().unwrap_or(b""))
}

fn value(source: &mut Source<'_>) -> Bytes {
    Bytes::from_static(source.pick(&VALUES))
}

/// A revision: mostly one that exists, sometimes just outside, rarely absurd.
pub fn revision(source: &mut Source<'_>, now: i64) -> i64 {
    match source.byte() {
        0..=31 => 0,
        back @ 32..=219 => (now - i64::from((back - 32) / 8)).max(1),
        ahead @ 220..=247 => now + i64::from(ahead - 219) % 3,
        248..=251 => -1,
        252..=253 => i64::MAX,
        _ => i64::MIN,
    }
}
