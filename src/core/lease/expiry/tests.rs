//! Deadlines against a model that looks at every lease on every question.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use proptest::sample::Index as Pick;

use super::{Checkpoint, Expiry, Granted, REVOKE_RETRY, Renewal, TimeLeft};
use crate::id::{LeaseId, Millis};

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    Grant { id: i64, ttl_secs: i64 },
    Revoke(Pick),
    Renew(Pick),
    Due { max: usize },
    Checkpoints { max: usize },
    Apply,
    Restart { extend: u64 },
}

fn any_op() -> impl Strategy<Value = Op> {
    let ttl = prop_oneof![2_i64..20, 20_i64..5000];
    prop_oneof![
        6 => (0_u64..3000).prop_map(Op::Pass),
        1 => (0_u64..2_000_000).prop_map(Op::Pass),
        4 => (-5_i64..20, ttl).prop_map(|(id, ttl_secs)| Op::Grant { id, ttl_secs }),
        1 => any::<Pick>().prop_map(Op::Revoke),
        5 => any::<Pick>().prop_map(Op::Renew),
        4 => (1_usize..5).prop_map(|max| Op::Due { max }),
        4 => (1_usize..5).prop_map(|max| Op::Checkpoints { max }),
        3 => Just(Op::Apply),
        1 => (0_u64..2000).prop_map(|extend| Op::Restart { extend }),
    ]
}

#[derive(Clone, Debug)]
struct Lease {
    ttl: u64,
    deadline: u64,
    named_at: Option<u64>,
    /// When it was granted or renewed, and when it was last written down after that.
    renewed_at: u64,
    written_at: Option<u64>,
    in_log: i64,
    /// It was handed out but is not applied, or is applied, and was not reset.
    stale: bool,
}

impl Lease {
    fn due_at(&self) -> u64 {
        self.named_at.map_or(self.deadline, |at| at + REVOKE_RETRY.0)
    }
}

#[derive(Default)]
struct Run {
    expiry: Expiry,
    now: u64,
    leases: BTreeMap<LeaseId, Lease>,
    /// Proposed and not yet applied.
    log: Vec<Checkpoint>,
}

impl Run {
    fn step(&mut self, op: Op) {
        match op {
            Op::Pass(ms) => self.now += ms,
            Op::Grant { id, ttl_secs } => self.grant(LeaseId(id), ttl_secs),
            Op::Revoke(pick) => {
                if let Some(id) = self.pick(pick) {
                    self.expiry.revoked(id);
                    self.leases.remove(&id);
                }
            }
            Op::Renew(pick) => self.renew(pick),
            Op::Due { max } => self.due(max),
            Op::Checkpoints { max } => self.checkpoints(max),
            Op::Apply => self.apply(),
            Op::Restart { extend } => self.restart(extend),
        }
        self.compare();
    }

