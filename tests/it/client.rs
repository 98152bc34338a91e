//! The crates.io client `etcd-client` against the daemon.
//!
//! Building that crate takes protoc, which reseed itself does not need; so it lives in a package of
//! its own, `tests/etcd-client`, outside the workspace, and is built and run from here.

use std::path::Path;
use std::process::Command;

use crate::support::{Node, tools};

#[test]
fn the_etcd_client_crate_works() {
    if !tools::present("the_etcd_client_crate_works", &["protoc"]) {
        return;
    }
    if !protoc_finds_its_own_files() {
        tools::skip("the_etcd_client_crate_works", "protoc lacks google/protobuf/*.proto");
        return;
    }
    let mut node = Node::start();
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/etcd-client");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--locked", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .arg("--")
        .arg(node.endpoint())
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    assert!(said.contains("etcd-client: all steps passed"), "{said}");
    node.assert_healthy();
}

/// Debian has them in a package of their own.
fn protoc_finds_its_own_files() -> bool {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let proto = folder.path().join("x.proto");
    let text = "syntax = \"proto3\";\nimport \"google/protobuf/descriptor.proto\";\n";
    std::fs::write(&proto, text).expect("a temporary file");
    let output = Command::new("protoc")
        .arg("-I")
        .arg(folder.path())
        .arg("--descriptor_set_out=/dev/null")
        .arg(&proto)
        .output();
    output.is_ok_and(|output| output.status.success())
}
