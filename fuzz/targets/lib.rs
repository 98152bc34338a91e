//! Every decoder and every pure machine as a function of bytes.
//!
//! An ordinary library: libFuzzer calls these through the shims in `fuzz/fuzz_targets`, and
//! `tests/it/corpus.rs` replays the corpus through [`ALL`] with the normal toolchain, so a crasher
//! once found is tested for ever. A target panics where it finds a fault, and nothing it does may
//! depend on anything but its bytes.

mod backend_key;
mod entry_decode;
mod grpc_decode;
mod mvcc_ops;
mod request_check;
mod snapshot_open;
mod wal_open;
mod watch_group;

pub use backend_key::backend_key;
pub use entry_decode::entry_decode;
pub use grpc_decode::grpc_decode;
pub use mvcc_ops::mvcc_ops;
pub use request_check::request_check;
pub use snapshot_open::snapshot_open;
pub use wal_open::wal_open;
pub use watch_group::watch_group;

/// A target: what it is called, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const ALL: &[Target] = &[
    ("backend_key", backend_key),
    ("entry_decode", entry_decode),
    ("grpc_decode", grpc_decode),
    ("mvcc_ops", mvcc_ops),
    ("request_check", request_check),
    ("snapshot_open", snapshot_open),
    ("wal_open", wal_open),
    ("watch_group", watch_group),
];
