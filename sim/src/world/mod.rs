//! The machine room: what the simulated nodes' clocks, disks, network and chance are.
//!
//! One madsim plugin, [`Room`], holds all of it, keyed by node; [`SimWorld`] answers `rt` for the
//! node whose task asks. The drive, the network, the processor and the clock are pure models of
//! their own (`drive.rs`, `net/`, `processor.rs`, `clock.rs`) that know neither madsim nor time;
//! `room.rs`, `answers.rs`, `disk.rs`, `net_conn.rs`, `node.rs` are the glue. `tally.rs` counts
//! what bit.
//!
//! madsim resets a plugin's node when it kills that node, before the dead tasks are dropped. So
//! everything handed to a program carries the node's *epoch*, and what comes from an earlier one
//! is refused: the destructors of a dead program must not reach the next one's disk.
//!
//! Locks here are never held across an await and never while a waker could come back: wakers only
//! put tasks into a queue.

pub mod clock;
mod disk_content;
mod disk_damage;
pub mod disk_image;
pub mod drive;
pub mod net;
pub mod processor;
pub mod tally;

#[cfg(madsim)]
mod answers;
#[cfg(madsim)]
pub mod disk;
#[cfg(madsim)]
pub mod net_conn;
#[cfg(madsim)]
pub mod node;
#[cfg(madsim)]
mod room;
#[cfg(madsim)]
pub use answers::SimWorld;
#[cfg(madsim)]
pub(crate) use disk_content::SECTOR;
#[cfg(madsim)]
pub(crate) use room::lock as room_lock;
#[cfg(madsim)]
pub use room::{Observer, Room, Step};
