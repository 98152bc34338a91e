//! Who is in the cluster and where, as whoever runs it has it in a book.
//!
//! A member's program reads its settings here at each start; faults of the membership write it,
//! one at a time. A machine that is no member is up and idle.

use std::sync::{Arc, Mutex};

use crate::{
    workload::{member_name, peer_url},
    world::room_lock,
};

/// Where members listen for others, and where else they do after they moved.
const PORTS: [u16; 2] = [2380, 2381];

/// The book. Clones are the same.
#[derive(Clone, Debug)]
pub struct Roster {
    founders: u32,
    seats: Arc<Mutex<Vec<Seat>>>,
}

/// What is known of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    /// Is it, or shall it be, a member?
    pub is_member: bool,
    /// Is it about to be removed? It may know before whoever asked for it does.
    pub is_leaving: bool,
    /// Does it start as part of a running cluster?
    pub joins: bool,
    /// Does it go on without the others, which are lost?
    pub is_alone: bool,
    port: u16,
}

impl Roster {
    /// A cluster of the first `founders` of `machines` machines.
    #[must_use]
    pub fn founded(machines: u32, founders: u32) -> Self {
        let seat = |number| Seat {
            is_member: number < founders,
            is_leaving: false,
            joins: number >= founders,
            is_alone: false,
            port: PORTS[0],
        };
        let seats = (0..machines).map(seat).collect();
        Self { founders, seats: Arc::new(Mutex::new(seats)) }
    }

    /// What is known of machine `number`.
    #[must_use]
    pub fn seat(&self, number: u32) -> Seat {
        room_lock(&self.seats)[number as usize]
    }

    /// Where machine `number` is reached by other members.
    #[must_use]
    pub fn url(&self, number: u32) -> String {
        peer_url(number, self.seat(number).port)
    }

    /// The port behind that.
    #[must_use]
    pub fn port(&self, number: u32) -> u16 {
        self.seat(number).port
    }

    /// Numbers of all members.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        self.with(|seats| {
            let all = (0..).zip(seats.iter());
            all.filter(|(_, seat)| seat.is_member).map(|(number, _)| number).collect()
        })
    }

    /// The first machine that is no member.
    #[must_use]
    pub fn absent(&self) -> Option<u32> {
        let first = self.with(|seats| seats.iter().position(|seat| !seat.is_member));
        first.map(|place| u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// Name and address of every member, as the flags of machine `number` have them: who founds a
    /// cluster names the founders, wherever the others have moved; who joins one names its members.
    #[must_use]
    pub fn initial_cluster(&self, number: u32) -> Vec<(String, String)> {
        if !self.seat(number).joins {
            let founders = 0..self.founders;
            let url = |one| if one == number { self.url(one) } else { peer_url(one, PORTS[0]) };
            return founders.map(|one| (member_name(one), url(one))).collect();
        }
        self.members().into_iter().map(|one| (member_name(one), self.url(one))).collect()
    }

    /// Machine `number` starts as part of the running cluster from now on.
    pub fn join(&self, number: u32) {
        self.change(number, |seat| (seat.is_member, seat.joins) = (true, true));
    }

    /// Machine `number` is about to be removed.
    pub fn leaves(&self, number: u32) {
        self.change(number, |seat| seat.is_leaving = true);
    }

    /// Machine `number` is a member no more; where it is added again, it is where it was at first.
    pub fn has_left(&self, number: u32) {
        self.change(number, |seat| {
            *seat = Seat {
                is_member: false,
                is_leaving: false,
                joins: true,
                is_alone: false,
                port: PORTS[0],
            };
        });
    }

    /// The other address of machine `number`.
    #[must_use]
    pub fn other_url(&self, number: u32) -> String {
        peer_url(number, other(self.port(number)))
    }

    /// Machine `number` is at its other address from its next start on.
    pub fn moves(&self, number: u32) {
        self.change(number, |seat| seat.port = other(seat.port));
    }

    /// Machine `number` shall go on alone, or has begun to.
    pub fn set_alone(&self, number: u32, is_alone: bool) {
        self.change(number, |seat| seat.is_alone = is_alone);
    }

    fn change(&self, number: u32, change: impl FnOnce(&mut Seat)) {
        self.with(|seats| change(&mut seats[number as usize]));
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<Seat>) -> T) -> T {
        f(&mut room_lock(&self.seats))
    }
}

fn other(port: u16) -> u16 {
    if port == PORTS[0] { PORTS[1] } else { PORTS[0] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_follows_who_comes_moves_and_goes() {
        let roster = Roster::founded(3, 1);
        assert_eq!((roster.members(), roster.absent()), (vec![0], Some(1)));
        roster.join(1);
        roster.moves(1);
        assert_eq!(roster.url(1), "http://member-1:2381");
        assert_eq!(roster.initial_cluster(1)[1].1, roster.url(1));
        assert_eq!(roster.initial_cluster(0).len(), 1);
        assert_eq!(roster.other_url(1), "http://member-1:2380");
        roster.leaves(1);
        assert!(roster.seat(1).is_member && roster.seat(1).is_leaving);
        roster.has_left(1);
        assert_eq!((roster.url(1).as_str(), roster.seat(1).joins), ("http://member-1:2380", true));
        roster.set_alone(0, true);
        assert!(roster.seat(0).is_alone);
    }
}
