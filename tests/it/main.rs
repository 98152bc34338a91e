//! Everything that needs sockets, processes, a real disk, or a look at the source tree.
//!
//! One binary, so that there is one thing to link. Time and faults belong into the simulator, pure
//! behaviour into `tests.rs` beside the code; here is what neither can see.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the operating system itself"
)]

mod client;
mod cluster;
mod corpus;
mod dev;
mod docs;
mod errors;
mod garbage;
mod http;
mod interop;
mod interop_cluster;
mod kv;
mod lease;
mod maintenance;
mod members;
mod net_cut;
mod outage;
mod recipes;
mod restart;
mod support;
mod tidy;
mod watch;
