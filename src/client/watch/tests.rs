//! The book against a server made of plain responses.

use reseed_proto::mvccpb::{Event, KeyValue};

use super::*;

type Received = mpsc::Receiver<Result<WatchEvents, Error>>;

fn order(key: u64, start_revision: i64, queue_len: usize) -> (Order, Received) {
    let (queue, received) = mpsc::channel(queue_len);
    let request = WatchCreateRequest { start_revision, ..WatchCreateRequest::default() };
    let is_lagging = Arc::new(AtomicBool::new(false));
    (Order { key, request, queue, is_lagging, ack: None }, received)
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

fn created(watch_id: i64, revision: i64) -> WatchResponse {
    WatchResponse { watch_id, created: true, header: header(revision), ..Default::default() }
}

fn events(watch_id: i64, revisions: &[i64]) -> WatchResponse {
    let event = |&mod_revision| Event {
        kv: Some(KeyValue { mod_revision, ..KeyValue::default() }),
        ..Event::default()
    };
    let events = revisions.iter().map(event).collect();
    let last = revisions.last().copied().unwrap_or_default();
    WatchResponse { watch_id, events, header: header(last), ..Default::default() }
}

/// The creations in the outbox as (id, start revision), and the cancellations as (id, -1).
fn requests(book: &mut Book) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    while let Some(request) = book.pop_request() {
        match request.request_union {
            Some(RequestUnion::CreateRequest(c)) => found.push((c.watch_id, c.start_revision)),
            Some(RequestUnion::CancelRequest(c)) => found.push((c.watch_id, -1)),
            other => panic!("unexpected request {other:?}"),
        }
    }
    found
}

/// The revisions of everything delivered and not yet taken.
fn revisions(received: &mut Received) -> Vec<i64> {
    let mut found = Vec::new();
    while let Ok(batch) = received.try_recv() {
        let batch = batch.expect("no end was expected");
        found.extend(batch.events.iter().filter_map(|e| e.kv.as_ref()).map(|kv| kv.mod_revision));
    }
    found
}

#[test]
fn a_broken_stream_leaves_no_gap_and_no_repeat() {
    let mut book = Book::default();
    let (order, mut received) = order(7, 0, 8);
    book.add(order);
    assert_eq!(requests(&mut book), [(1, 0)]);
    book.receive(created(1, 10));
    book.receive(events(1, &[11, 12]));
    book.restart();
    assert_eq!(requests(&mut book), [(2, 13)], "resumes after the last revision delivered");
    book.receive(created(2, 20));
    book.receive(events(1, &[12]));
    book.receive(events(2, &[12, 13, 14]));
    assert_eq!(revisions(&mut received), [11, 12, 13, 14]);
}

#[test]
fn a_watch_from_now_resumes_from_when_it_was_confirmed() {
    let mut book = Book::default();
    let (order, _received) = order(1, 0, 8);
    book.add(order);
    requests(&mut book);
    book.receive(created(1, 10));
    book.restart();
    assert_eq!(requests(&mut book), [(2, 11)]);
}

#[test]
fn a_slow_watcher_is_cancelled_and_resumes_where_it_stood() {
    let mut book = Book::default();
    let (order, mut received) = order(1, 5, 2);
    let is_lagging = Arc::clone(&order.is_lagging);
    book.add(order);
    requests(&mut book);
    book.receive(created(1, 10));
    for revision in 5..9 {
        book.receive(events(1, &[revision]));
    }
    assert!(is_lagging.load(Ordering::SeqCst));
    assert_eq!(requests(&mut book), [(1, -1)]);
    assert_eq!(revisions(&mut received), [5, 6]);
    book.resume(1);
    assert_eq!(requests(&mut book), [(2, 7)]);
    book.receive(created(2, 10));
    book.receive(events(2, &[7, 8]));
    assert_eq!(revisions(&mut received), [7, 8]);
}

#[test]
fn fragments_are_put_together_and_thrown_away_with_their_stream() {
    let mut book = Book::default();
    let (order, mut received) = order(1, 3, 8);
    book.add(order);
    book.receive(created(1, 10));
    book.receive(WatchResponse { fragment: true, ..events(1, &[3, 3]) });
    assert_eq!(revisions(&mut received), [0; 0]);
    book.restart();
    book.receive(created(2, 10));
    book.receive(WatchResponse { fragment: true, ..events(2, &[3, 3]) });
    book.receive(events(2, &[3, 4]));
    assert_eq!(revisions(&mut received), [3, 3, 3, 4]);
}

#[test]
fn a_refusal_without_an_id_hits_the_oldest_unconfirmed() {
    let mut book = Book::default();
    let (first, mut first_received) = order(1, 0, 8);
    let (second, mut second_received) = order(2, 0, 8);
    book.add(first);
    book.add(second);
    let refused = WatchResponse {
        watch_id: -1,
        created: true,
        canceled: true,
        cancel_reason: "mvcc: watcher range is empty".into(),
        ..Default::default()
    };
    book.receive(refused);
    book.receive(created(2, 4));
    book.receive(events(2, &[5]));
    assert!(matches!(first_received.try_recv(), Ok(Err(Error::WatchCanceled(_)))));
    assert_eq!(revisions(&mut second_received), [5]);
}

#[test]
fn compaction_ends_a_watch_even_when_its_queue_is_full() {
    let mut book = Book::default();
    let (order, mut received) = order(1, 5, 1);
    book.add(order);
    book.receive(created(1, 10));
    book.receive(events(1, &[5]));
    let compacted =
        WatchResponse { watch_id: 1, canceled: true, compact_revision: 9, ..Default::default() };
    book.receive(compacted);
    assert_eq!(revisions(&mut received), [5]);
    book.resume(1);
    let end = received.try_recv();
    assert!(matches!(end, Ok(Err(Error::WatchCompacted { compact_revision: 9 }))), "{end:?}");
    assert!(book.is_idle());
}

#[test]
fn progress_moves_the_point_of_resumption() {
    let mut book = Book::default();
    let (order, mut received) = order(1, 5, 8);
    book.add(order);
    book.receive(created(1, 10));
    book.receive(WatchResponse { watch_id: -1, header: header(30), ..Default::default() });
    let batch = received.try_recv().expect("told").expect("not the end");
    assert!(batch.is_progress());
    requests(&mut book);
    book.restart();
    assert_eq!(requests(&mut book), [(2, 31)]);
}

#[test]
fn progress_never_moves_back() {
    let mut book = Book::default();
    let (order, _received) = order(1, 50, 8);
    book.add(order);
    book.receive(created(1, 10));
    book.receive(WatchResponse { watch_id: -1, header: header(30), ..Default::default() });
    requests(&mut book);
    book.restart();
    assert_eq!(requests(&mut book), [(2, 50)], "a watch of the future keeps waiting for it");
}
