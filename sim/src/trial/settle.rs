//! What is due after healing: everything works again, within a bound.

use std::time::Duration;

use madsim::time;

use super::{HEALED_MAX, crowd::Crowd};
use crate::{
    check::{Audit, Violation},
    history::{Request, What, request::Put},
    nemesis::{self, Cast},
    rules,
    workload::{Answer, Auditor, Client, Desk},
    world::Room,
};

/// How often it is looked whether watches have caught up.
const LOOK: Duration = Duration::from_millis(200);
/// The longest lease that ends by itself is not longer than this, in seconds, whatever the plan.
const LEASE_SECS: u64 = 10;
/// No run fills a store of this size. With a smaller quota there must be room first.
const ROOMY_BYTES: u64 = 1 << 30;

/// So often it is hoped that there is room without what fillers wrote; then all keys have to go.
const FILLED_ATTEMPTS: u32 = 4;

/// What became of the run after its load.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// What did not work in time.
    pub(super) violations: Vec<Violation>,
    /// What was there in the end, if it could be looked at.
    pub(super) audit: Option<Audit>,
}

impl Settled {
    fn late(&mut self, class: &str, story: String) {
        let violation = Violation { class: class.to_owned(), story, ops: Vec::new() };
        self.violations.push(violation);
    }
}

/// Heals, and then waits for what is due, one after the other. What comes after something that
/// failed is still tried: it tells more.
pub(super) async fn settle(cast: &Cast, crowd: &Crowd) -> Settled {
    let mut settled = Settled::default();
    if time::timeout(HEALED_MAX, nemesis::heal(cast)).await.is_err() {
        settled.late("live.boot", format!("a healed member is not up within {HEALED_MAX:?}"));
        return settled;
    }
    let (machine, desk) = crowd.staff("auditor");
    desk.scribe.note(What::Healed);
    if !crowd.wait_until_done(HEALED_MAX + crowd.plan().load.answer_max * 4).await {
        settled.late("live.clients", "clients do not come to an end".to_owned());
    }
    let auditor = Auditor { scribe: desk.scribe.clone(), members: desk.members };
    let served = machine.spawn(async move { auditor.wait_until_served().await });
    if time::timeout(HEALED_MAX, served).await.is_err() {
        settled.late("live.stuck", format!("no answer to a read within {HEALED_MAX:?}"));
        return settled;
    }
    let is_roomy = crowd.plan().knobs.quota_backend_bytes.is_none_or(|quota| quota >= ROOMY_BYTES);
    for member in 0..desk.members {
        let prober = machine.spawn(write_once(desk.clone(), member, is_roomy));
        if time::timeout(HEALED_MAX, prober).await.is_err() {
            let story = format!("no write succeeds at member {member} within {HEALED_MAX:?}");
            settled.late("live.write", story);
        }
    }
    let roster = Auditor { scribe: desk.scribe.clone(), members: desk.members };
    let odd = machine.spawn(async move { roster.odd_roster().await });
    if let Ok(Ok(Ok(Some(story)))) = time::timeout(HEALED_MAX, odd).await {
        settled.late("member.roster", story);
    }
    settled.audit = audit(crowd, &machine, &desk, &mut settled.violations).await;
    if let Some(audit) = &settled.audit {
        let revision = audit.revision;
        crowd.board().settle(revision);
        if let Some((watch, seen)) = wait_for_watches(crowd, revision).await {
            let story =
                format!("watch {watch} has seen up to {seen} of {revision} after {HEALED_MAX:?}");
            settled.late("live.watch", story);
        }
    }
    settled
}

async fn audit(
    crowd: &Crowd,
    machine: &crate::world::node::Machine,
    desk: &Desk,
    violations: &mut Vec<Violation>,
) -> Option<Audit> {
    let mut late = |class: &str, story: String| {
        violations.push(Violation { class: class.to_owned(), story, ops: Vec::new() });
    };
    let auditor = || Auditor { scribe: desk.scribe.clone(), members: desk.members };
    let rules = rules::of(crowd.plan());
    let longest = Duration::from_secs(crowd.plan().load.lease_ttl_secs_max.max(LEASE_SECS));
    let limit = longest.div_f64(rules.clock_rate.0) + rules.lease_late_max + HEALED_MAX;
    let leases = auditor();
    let leases = machine.spawn(async move { leases.wait_until_leases_settle().await });
    if time::timeout(limit, leases).await.is_err() {
        late("live.leases", format!("leases that nobody renews live on after {limit:?}"));
    }
    let auditor = auditor();
    let audited = machine.spawn(async move { auditor.audit().await });
    match time::timeout(HEALED_MAX, audited).await {
        Ok(Ok(audit)) => Some(audit),
        Ok(Err(_)) | Err(_) => {
            late("live.stuck", format!("the store cannot be read whole within {HEALED_MAX:?}"));
            None
        }
    }
}

/// Writes at a member until one write is answered; ends an alarm, should one be left, after making
/// room, should that be scarce.
async fn write_once(desk: Desk, member: u32, is_roomy: bool) {
    for attempt in 0.. {
        let client = Client::new(desk.scribe.clone(), desk.members, desk.load.answer_max);
        // One that is not answered goes elsewhere.
        let mut client = client.at(member);
        let value = format!("{}.healed.{member}.{attempt}", desk.scribe.client());
        let put = Put { key: "healed".to_owned(), value, ..Put::default() };
        if let Answer::Ok(_) = client.ask(Request::Put(put)).await {
            return;
        }
        if is_roomy {
            client.lift_alarms().await;
        } else {
            client.make_room(&desk.board, attempt >= FILLED_ATTEMPTS).await;
        }
        time::sleep(LOOK).await;
    }
}

/// Waits until every watch has seen everything up to `revision`; one that has not.
async fn wait_for_watches(crowd: &Crowd, revision: i64) -> Option<(u64, i64)> {
    let deadline = Room::current().elapsed() + HEALED_MAX;
    loop {
        let behind = crowd.board().watch_behind(revision)?;
        if Room::current().elapsed() >= deadline {
            return Some(behind);
        }
        time::sleep(LOOK).await;
    }
}
