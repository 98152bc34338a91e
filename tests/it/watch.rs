//! Watch over a real socket: every row of etcd's table of answers, and streams that do not read.

use reseed_proto::etcdserverpb as pb;
use reseed_proto::etcdserverpb::watch_create_request::FilterType;
use reseed_proto::mvccpb::event::EventType;

use crate::support::api::bytes;
use crate::support::{Api, Node, Options, wait};

fn watch(key: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: bytes(key), ..Default::default() }
}

fn watch_all() -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { range_end: bytes("\0"), ..watch("\0") }
}

#[tokio::test]
async fn a_watcher_gets_what_follows_in_order() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    api.put("before", "1").await;
    let mut stream = api.watch_stream().await;
    let created = stream.created(watch_all()).await;
    assert_eq!((created.watch_id, created.header.expect("a header").revision), (0, 2));
    for i in 0..20 {
        api.put("k", &i.to_string()).await;
    }
    api.delete("k").await;
    let events = stream.events(21).await;
    let revisions: Vec<i64> =
        events.iter().map(|e| e.kv.as_ref().expect("a pair").mod_revision).collect();
    assert_eq!(revisions, (3..24).collect::<Vec<_>>());
    assert_eq!(events[20].r#type, EventType::Delete as i32);
    assert!(events.iter().all(|event| event.prev_kv.is_none()));
}

#[tokio::test]
async fn the_past_is_read_from_history_whole_revisions_at_a_time() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    for i in 0..1_500 {
        api.put("k", &i.to_string()).await;
    }
    let mut stream = api.watch_stream().await;
    stream.created(pb::WatchCreateRequest { start_revision: 2, ..watch("k") }).await;
    let events = stream.events(1_500).await;
    let values = events.iter().map(|e| e.kv.as_ref().expect("a pair").value.clone());
    assert!(values.eq((0..1_500).map(|i| bytes(&i.to_string()))));
}

#[tokio::test]
async fn previous_values_and_filters() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    api.put("k", "1").await;
    let mut stream = api.watch_stream().await;
    stream.created(pb::WatchCreateRequest { prev_kv: true, ..watch("k") }).await;
    let no_put = vec![FilterType::Noput as i32];
    stream.created(pb::WatchCreateRequest { filters: no_put, ..watch("k") }).await;
    api.put("k", "2").await;
    api.delete("k").await;
    let mut by_watcher = [Vec::new(), Vec::new()];
    while by_watcher[0].len() + by_watcher[1].len() < 3 {
        let response = stream.next().await;
        by_watcher[usize::from(response.watch_id == 1)].extend(response.events);
    }
    let before = |i: usize| by_watcher[0][i].prev_kv.as_ref().map(|kv| kv.value.clone());
    assert_eq!((before(0), before(1)), (Some(bytes("1")), Some(bytes("2"))));
    assert_eq!(by_watcher[1].len(), 1);
    assert_eq!(by_watcher[1][0].r#type, EventType::Delete as i32);
}

#[tokio::test]
async fn ids_are_drawn_or_given_and_never_twice() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let mut stream = api.watch_stream().await;
    let given = pb::WatchCreateRequest { watch_id: 7, ..watch("a") };
    assert_eq!(stream.created(given.clone()).await.watch_id, 7);
    assert_eq!(stream.created(watch("a")).await.watch_id, 0);
    assert_eq!(stream.created(watch("a")).await.watch_id, 1);
    let refused = stream.created(given).await;
    assert!(refused.canceled);
    assert_eq!(refused.watch_id, -1);
    assert_eq!(refused.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    stream.cancel(7).await;
    let cancelled = stream.next().await;
    assert!(cancelled.canceled && cancelled.watch_id == 7, "{cancelled:?}");
    // Unknown ids are passed over in silence: the next answer is to the next request.
    stream.cancel(99).await;
    assert_eq!(stream.created(watch("b")).await.watch_id, 2);
}

#[tokio::test]
async fn impossible_watches_are_created_and_cancelled_at_once() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let mut stream = api.watch_stream().await;
    let backwards = pb::WatchCreateRequest { range_end: bytes("a"), ..watch("b") };
    let refused = stream.created(backwards).await;
    assert_eq!((refused.canceled, refused.watch_id), (true, -1));
    assert_eq!(refused.cancel_reason, "mvcc: watcher range is empty");
    let negative = pb::WatchCreateRequest { start_revision: -1, ..watch("a") };
    let refused = stream.created(negative).await;
    assert_eq!((refused.canceled, refused.watch_id), (true, -1));
    let text = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!(refused.cancel_reason, text);
}

