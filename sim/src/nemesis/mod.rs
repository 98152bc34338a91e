//! Carries out what a plan says goes wrong, and undoes it.
//!
//! [`inflict`] lets each fault happen at its time; faults overlap, and each that lasts ends by
//! itself. [`heal`] ends whatever is still going on, mends damaged files, boots what is down and
//! waits until everything is up. It may be called at any time: dropping the future of [`inflict`]
//! stops everything that was still to come.
//!
//! A fault of a member that is down at its time does not happen: nothing runs there to feel it.
//! What is counted, and when, is the world's business ([`Room::fired`]). What a member may do after
//! which fault is docs/faults.md; [`allowed`] says it of a member at present.
//!
//! A file per family: `process`, `disk`, `net`, `cluster`, `membership`, `clock`; `roster` is the
//! book that whoever changes the membership keeps.

mod clock;
mod cluster;
mod disk;
mod membership;
mod net;
mod process;
mod roster;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use madsim::time;

pub use self::roster::Roster;

use crate::{
    plan::{
        fault::{Fault, FaultKind, Host},
        whom::{Rank, Whom},
    },
    workload::Board,
    world::{Room, node::Machine, room_lock as lock},
};

/// How often healing looks whether a machine is up.
const LOOK: Duration = Duration::from_millis(100);

/// Starts what takes the place of a client's machine that is gone for ever.
pub type Replace = dyn Fn(u32) -> Machine + Send + Sync;

/// Tells the number of the member that leads, or led last; nobody has at first.
pub type Leads = dyn Fn() -> Option<u32> + Send + Sync;

/// Whom faults can happen to. Clones share the clients.
#[derive(Clone)]
pub struct Cast {
    members: Vec<Machine>,
    clients: Arc<Mutex<BTreeMap<u32, Machine>>>,
    replace: Arc<Replace>,
    leads: Arc<Leads>,
    /// The machine of whoever changes the membership, its book, and where it complains.
    operator: Option<(Machine, Roster, Board)>,
    /// One change of the membership at a time.
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = lock(&self.clients).len();
        write!(f, "Cast({} members, {clients} clients)", self.members.len())
    }
}

impl Cast {
    /// The members by their numbers from 0, clients' machines by theirs, and what starts another
    /// client when one is gone for ever.
    #[must_use]
    pub fn new(
        members: Vec<Machine>,
        clients: BTreeMap<u32, Machine>,
        replace: impl Fn(u32) -> Machine + Send + Sync + 'static,
    ) -> Self {
        let clients = Arc::new(Mutex::new(clients));
        let (replace, leads) = (Arc::new(replace), Arc::new(|| None));
        Self { members, clients, replace, leads, operator: None, changing: Arc::default() }
    }

    /// The same, with somebody who knows which member leads.
    #[must_use]
    pub fn led(self, leads: impl Fn() -> Option<u32> + Send + Sync + 'static) -> Self {
        Self { leads: Arc::new(leads), ..self }
    }

    /// The same, with a machine for whoever changes the membership, its book, and where it
    /// complains.
    #[must_use]
    pub fn operated(self, machine: Machine, roster: Roster, board: Board) -> Self {
        Self { operator: Some((machine, roster, board)), ..self }
    }

    /// The number of the member that `whom` means now. Nobody has led yet: the first leads.
    fn number(&self, whom: Whom) -> u32 {
        let leader = || (self.leads)().unwrap_or(0);
        match whom {
            Whom::Number(number) => number,
            Whom::Rank(Rank::Leader) => leader(),
            Whom::Rank(Rank::Follower) => u32::from(leader() == 0),
        }
    }

    /// The member that `whom` means now.
    fn member(&self, whom: Whom) -> &Machine {
        let place = self.number(whom) as usize;
        // A rank of a member that is not there is anybody's.
        self.members.get(place).unwrap_or(&self.members[0])
    }

    /// All members.
    #[must_use]
    pub fn members(&self) -> &[Machine] {
        &self.members
    }

    /// The machine that is client `number` now.
    #[must_use]
    pub fn client(&self, number: u32) -> Option<Machine> {
        lock(&self.clients).get(&number).cloned()
    }

    /// All members `fault` names, or a complaint.
    fn check(&self, fault: &FaultKind) -> Result<(), NoSuchMachine> {
        let member = |whom: Whom| match whom {
            Whom::Number(number) if number as usize >= self.members.len() => {
                Err(NoSuchMachine::Member(number))
            }
            Whom::Number(_) | Whom::Rank(_) => Ok(()),
        };
        let client = |number: u32| match self.client(number) {
            Some(_) => Ok(()),
            None => Err(NoSuchMachine::Client(number)),
        };
        let host = |host: Host| match host {
            Host::Member(number) => member(number),
            Host::Client(number) => client(number),
            Host::Clients | Host::Others => Ok(()),
        };
        match fault {
            FaultKind::Cut { from, to, .. } => host(*from).and(host(*to)),
            FaultKind::Lossy { host: one, .. }
            | FaultKind::SlowLink { host: one, .. }
            | FaultKind::Resets { host: one, .. }
            | FaultKind::HalfOpen { host: one }
            | FaultKind::SlowReader { host: one, .. } => host(*one),
            FaultKind::SilentDeath { client: number } => client(*number),
            FaultKind::RollingRestart { .. }
            | FaultKind::Grow { .. }
            | FaultKind::LostMajority { .. } => Ok(()),
            FaultKind::Partition { member: number, .. }
            | FaultKind::Rejoin { member: number, .. }
            | FaultKind::Shrink { member: number }
            | FaultKind::Readdress { member: number }
            | FaultKind::Blackout { member: number, .. }
            | FaultKind::PowerAtDiskOp { member: number, .. }
            | FaultKind::KillAtDiskOp { member: number, .. }
            | FaultKind::KillAtAwait { member: number, .. }
            | FaultKind::PowerAtAwait { member: number, .. }
            | FaultKind::PowerCut { member: number, .. }
            | FaultKind::ProcessKill { member: number, .. }
            | FaultKind::Stop { member: number, .. }
            | FaultKind::Pause { member: number, .. }
            | FaultKind::SlowCpu { member: number, .. }
            | FaultKind::SyncError { member: number, .. }
            | FaultKind::ReadError { member: number, .. }
            | FaultKind::WriteError { member: number, .. }
            | FaultKind::DiskFull { member: number, .. }
            | FaultKind::SlowDisk { member: number, .. }
            | FaultKind::DiskStall { member: number, .. }
            | FaultKind::BitRot { member: number, .. }
            | FaultKind::MisdirectedWrite { member: number, .. }
            | FaultKind::ClockJump { member: number, .. }
            | FaultKind::ClockDrift { member: number, .. } => member(*number),
        }
    }
}

