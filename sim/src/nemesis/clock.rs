//! Faults of a member's clock. They last: a clock that was wrong stays wrong.

use crate::world::{Room, node::Machine};

/// The wall clock jumps.
pub(super) fn jump(member: &Machine, millis: i64, kind: &'static str, room: &Room) {
    room.disturb_clock(member.id(), kind, |clock| clock.jumped(millis));
}

/// The clock's rate changes.
pub(super) fn drift(member: &Machine, ppm: i32, kind: &'static str, room: &Room) {
    let now = room.elapsed();
    let rate = 1.0 + f64::from(ppm) / 1e6;
    room.disturb_clock(member.id(), kind, |clock| clock.with_rate(rate, now));
}