#[tokio::test]
async fn a_compacted_start_is_told_with_the_compact_revision() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    for i in 0..10 {
        api.put("k", &i.to_string()).await;
    }
    api.compact(8).await.expect("compaction");
    let mut stream = api.watch_stream().await;
    let created = stream.created(pb::WatchCreateRequest { start_revision: 3, ..watch("k") }).await;
    assert!(!created.canceled);
    let cancelled = stream.next().await;
    assert!(cancelled.canceled && cancelled.watch_id == created.watch_id, "{cancelled:?}");
    assert_eq!((cancelled.compact_revision, cancelled.cancel_reason.as_str()), (8, ""));
    // At the compact revision itself everything is still there, a deletion too.
    stream.created(pb::WatchCreateRequest { start_revision: 8, ..watch("k") }).await;
    assert_eq!(stream.events(4).await.len(), 4);
}

#[tokio::test]
async fn a_deletion_at_the_compact_revision_is_still_seen() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    api.put("k", "1").await;
    api.delete("k").await;
    api.compact(3).await.expect("compaction");
    let mut stream = api.watch_stream().await;
    stream.created(pb::WatchCreateRequest { start_revision: 3, prev_kv: true, ..watch("k") }).await;
    let events = stream.events(1).await;
    assert_eq!(events[0].r#type, EventType::Delete as i32);
    assert_eq!(events[0].prev_kv, None, "what was before is compacted");
}

#[tokio::test]
async fn a_start_in_the_future_is_waited_for() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let mut stream = api.watch_stream().await;
    stream.created(pb::WatchCreateRequest { start_revision: 5, ..watch("k") }).await;
    for i in 2..7 {
        assert_eq!(api.put("k", "v").await, i);
    }
    let events = stream.events(2).await;
    assert_eq!(events[0].kv.as_ref().expect("a pair").mod_revision, 5);
}

#[tokio::test]
async fn manual_progress_names_the_revision_of_a_synced_stream() {
    let node = Node::start();
    let api = Api::connect(&node).await;
    let mut stream = api.watch_stream().await;
    stream.created(watch("k")).await;
    api.put("elsewhere", "1").await;
    // A stream that is not level yet does not answer: ask until it is.
    loop {
        stream.progress().await;
        let answer = stream.next().await;
        assert_eq!((answer.watch_id, answer.events.len()), (-1, 0), "{answer:?}");
        if answer.header.expect("a header").revision == 2 {
            break;
        }
    }
}

#[tokio::test]
async fn progress_comes_by_itself_where_asked_for() {
    let flags = ["--watch-progress-notify-interval=200ms"];
    let node = Node::start_with(Options::flags(&flags));
    let api = Api::connect(&node).await;
    let mut stream = api.watch_stream().await;
    let created = stream.created(pb::WatchCreateRequest { progress_notify: true, ..watch("k") });
    let id = created.await.watch_id;
    api.put("elsewhere", "1").await;
    loop {
        let response = stream.next().await;
        assert_eq!((response.watch_id, response.events.len()), (id, 0), "{response:?}");
        if response.header.expect("a header").revision == 2 {
            break;
        }
    }
}

#[tokio::test]
async fn large_revisions_are_fragmented_only_where_asked_for() {
    let node = Node::start_with(Options::flags(&["--max-request-bytes=40000"]));
    let api = Api::connect(&node).await;
    let mut whole = api.watch_stream().await;
    whole.created(watch_all()).await;
    let mut parts = api.watch_stream().await;
    parts.created(pb::WatchCreateRequest { fragment: true, prev_kv: true, ..watch_all() }).await;
    for i in 0..40 {
        api.put(&format!("k{i:02}"), &"x".repeat(30_000)).await;
    }
    whole.events(40).await;
    parts.events(40).await;
    // One revision of 40 deletions with their old values: more than limit and overhead together.
    let delete =
        pb::DeleteRangeRequest { key: bytes("k"), range_end: bytes("l"), ..Default::default() };
    api.kv().delete_range(delete).await.expect("delete");
    let response = whole.next().await;
    assert_eq!((response.events.len(), response.fragment), (40, false));
    let mut events = 0;
    let mut fragments = 0;
    loop {
        let response = parts.next().await;
        events += response.events.len();
        fragments += 1;
        if !response.fragment {
            break;
        }
    }
    assert_eq!(events, 40);
    assert!(fragments > 1, "{fragments} fragments");
}

#[tokio::test]
async fn a_stream_that_does_not_read_stops_nobody_and_misses_nothing() {
    let mut node = Node::start();
    let api = Api::connect(&node).await;
    let slow_api = Api::connect(&node).await;
    let mut slow = slow_api.watch_stream().await;
    slow.created(watch_all()).await;
    let mut fast = api.watch_stream().await;
    fast.created(watch_all()).await;
    // 32 MiB: beyond what windows, buffers and outboxes can hold.
    let value = "x".repeat(64 * 1024);
    for i in 0..512 {
        let revision = api.put("k", &value).await;
        let events = fast.events(1).await;
        assert_eq!(events[0].kv.as_ref().expect("a pair").mod_revision, revision, "round {i}");
    }
    node.assert_healthy();
    let events = wait::within("the slow stream to catch up", slow.events(512)).await;
    let revisions = events.iter().map(|e| e.kv.as_ref().expect("a pair").mod_revision);
    assert!(revisions.eq(2..514), "in order, without gaps");
}
