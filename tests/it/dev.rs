//! `reseed dev`: a cluster in one command.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use reseed_client::{Client, ClientOptions, Get, Put};
use tempfile::TempDir;

use crate::support::node::free_ports;
use crate::support::wait;

fn dev(dir: &Path, port: u16, members: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reseed"));
    command.args(["dev", "--members", &members.to_string(), "--port", &port.to_string()]);
    command.arg("--dir").arg(dir).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Started, with the endpoints that it printed.
fn started(dir: &Path, port: u16) -> (Child, Vec<String>) {
    let mut child = dev(dir, port, 3).spawn().expect("the binary runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines.find_map(|line| {
        let line = line.expect("text");
        line.trim().strip_prefix("etcdctl --endpoints=").map(str::to_owned)
    });
    let Some(line) = line else {
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        panic!("it does not start: {said}");
    };
    let endpoints = line.split(' ').next().expect("endpoints").split(',');
    (child, endpoints.map(str::to_owned).collect())
}

fn refused(dir: &Path, port: u16, members: u16) -> String {
    let Output { status, stderr, .. } = dev(dir, port, members).output().expect("it ends");
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).expect("text")
}

#[tokio::test]
async fn a_cluster_in_one_command_keeps_its_data_and_stops_when_told() {
    let dir = TempDir::new().expect("a directory");
    let port = free_ports(6);
    for round in 0..2 {
        let (mut child, endpoints) = started(dir.path(), port);
        assert_eq!(endpoints.len(), 3);
        for endpoint in &endpoints {
            let client = Client::connect(ClientOptions::new([endpoint])).expect("an endpoint");
            if round == 0 {
                client.put(Put::new("k", "v")).await.expect("it serves");
            }
            let found = client.get(Get::key("k")).await.expect("it serves");
            assert_eq!(found.kvs[0].value, "v");
        }
        if round == 0 {
            let said = refused(&dir.path().join("other"), port, 3);
            assert!(said.contains(&format!("127.0.0.1:{port}")), "the port is taken: {said}");
        }
        let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(told.expect("kill is there").success());
        let ended = wait::until("the cluster to stop", || child.try_wait().expect("our child"));
        assert_eq!(ended.code(), Some(0));
    }
    let said = refused(dir.path(), port, 5);
    assert!(said.contains("holds a cluster of 3"), "{said}");
}
