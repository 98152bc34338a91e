//! Faults of a member's disk.

use std::time::Duration;

use madsim::time;

use crate::{
    plan::fault::FaultKind,
    world::{
        Room,
        drive::{Drive, Kind},
        net::Crash,
        node::Machine,
    },
};

/// A machine whose files rot is down for so long.
const ROT_DOWN: Duration = Duration::from_secs(1);

/// One fault, from its beginning to its end.
pub(super) async fn inflict(fault: &FaultKind, member: &Machine, room: &Room) {
    // Nobody looks at what rots twice while it is down; all else waits on the disk for the boot.
    if !member.is_up() && matches!(fault, FaultKind::BitRot { .. }) {
        return;
    }
    let kind = fault.name();
    let drive = |change: &dyn Fn(&mut Drive)| {
        room.with_drives(|drives| change(drives.drive(member.id())));
    };
    match *fault {
        FaultKind::PowerAtDiskOp { n, .. } => {
            drive(&|drive| drive.crash_after(n, Crash::Power, kind));
        }
        FaultKind::KillAtDiskOp { n, .. } => {
            drive(&|drive| drive.crash_after(n, Crash::Process, kind));
        }
        FaultKind::SyncError { n, .. } => drive(&|drive| drive.fail_after(Kind::Sync, n, kind)),
        FaultKind::ReadError { n, .. } => drive(&|drive| drive.fail_after(Kind::Read, n, kind)),
        FaultKind::WriteError { n, .. } => drive(&|drive| drive.fail_after(Kind::Write, n, kind)),
        FaultKind::DiskFull { lasting, .. } => {
            drive(&|drive| drive.fill(kind));
            time::sleep(lasting).await;
            drive(&|drive| drive.empty());
        }
        FaultKind::SlowDisk { factor, lasting, .. } => {
            drive(&|drive| drive.slow_down(factor, kind));
            time::sleep(lasting).await;
            drive(&|drive| drive.hurry());
        }
        FaultKind::DiskStall { lasting, .. } => drive(&|drive| drive.stall(lasting, kind)),
        FaultKind::BitRot { file, bits, .. } => {
            member.kill(Crash::Power);
            drive(&|drive| drive.rot(file, bits, kind));
            time::sleep(ROT_DOWN).await;
            member.restart();
        }
        FaultKind::MisdirectedWrite { file, n, .. } => {
            drive(&|drive| drive.misdirect_after(file, n, kind));
        }
        ref other => unreachable!("{} is not a fault of a disk", other.name()),
    }
}

/// Nothing more goes wrong with the disk of `member`, and what is damaged is mended.
pub(super) fn heal(member: &Machine, room: &Room) {
    let damaged = room.with_drives(|drives| {
        let drive = drives.drive(member.id());
        drive.disarm();
        drive.is_damaged()
    });
    if !damaged {
        return;
    }
    let mend = || room.with_drives(|drives| drives.drive(member.id()).mend());
    if member.is_down() {
        mend();
        return;
    }
    member.kill(Crash::Power);
    mend();
    member.restart();
}