/// A plan names a machine that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoSuchMachine {
    /// A member.
    #[error("the plan has a fault of member {0}, and there is no such member")]
    Member(u32),
    /// A client's machine.
    #[error("the plan has a fault of client {0}, and there is no such client")]
    Client(u32),
}

/// Lets `faults` happen, their times counted from now, and returns when the last is over.
///
/// # Errors
/// Before anything happens, if a fault names a machine that is not there.
pub async fn inflict(faults: &[Fault], cast: &Cast) -> Result<(), NoSuchMachine> {
    faults.iter().try_for_each(|fault| cast.check(&fault.kind))?;
    let start = Room::current().elapsed();
    let all = faults.iter().map(|fault| async move {
        let room = Room::current();
        time::sleep((start + fault.at).saturating_sub(room.elapsed())).await;
        one(&fault.kind, cast, &room).await;
    });
    futures::future::join_all(all).await;
    Ok(())
}

/// One fault, from its beginning to its end.
async fn one(fault: &FaultKind, cast: &Cast, room: &Room) {
    let kind = fault.name();
    room.trace("fault", &[format!("{fault:?}").as_bytes()]);
    match *fault {
        FaultKind::Cut { .. }
        | FaultKind::Lossy { .. }
        | FaultKind::SlowLink { .. }
        | FaultKind::Resets { .. }
        | FaultKind::HalfOpen { .. }
        | FaultKind::SlowReader { .. }
        | FaultKind::SilentDeath { .. } => net::inflict(fault, cast, room).await,
        FaultKind::PowerAtDiskOp { member, .. }
        | FaultKind::KillAtDiskOp { member, .. }
        | FaultKind::SyncError { member, .. }
        | FaultKind::ReadError { member, .. }
        | FaultKind::WriteError { member, .. }
        | FaultKind::DiskFull { member, .. }
        | FaultKind::SlowDisk { member, .. }
        | FaultKind::DiskStall { member, .. }
        | FaultKind::BitRot { member, .. }
        | FaultKind::MisdirectedWrite { member, .. } => {
            disk::inflict(fault, cast.member(member), room).await;
        }
        FaultKind::PowerAtAwait { member, .. }
        | FaultKind::KillAtAwait { member, .. }
        | FaultKind::PowerCut { member, .. }
        | FaultKind::ProcessKill { member, .. }
        | FaultKind::Stop { member, .. }
        | FaultKind::Pause { member, .. }
        | FaultKind::SlowCpu { member, .. } => {
            process::inflict(fault, cast.member(member), room).await;
        }
        FaultKind::Partition { .. }
        | FaultKind::Blackout { .. }
        | FaultKind::RollingRestart { .. } => cluster::inflict(fault, cast, room).await,
        FaultKind::Rejoin { .. }
        | FaultKind::Grow { .. }
        | FaultKind::Shrink { .. }
        | FaultKind::Readdress { .. }
        | FaultKind::LostMajority { .. } => membership::inflict(fault, cast, room).await,
        FaultKind::ClockJump { member, millis } => {
            clock::jump(cast.member(member), millis, kind, room);
        }
        FaultKind::ClockDrift { member, ppm } => {
            clock::drift(cast.member(member), ppm, kind, room);
        }
    }
}

/// Ends everything that is wrong, except with clocks, and waits until every machine is up and a
/// member.
///
/// A member whose files are damaged is taken down, its files mended, and booted again: if it left
/// them as they were, it has everything.
pub async fn heal(cast: &Cast) {
    let room = Room::current();
    room.trace("heal", &[]);
    room.with_network(|network| network.calm());
    for member in &cast.members {
        disk::heal(member, &room);
        process::heal(member, &room);
    }
    for member in &cast.members {
        while !member.is_up() {
            time::sleep(LOOK).await;
        }
    }
    membership::complete(cast).await;
}

/// What a member may do at present that it must not do otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Allowed {
    /// It may refuse to boot: `boot.refused`.
    pub refusal: bool,
    /// It may stop by itself: `halted`.
    pub halt: bool,
}

/// What `member` may do, after what was done to it since it booted. A member that may and does is
/// started again by its machine; one that may not has broken a promise.
#[must_use]
pub fn allowed(member: &Machine) -> Allowed {
    Room::current().with_drives(|drives| {
        let drive = drives.drive(member.id());
        let excused = drive.has_failed() || drive.is_damaged();
        Allowed { refusal: excused || drive.is_full(), halt: excused }
    })
}
