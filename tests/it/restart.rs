//! What survives the end of the process: killed under load, stopped, refused, out of disk.

use std::fs;
use std::process::Command;

use reseed_proto::etcdserverpb as pb;
use reseed_rt::disk;
use reseed_storage::wal;
use tempfile::TempDir;

use crate::support::api::bytes;
use crate::support::{Api, Node, Options, Promised, SmallDisk, small_disk, tools, wait};

/// Kills in one test; `RESEED_KILLS` raises it.
fn kills() -> usize {
    std::env::var("RESEED_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Puts new keys until the server goes away.
async fn write(api: Api, writer: usize, round: usize, promised: Promised) {
    for i in 0.. {
        let key = format!("{round}/{writer}/{i}");
        let value = format!("value of {key}");
        let put = pb::PutRequest { key: bytes(&key), value: bytes(&value), ..Default::default() };
        let Ok(response) = api.kv().put(put).await else { return };
        let revision = response.into_inner().header.expect("a header").revision;
        promised.keep(key, value, revision);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_under_load_loses_nothing_acknowledged() {
    // Small enough that log segments, truncations and backend flushes happen between the kills.
    let mut node = Node::start_with(Options::flags(&["--snapshot-count=50"]));
    let promised = Promised::default();
    let mut newest = 1;
    for round in 0..kills() {
        let before = promised.len();
        let mut writers = Vec::new();
        for writer in 0..8 {
            let api = Api::connect(&node).await;
            writers.push(tokio::spawn(write(api, writer, round, promised.clone())));
        }
        let wanted = before + 100 + round * 37;
        wait::until_async("some acknowledged writes", || async {
            (promised.len() >= wanted).then_some(())
        })
        .await;
        node.kill();
        for writer in writers {
            wait::within("a writer to notice", writer).await.expect("no panic in a writer");
        }
        node.start_again();
        let api = Api::connect(&node).await;
        let revision = promised.check(&api).await;
        assert!(revision >= newest, "revision {revision} after {newest} in round {round}");
        newest = revision;
    }
    node.assert_healthy();
}

#[tokio::test]
async fn leases_deletions_and_compactions_survive_too() {
    let mut node = Node::start();
    let api = Api::connect(&node).await;
    api.grant(7, 3600).await.expect("a lease");
    api.put_leased("leased", 7).await;
    for i in 0..10 {
        api.put("k", &i.to_string()).await;
    }
    api.put("gone", "v").await;
    api.delete("gone").await;
    api.compact(10).await.expect("compaction");
    let hash = |api: Api| async move {
        let hash = api.maintenance().hash_kv(pb::HashKvRequest { revision: 0 }).await;
        let hash = hash.expect("a hash").into_inner();
        (hash.hash, hash.compact_revision, hash.hash_revision)
    };
    let before = (hash(api.clone()).await, api.everything().await.kvs);
    node.kill();
    node.start_again();
    let api = Api::connect(&node).await;
    assert_eq!((hash(api.clone()).await, api.everything().await.kvs), before);
    let left = pb::LeaseTimeToLiveRequest { id: 7, keys: true };
    let left = api.lease().lease_time_to_live(left).await.expect("time to live").into_inner();
    assert_eq!((left.granted_ttl, left.keys), (3600, vec![bytes("leased")]));
    let old = api.compact(5).await.expect_err("compacted");
    assert!(old.message().contains("compacted"), "{old:?}");
}

#[tokio::test]
async fn revisions_do_not_go_back_when_compaction_has_removed_the_last() {
    let mut node = Node::start();
    let api = Api::connect(&node).await;
    api.put("k", "v").await;
    api.delete("k").await;
    api.put("k", "v").await;
    api.delete("k").await;
    api.compact(5).await.expect("compaction");
    node.kill();
    node.start_again();
    let api = Api::connect(&node).await;
    assert_eq!(api.put("k", "v").await, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graceful_stops_end_with_success_and_keep_everything() {
    for signal in ["TERM", "INT"] {
        let mut node = Node::start();
        let api = Api::connect(&node).await;
        api.put("k", signal).await;
        // An open stream must not hold up the stop.
        let mut stream = api.watch_stream().await;
        stream.created(pb::WatchCreateRequest { key: bytes("k"), ..Default::default() }).await;
        let status = node.stop(signal);
        assert!(status.success(), "{signal}: {status}");
        node.start_again();
        assert_eq!(Api::connect(&node).await.get("k").await.as_deref(), Some(signal));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_truncated_however_often_the_member_restarts() {
    // Fewer entries per start than `--snapshot-count`: they count together.
    let flags = ["--snapshot-count=50", "--backend-batch-interval=1ms"];
    let mut node = Node::start_with(Options::flags(&flags));
    let wal = node.data_dir().join("member/wal");
    for round in 0..30 {
        let api = Api::connect(&node).await;
        for i in 0..20 {
            api.put(&format!("{round}/{i}"), "v").await;
        }
        assert!(node.stop("TERM").success());
        let found = wal::inspect(&*disk::disk(), &wal).expect("a log");
        if found.mark.index >= 50 {
            return;
        }
        node.start_again();
    }
    panic!("600 entries, and never a mark after 50 of them");
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let mut node = Node::start();
    let data_dir = Some(node.data_dir().to_owned());
    let (status, log) = Node::start_and_fail(Options { data_dir, ..Options::default() });
    assert!(!status.success());
    assert!(log.contains("lock") || log.contains("in use"), "says why:\n{log}");
    node.assert_healthy();
}

#[test]
fn a_directory_of_another_format_is_refused_naming_both_versions() {
    let mut node = Node::start();
    node.stop("TERM");
    let format = node.data_dir().join("FORMAT");
    let ours = fs::read_to_string(&format).expect("the format file");
    fs::write(&format, "9999\n").expect("the format file");
    let data_dir = Some(node.data_dir().to_owned());
    let (status, log) = Node::start_and_fail(Options { data_dir, ..Options::default() });
    assert!(!status.success());
    assert!(log.contains("9999"), "names the version found:\n{log}");
    let own = ours.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    assert!(log.contains(&own), "names our version {own}:\n{log}");
    fs::write(&format, ours).expect("the format file");
    node.start_again();
}

#[tokio::test]
async fn a_damaged_log_is_refused_and_left_alone() {
    let mut node = Node::start();
    let api = Api::connect(&node).await;
    for i in 0..50 {
        api.put(&i.to_string(), "v").await;
    }
    node.kill();
    let wal = node.data_dir().join("member/wal");
    let mut segments: Vec<_> = fs::read_dir(&wal)
        .expect("the log's directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    segments.sort();
    let mut data = fs::read(&segments[0]).expect("a segment");
    // One bit in the middle of what was written: behind it are whole records.
    let written = data.iter().rposition(|byte| *byte != 0).expect("something is written");
    data[written / 2] ^= 0x10;
    fs::write(&segments[0], &data).expect("a segment");
    let data_dir = Some(node.data_dir().to_owned());
    let (status, log) = Node::start_and_fail(Options { data_dir, ..Options::default() });
    assert!(!status.success());
    assert!(!log.contains("panicked"), "damage is an error, not a panic:\n{log}");
    assert_eq!(fs::read(&segments[0]).expect("a segment"), data, "nothing was overwritten");
}

/// What the commands of `tests/data/README.md` leave behind.
#[tokio::test]
async fn a_data_directory_of_format_1_opens_whole() {
    let home = TempDir::new().expect("a temporary directory");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/format-1.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(sample).arg("-C").arg(home.path()).status();
    assert!(unpacked.is_ok_and(|status| status.success()), "{sample} does not unpack");
    let data_dir = Some(home.path().join("data"));
    let mut node = Node::start_with(Options { data_dir, ..Options::default() });
    let api = Api::connect(&node).await;
    let all = api.everything().await;
    assert_eq!(all.header.expect("a header").revision, 20);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let found: Vec<String> =
        all.kvs.iter().map(|kv| format!("{}={}", text(&kv.key), text(&kv.value))).collect();
    let expected = "k0=newest0 k2=swapped k3=new3 k4=old4 k5=old5 k6=old6 k7=old7 k8=old8 leased=v";
    assert_eq!(found.join(" "), expected);
    let hash = api.maintenance().hash_kv(pb::HashKvRequest { revision: 0 }).await;
    let hash = hash.expect("a hash").into_inner();
    assert_eq!((hash.hash, hash.compact_revision), (3_501_176_699, 12));
    let lease = all.kvs.last().map_or(0, |kv| kv.lease);
    let left = pb::LeaseTimeToLiveRequest { id: lease, keys: true };
    let left = api.lease().lease_time_to_live(left).await.expect("time to live").into_inner();
    assert_eq!((left.granted_ttl, left.keys), (86_400, vec![bytes("leased")]));
    assert_eq!(api.put("k0", "goes on").await, 21);
    node.assert_healthy();
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_reads() {
    let Some(disk) = SmallDisk::mount(200) else {
        tools::skip_unprivileged(
            "a_full_disk_refuses_writes_and_serves_reads",
            small_disk::REFUSED,
        );
        return;
    };
    let data_dir = Some(disk.path().join("data"));
    let mut node = Node::start_with(Options { data_dir, ..Options::default() });
    let api = Api::connect(&node).await;
    api.put("k", "kept").await;
    // Take what is left, then write until the log needs more.
    disk.fill();
    let value = "x".repeat(1 << 20);
    let mut refused = None;
    for i in 0..300 {
        let key = bytes(&format!("big{i}"));
        let put = pb::PutRequest { key, value: bytes(&value), ..Default::default() };
        if let Err(status) = wait::within("an answer", api.kv().put(put)).await {
            refused = Some(status);
            break;
        }
    }
    let refused = refused.expect("a full disk refuses writes at some point");
    assert_eq!(refused.message(), "etcdserver: mvcc: database space exceeded", "{refused:?}");
    let serializable = pb::RangeRequest { key: bytes("k"), serializable: true, ..<_>::default() };
    let kept = api.kv().range(serializable).await.expect("reads go on").into_inner();
    assert_eq!(kept.kvs[0].value, bytes("kept"));
    assert_eq!(api.get("k").await.as_deref(), Some("kept"), "linearizable reads too");
    assert!(node.is_running());
}