    fn pick(&self, pick: Pick) -> Option<LeaseId> {
        let ids: Vec<_> = self.leases.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[pick.index(ids.len())])
    }

    fn grant(&mut self, id: LeaseId, ttl_secs: i64) {
        if self.leases.contains_key(&id) {
            return;
        }
        let ttl = ttl_secs as u64 * 1000;
        let (now, deadline) = (self.now, self.now + ttl);
        self.expiry.granted(Granted { id, ttl_secs, remaining_secs: 0 }, Millis(now));
        self.leases.insert(
            id,
            Lease {
                ttl,
                deadline,
                named_at: None,
                renewed_at: now,
                written_at: None,
                in_log: 0,
                stale: false,
            },
        );
    }

    fn renew(&mut self, pick: Pick) {
        let Some(id) = self.pick(pick) else { return };
        let got = self.expiry.renew(id, Millis(self.now));
        let lease = self.leases.get_mut(&id).expect("picked");
        if lease.deadline <= self.now {
            assert_eq!(got, Renewal::Expired);
            return;
        }
        let (ttl_secs, reset) = ((lease.ttl / 1000) as i64, lease.stale);
        assert_eq!(got, Renewal::Renewed { ttl_secs, reset });
        lease.deadline = self.now + lease.ttl;
        lease.renewed_at = self.now;
        lease.written_at = None;
        if reset {
            self.log.push(Checkpoint { id, remaining_secs: 0 });
            self.apply();
        }
    }

    fn due(&mut self, max: usize) {
        let now = self.now;
        let agenda = self.leases.iter().map(|(id, lease)| (lease.due_at(), *id));
        let mut want: Vec<_> = agenda.filter(|(at, _)| *at <= now).collect();
        want.sort();
        want.truncate(max);
        let want: Vec<_> = want.into_iter().map(|(_, id)| id).collect();
        assert_eq!(self.expiry.due(Millis(now), max), want);
        for id in want {
            self.leases.get_mut(&id).expect("it is due").named_at = Some(now);
        }
    }

    fn checkpoints(&mut self, max: usize) {
        let now = self.now;
        let found = self.expiry.checkpoints(Millis(now), max);
        assert!(found.len() <= max);
        let once: BTreeSet<_> = found.iter().map(|checkpoint| checkpoint.id).collect();
        assert_eq!(once.len(), found.len());
        for checkpoint in found {
            let lease = self.leases.get_mut(&checkpoint.id).expect("it has a checkpoint");
            assert!(now < lease.deadline, "a checkpoint of what is over");
            match lease.written_at {
                None => assert!(now >= lease.renewed_at + lease.ttl * 2 / 5, "a healthy lease"),
                Some(at) => assert!(now >= at + (lease.ttl / 10).clamp(1000, 300_000)),
            }
            let left = lease.deadline - now;
            assert_eq!(checkpoint.remaining_secs as u64, left.div_ceil(1000));
            lease.written_at = Some(now);
            lease.stale = true;
            self.log.push(checkpoint);
        }
    }

    fn apply(&mut self) {
        for checkpoint in core::mem::take(&mut self.log) {
            self.expiry.checkpointed(checkpoint);
            if let Some(lease) = self.leases.get_mut(&checkpoint.id) {
                lease.in_log = checkpoint.remaining_secs;
                lease.stale = checkpoint.remaining_secs > 0;
            }
        }
    }

    /// All that is left is what the log says.
    fn restart(&mut self, extend: u64) {
        self.log.clear();
        self.expiry = Expiry::default();
        let origin = self.now + extend;
        for (id, lease) in &mut self.leases {
            let (ttl_secs, remaining_secs) = ((lease.ttl / 1000) as i64, lease.in_log);
            self.expiry.granted(Granted { id: *id, ttl_secs, remaining_secs }, Millis(self.now));
            let left = if lease.in_log > 0 { lease.in_log as u64 * 1000 } else { lease.ttl };
            lease.deadline = origin + left;
            lease.named_at = None;
            lease.renewed_at = origin;
            lease.written_at = (lease.in_log > 0).then_some(origin);
            lease.stale = lease.in_log > 0;
            assert_eq!(self.expiry.renew(*id, Millis(self.now)), Renewal::NotPrimary);
        }
        assert!(self.expiry.due(Millis(u64::MAX), 100).is_empty());
        self.expiry.promote(Millis(self.now), Millis(extend));
    }

    fn compare(&self) {
        for (id, lease) in &self.leases {
            let left = Millis(lease.deadline.saturating_sub(self.now));
            let want = TimeLeft { ttl_secs: (lease.ttl / 1000) as i64, left };
            assert_eq!(self.expiry.time_left(*id, Millis(self.now)), Some(want));
        }
        let mut ids: Vec<_> = self.leases.iter().map(|(id, l)| (l.deadline, *id)).collect();
        ids.sort();
        let ids: Vec<_> = ids.into_iter().map(|(_, id)| id).collect();
        assert_eq!(self.expiry.ids_by_deadline(), ids);
        let first = self.leases.values().map(Lease::due_at).min();
        assert_eq!(self.expiry.next_due().map(|at| at.0), first);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn leases_end_when_a_naive_clock_says_so(ops in prop::collection::vec(any_op(), 1..120)) {
        let mut run = Run::default();
        run.expiry.promote(Millis(0), Millis(0));
        for op in ops {
            run.step(op);
        }
    }
}

fn primary(ttl_secs: i64) -> Expiry {
    let mut expiry = Expiry::default();
    expiry.promote(Millis(0), Millis(0));
    expiry.granted(Granted { id: LeaseId(7), ttl_secs, remaining_secs: 0 }, Millis(0));
    expiry
}

#[test]
fn a_client_that_renews_every_third_of_its_time_causes_no_checkpoint() {
    for ttl_secs in [2, 3, 10, 60, 3600, 1_000_000] {
        let mut expiry = primary(ttl_secs);
        let third = ttl_secs as u64 * 1000 / 3;
        for n in 1..20 {
            assert_eq!(expiry.checkpoints(Millis(n * third), 9), vec![]);
            let renewed = Renewal::Renewed { ttl_secs, reset: false };
            assert_eq!(expiry.renew(LeaseId(7), Millis(n * third)), renewed);
        }
    }
}

#[test]
fn a_silent_lease_is_written_down_until_it_ends() {
    let mut expiry = primary(10);
    let mut seen = Vec::new();
    for second in 0..=12 {
        let found = expiry.checkpoints(Millis(second * 1000), 9);
        seen.extend(found.iter().map(|found| (second, found.remaining_secs)));
    }
    assert_eq!(seen, [(4, 6), (5, 5), (6, 4), (7, 3), (8, 2), (9, 1)]);
    assert_eq!(expiry.due(Millis(12_000), 9), [LeaseId(7)]);
    assert_eq!(expiry.due(Millis(18_999), 9), []);
    assert_eq!(expiry.due(Millis(19_000), 9), [LeaseId(7)]);
    expiry.revoked(LeaseId(7));
    assert_eq!((expiry.next_due(), expiry.next_checkpoint()), (None, None));
}

#[test]
fn renewing_after_a_checkpoint_asks_for_a_reset_until_it_is_applied() {
    let mut expiry = primary(10);
    let id = LeaseId(7);
    assert_eq!(expiry.checkpoints(Millis(4000), 9), [Checkpoint { id, remaining_secs: 6 }]);
    let asks = Renewal::Renewed { ttl_secs: 10, reset: true };
    assert_eq!(expiry.renew(id, Millis(4100)), asks);
    expiry.checkpointed(Checkpoint { id, remaining_secs: 6 });
    assert_eq!(expiry.renew(id, Millis(4200)), asks);
    expiry.checkpointed(Checkpoint { id, remaining_secs: 0 });
    let quiet = Renewal::Renewed { ttl_secs: 10, reset: false };
    assert_eq!(expiry.renew(id, Millis(4300)), quiet);
}
