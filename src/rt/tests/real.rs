//! The real side of the seam: sockets on loopback, files in a temporary directory, threads.
//!
//! What the simulated side promises is tested by `cargo sim selftest`, with the same service.
#![cfg(not(madsim))]

#[path = "real/disk.rs"]
mod disk;
#[path = "real/net.rs"]
mod net;
#[path = "real/task.rs"]
mod task;
