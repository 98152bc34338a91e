//! A member that is open but not running: its state, its files, and races set up by hand.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use reseed_core::applied::At;
use reseed_core::error::Error;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::LogEntry;
use reseed_proto::log::log_entry::Request;
use reseed_rt::clock;
use reseed_rt::disk::{self, OpenMode};
use reseed_rt::task::Stop;
use reseed_storage::backend::AppliedAt;
use reseed_storage::layout::DataDir;
use reseed_storage::wal::{Mark, Wal, WalOptions};
use tempfile::TempDir;

use crate::boot::{self, Booted};
use crate::config::{Config, InitialMember};
use crate::halt::Halt;
use crate::membership::join;
use crate::raft::changes;
use crate::raft::driver::to_wal_entry;
use crate::snapshot;
use crate::state::State;

/// Guards against hanging for ever; no part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn open(dir: &TempDir) -> Booted {
    let config = Config { data_dir: dir.path().join("data"), ..Config::default() };
    let booted = boot::boot(config, Halt::new(Stop::new()), None).now_or_never();
    booted.expect("asks nobody").expect("a directory of its own")
}

/// The files of snapshots under way, and whatever else is not the backend.
fn exports(dir: &Path) -> Vec<String> {
    let mut names = disk::disk().list(dir).expect("a directory");
    names.retain(|name| name != "db");
    names
}

/// Applies one request, as the apply loop would.
fn apply(state: &State, request: Request) {
    let index = state.backend.applied().index + 1;
    let entry = LogEntry { id: index, request: Some(request), ..LogEntry::default() };
    let mut machine = state.machine.write();
    let applied = machine.apply(At { index, term: 1 }, &entry, &state.backend).expect("applies");
    applied.response.expect("is accepted");
    state.backend.commit(applied.batch, AppliedAt { index, term: 1 }).expect("memory");
}

pub(crate) fn put(state: &State, value: &'static [u8]) {
    let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(value));
    apply(state, Request::Put(pb::PutRequest { key, value, ..pb::PutRequest::default() }));
}

/// Overwrites `k`, compacts what was before, and removes it.
fn overtake(state: &State) {
    put(state, b"new");
    let mut machine = state.machine.write();
    let revision = machine.mvcc.revision();
    drop(machine);
    apply(state, Request::Compaction(pb::CompactionRequest { revision, physical: false }));
    machine = state.machine.write();
    let (batch, done) = machine.mvcc.scrub_step(usize::MAX);
    assert!(done, "all at once");
    state.backend.commit(batch, state.backend.applied()).expect("memory");
}

/// Reads `k` at `revision` while a write and a compaction come between plan and fetch, once.
fn read_overtaken(revision: i64) -> Result<Vec<Bytes>, Error> {
    let dir = TempDir::new().expect("a temporary directory");
    let state = open(&dir).state;
    put(&state, b"old");
    let is_first = Cell::new(true);
    let request =
        pb::RangeRequest { key: Bytes::from_static(b"k"), revision, ..pb::RangeRequest::default() };
    let response = state.read_range(&request, |plan| {
        if is_first.replace(false) {
            overtake(&state);
        }
        plan.finish(&state.backend)
    })?;
    Ok(response.kvs.into_iter().map(|kv| kv.value).collect())
}

#[test]
fn a_read_of_now_overtaken_by_compaction_is_answered() {
    assert_eq!(read_overtaken(0), Ok(vec![Bytes::from_static(b"new")]));
}

#[test]
fn a_read_of_a_revision_overtaken_by_compaction_is_told_so() {
    assert_eq!(read_overtaken(2), Err(Error::Compacted));
}

#[tokio::test]
async fn a_snapshot_whose_client_leaves_leaves_no_file() {
    let dir = TempDir::new().expect("a temporary directory");
    let state = open(&dir).state;
    put(&state, b"v");
    let snap = state.config.data_dir.join("member/snap");
    // During the export: the call is dropped, the export goes on in its thread to its end.
    let mut call = Box::pin(snapshot::start(Arc::clone(&state)));
    drop((&mut call).now_or_never());
    drop(call);
    wait(|| Arc::strong_count(&state) == 1).await;
    wait(|| exports(&snap).is_empty()).await;
    // Afterwards: the stream is dropped unread.
    let stream = snapshot::start(Arc::clone(&state)).await.expect("an export");
    assert_eq!(exports(&snap).len(), 1, "what is sent from");
    drop(stream);
    assert_eq!(exports(&snap), Vec::<String>::new());
}

#[tokio::test]
async fn clients_that_do_not_read_their_snapshots_hold_up_no_member() {
    let dir = TempDir::new().expect("a temporary directory");
    let state = open(&dir).state;
    let mut unread = Vec::new();
    for _ in 0..snapshot::AT_ONCE {
        unread.push(snapshot::start(Arc::clone(&state)).await.expect("an export"));
    }
    assert!(snapshot::start(Arc::clone(&state)).now_or_never().is_none(), "clients wait");
    let export = snapshot::export(Arc::clone(&state), &state.peer_snapshots);
    clock::timeout(PATIENCE, export).await.expect("this does not hang").expect("an export");
}

#[test]
fn boot_removes_unfinished_snapshots_and_nothing_else() {
    let dir = TempDir::new().expect("a temporary directory");
    let snap = open(&dir).state.config.data_dir.join("member/snap");
    for name in ["export-0123456789abcdef.tmp", "export-notes", "other.tmp"] {
        drop(disk::disk().open(&snap.join(name), OpenMode::Create).expect("a file"));
    }
    drop(open(&dir));
    assert_eq!(exports(&snap), ["export-notes", "other.tmp"]);
}

#[test]
fn a_founder_that_crashed_while_it_wrote_the_first_members_writes_them_again() {
    let dir = TempDir::new().expect("a temporary directory");
    let member = |name: &str, port: u16| InitialMember {
        name: name.into(),
        peer_urls: vec![format!("http://localhost:{port}")],
    };
    let config = Config {
        data_dir: dir.path().join("data"),
        initial_cluster: vec![member("default", 2380), member("other", 2381)],
        ..Config::default()
    };
    let (metadata, founders) = join::founders(&config);
    let first: Vec<_> = changes::first_entries(founders).iter().map(to_wal_entry).collect();
    let data_dir = DataDir::open(&disk::disk(), &config.data_dir).expect("a directory");
    let options = WalOptions { segment_bytes: config.wal_segment_bytes };
    let mark = Mark::default();
    let wal = Wal::create(disk::disk(), &data_dir.wal(), metadata, &mark, options);
    let mut wal = wal.expect("a log");
    wal.append(&first[..1], None).and_then(|()| wal.sync()).expect("the disk works");
    drop((wal, data_dir));
    for _ in 0..2 {
        let booted = boot::boot(config.clone(), Halt::new(Stop::new()), None).now_or_never();
        let node = booted.expect("asks nobody").expect("a log").node;
        assert_eq!((node.committed(), node.log().last()), (2, 2));
    }
}

async fn wait(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            clock::sleep(Duration::from_millis(1)).await;
        }
    };
    clock::timeout(PATIENCE, waiting).await.expect("it comes true");
}
