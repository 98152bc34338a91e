//! Generates the Rust types of every `.proto` file here, with no `protoc` on the machine.
//!
//! Messages always; service stubs only with feature `stubs`, so that the pure core depends on
//! prost alone. Maps become `BTreeMap`: iteration order must be the same on every run.

use std::path::Path;

const FILES: [&str; 8] = [
    "etcd/rpc.proto",
    "etcd/lock.proto",
    "etcd/election.proto",
    "etcd/health.proto",
    "internal/peer.proto",
    "internal/raft_log.proto",
    "internal/snapshot.proto",
    "internal/wire.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed=etcd");
    println!("cargo:rerun-if-changed=internal");
    let stubs = std::env::var_os("CARGO_FEATURE_STUBS").is_some();
    let descriptors =
        protox::compile(FILES.map(|f| here.join(f)), [here.join("etcd"), here.join("internal")])?;
    tonic_prost_build::configure()
        .build_client(stubs)
        .build_server(stubs)
        .bytes(".")
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
