//! Changes of the membership while the cluster runs, and what makes them necessary.
//!
//! Whoever runs the cluster does what etcd's book says, one change at a time: add a member, then
//! start it; remove one, then throw its disk away; tell its new address, then start it there; and
//! where most are lost for good, let one go on alone and add the others to it.

use std::time::Duration;

use madsim::time;

use super::{Cast, Roster};
use crate::{
    plan::fault::FaultKind,
    workload::Operator,
    world::{Room, net::Crash, node::Machine},
};

/// A member that may vote at last is started again so long after.
const VOTES_FOR: Duration = Duration::from_millis(500);

/// Between two looks whether somebody leads.
const LEADER_LOOK: Duration = Duration::from_millis(100);

/// One change, from its beginning to its end.
pub(super) async fn inflict(fault: &FaultKind, cast: &Cast, room: &Room) {
    let _one_at_a_time = cast.changing.lock().await;
    let Some(book) = Book::of(cast) else { return };
    let kind = fault.name();
    match *fault {
        FaultKind::Rejoin { member, learner } => {
            let number = cast.number(member);
            if book.is_running(number) && book.roster.members().len() >= 3 {
                room.count(kind);
                book.member(number).kill(Crash::Power);
                if learner {
                    let operator = book.operator.clone();
                    book.does(async move { operator.receive_guest(number).await }).await;
                }
                book.remove(number, room).await;
                book.add(number, learner).await;
            }
        }
        FaultKind::Grow { learner } => {
            if let Some(number) = book.roster.absent() {
                room.count(kind);
                book.add(number, learner).await;
            }
        }
        FaultKind::Shrink { member } => {
            let number = cast.number(member);
            if book.is_running(number) && book.roster.members().len() > 1 {
                room.count(kind);
                book.remove(number, room).await;
            }
        }
        FaultKind::Readdress { member } => {
            let number = cast.number(member);
            if book.is_running(number) {
                room.count(kind);
                book.readdress(number).await;
            }
        }
        FaultKind::LostMajority { learner } => {
            if book.roster.members().len() > 1 {
                let survivor = book.leader().await;
                room.count(kind);
                book.go_on_alone(survivor, learner, room).await;
            }
        }
        ref other => unreachable!("{} does not change the membership", other.name()),
    }
}

/// Every machine is a member in the end.
pub(super) async fn complete(cast: &Cast) {
    let _one_at_a_time = cast.changing.lock().await;
    let Some(book) = Book::of(cast) else { return };
    while let Some(number) = book.roster.absent() {
        book.add(number, false).await;
    }
}

/// What whoever runs the cluster works with.
struct Book<'a> {
    cast: &'a Cast,
    machine: &'a Machine,
    roster: &'a Roster,
    operator: Operator,
}

impl<'a> Book<'a> {
    fn of(cast: &'a Cast) -> Option<Self> {
        let (machine, roster, board) = cast.operator.as_ref()?;
        let members = u32::try_from(cast.members.len()).unwrap_or(u32::MAX);
        let operator = Operator { members, board: board.clone() };
        Some(Self { cast, machine, roster, operator })
    }

    fn member(&self, number: u32) -> &Machine {
        &self.cast.members[number as usize]
    }

    fn is_running(&self, number: u32) -> bool {
        self.roster.seat(number).is_member && self.member(number).is_up()
    }

    /// Who leads, once somebody does. Who led last has everything that was ever acknowledged
    /// (Raft §5.4).
    async fn leader(&self) -> u32 {
        loop {
            match (self.cast.leads)().filter(|number| self.is_running(*number)) {
                Some(leader) => return leader,
                None => time::sleep(LEADER_LOOK).await,
            }
        }
    }

    /// Adds a machine with an empty disk, starts it, and lets it vote if it learns first.
    async fn add(&self, number: u32, learner: bool) {
        let (operator, url) = (self.operator.clone(), self.roster.url(number));
        let (first, its) = (operator.clone(), url.clone());
        self.does(async move {
            first.add(number, &its, learner).await;
            if learner {
                first.tempt(number, &its).await;
            }
        })
        .await;
        self.roster.join(number);
        self.start(number);
        if learner {
            self.does(async move { operator.promote(number, &url).await }).await;
            // What it is now, it must be after a restart.
            time::sleep(VOTES_FOR).await;
            if self.is_running(number) {
                self.start(number);
            }
        }
    }

    /// Removes a member, running or not, and throws its disk away.
    async fn remove(&self, number: u32, room: &Room) {
        let (operator, url) = (self.operator.clone(), self.roster.url(number));
        self.roster.leaves(number);
        self.does(async move { operator.remove(number, &url).await }).await;
        self.roster.has_left(number);
        self.lose(number, room);
    }

    /// Tells the others where the member is going to be, and starts it there.
    async fn readdress(&self, number: u32) {
        let (operator, urls) =
            (self.operator.clone(), (self.roster.url(number), self.roster.other_url(number)));
        self.does(async move { operator.readdress(number, urls).await }).await;
        self.roster.moves(number);
        self.start(number);
    }

    /// All members but one are lost for good; it goes on, and the others are added to it.
    async fn go_on_alone(&self, survivor: u32, learner: bool, room: &Room) {
        let mut lost = self.roster.members();
        lost.retain(|number| *number != survivor);
        // Nothing is awaited in between: nothing can be acknowledged that the survivor lacks.
        self.member(survivor).kill(Crash::Process);
        for number in &lost {
            self.roster.has_left(*number);
            self.lose(*number, room);
        }
        self.roster.set_alone(survivor, true);
        self.member(survivor).restart();
        let operator = self.operator.clone();
        self.does(async move { operator.wait_until_alone(survivor).await }).await;
        for number in lost {
            self.add(number, learner).await;
        }
    }

    /// A machine's disk is lost, and it runs nothing.
    fn lose(&self, number: u32, room: &Room) {
        let machine = self.member(number);
        if !machine.is_down() {
            machine.kill(Crash::Power);
        }
        room.with_drives(|drives| drives.drive(machine.id()).wipe());
        machine.restart();
    }

    /// Starts a machine's program anew, with the settings it has now.
    fn start(&self, number: u32) {
        let machine = self.member(number);
        if !machine.is_down() {
            machine.kill(Crash::Process);
        }
        machine.restart();
    }

    async fn does(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.machine.spawn(work).await.expect("the operator's machine does not fail");
    }
}
