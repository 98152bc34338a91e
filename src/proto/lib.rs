//! The messages of the etcd v3 API and of reseed's own log, generated from the `.proto` files here.
//!
//! Plain data: no behaviour beyond encoding, and none of our crates below it. With feature `stubs`
//! the tonic services are here too; without it the crate is `no_std`.
#![cfg_attr(not(feature = "stubs"), no_std)]
#![allow(
    missing_docs,
    clippy::all,
    clippy::too_many_lines,
    unreachable_pub,
    reason = "generated from .proto files, which carry the documentation"
)]

extern crate alloc;

/// `mvccpb`: key-value pairs and events.
pub mod mvccpb {
    include!(concat!(env!("OUT_DIR"), "/mvccpb.rs"));
}
/// `authpb`: users, roles, permissions.
pub mod authpb {
    include!(concat!(env!("OUT_DIR"), "/authpb.rs"));
}
/// `etcdserverpb`: the client API.
pub mod etcdserverpb {
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}
/// `v3lockpb`: the lock recipe.
pub mod v3lockpb {
    include!(concat!(env!("OUT_DIR"), "/v3lockpb.rs"));
}
/// `v3electionpb`: the election recipe.
pub mod v3electionpb {
    include!(concat!(env!("OUT_DIR"), "/v3electionpb.rs"));
}
/// `grpc.health.v1`: the standard health service.
pub mod health {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}
/// reseed's own messages, nested as their packages are.
pub mod reseed {
    /// The payload of a raft log entry and the records of the backend.
    pub mod log {
        include!(concat!(env!("OUT_DIR"), "/reseed.log.rs"));
    }
    /// What members say to each other.
    pub mod peer {
        include!(concat!(env!("OUT_DIR"), "/reseed.peer.rs"));
    }
    /// The portable snapshot file.
    pub mod snapshot {
        include!(concat!(env!("OUT_DIR"), "/reseed.snapshot.rs"));
    }
    /// etcd's messages in a form that is cheaper to make.
    pub mod wire {
        include!(concat!(env!("OUT_DIR"), "/reseed.wire.rs"));
    }
}
pub use reseed::{log, peer, snapshot, wire};
