//! Order, loss, and routes that follow the members.

use reseed_proto::log::member_change::Change;

use super::*;
use crate::membership::tests::Applied;

/// The routes of a member, whose streams end at once.
pub(crate) fn peers() -> Peers {
    let (driver, _) = chan::bounded("driver", 8);
    let stop = Stop::new();
    stop.cancel();
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let state = crate::tests::open(&dir).state;
    Peers::new(Home { state, driver, departure: Departure::default(), stop })
}

fn message(to: u64, index: u64) -> Message {
    Message { to, index, ..Message::default() }
}

#[test]
fn messages_keep_their_order_and_a_full_queue_loses_the_newest() {
    let peers = peers();
    let (messages, mut waiting) = chan::bounded("peer", 1);
    let (link, stop) = (Link::default(), Stop::new());
    let sent = Sent::new(&Metrics::new(), 1, 2);
    let outbox = Outbox { urls: vec![], messages, link, sent, stop, is_member: true };
    peers.table.lock().outboxes.insert(2, outbox);
    assert!(peers.send(vec![message(2, 1), message(2, 2)]).is_empty());
    assert_eq!(peers.send(vec![message(2, 3), message(9, 1)]), [2, 9]);
    let left = waiting.try_recv().expect("one turn's messages");
    assert_eq!(left.iter().map(|message| message.index).collect::<Vec<_>>(), [1, 2]);
    assert!(waiting.try_recv().is_err());
}

#[test]
fn the_url_of_the_stream_is_asked_first() {
    let (link, urls) = (Link::default(), ["http://a:1", "http://b:1"].map(String::from));
    assert_eq!(link.order(&urls), urls);
    link.set_up("http://b:1");
    assert_eq!(link.order(&urls), ["http://b:1", "http://a:1"]);
    assert!(link.set_down() && !link.set_down());
    assert_eq!(link.order(&urls), urls);
}

#[tokio::test]
async fn routes_follow_the_members_and_callers_get_one_too() {
    let peers = peers();
    let routes = || peers.table.lock().outboxes.keys().copied().collect::<Vec<_>>();
    let mut log = Applied::default();
    log.add(&[peers.home.state.member_id, 2]);
    peers.follow(log.members());
    log.add(&[3]);
    peers.follow(log.members());
    assert_eq!(routes(), [2, 3]);
    peers.answer_to(7, &["http://7:1".into()]);
    assert_eq!(routes(), [2, 3, 7]);
    // It may be behind in the log: that 7 is not in it proves nothing.
    peers.follow(log.members());
    assert_eq!(routes(), [2, 3, 7]);
    assert_eq!(peers.route(7).map(|route| route.urls), Some(vec!["http://7:1".into()]));
    for n in 100..200 {
        peers.answer_to(n, &["http://x:1".into()]);
    }
    assert_eq!(routes().len(), 2 + CALLERS_MAX);
    assert!(peers.connected().is_empty());
    peers.ended().await;
}

#[tokio::test]
async fn who_has_moved_is_answered_there_until_the_log_says_where_it_is() {
    let peers = peers();
    let mut log = Applied::default();
    log.add(&[peers.home.state.member_id, 2]);
    peers.follow(log.members());
    let urls = || peers.route(2).expect("a member").urls;
    let before = urls();
    peers.answer_to(2, &before);
    assert_eq!(urls(), before);
    let moved = [before.as_slice(), &["http://moved:1".into()]].concat();
    peers.answer_to(2, &["http://moved:1".into()]);
    assert_eq!(urls(), moved);
    peers.answer_to(2, &before);
    assert_eq!(urls(), moved, "what it says may be older than what it said");
    peers.follow(log.members());
    assert_eq!(urls(), before);
    peers.ended().await;
}

#[tokio::test]
async fn callers_are_told_of_the_place_of_the_log_and_of_the_one_of_the_flags() {
    let peers = peers();
    let me = peers.home.state.member_id;
    let mut log = Applied::default();
    log.add(&[me, 2]);
    peers.follow(log.members());
    let of_log = log.members().iter().find(|member| member.id == me).expect("a member");
    let of_flags = &peers.home.state.config.initial_advertise_peer_urls;
    assert!(!of_flags.is_empty() && of_log.peer_urls != *of_flags, "{of_flags:?}");
    let both = [of_log.peer_urls.as_slice(), of_flags].concat();
    assert_eq!(peers.route(2).expect("a member").own_urls, both);
    peers.ended().await;
}

#[tokio::test]
async fn who_is_removed_loses_its_route_for_ever() {
    let peers = peers();
    let mut log = Applied::default();
    log.add(&[0xa, 2, 3]);
    peers.follow(log.members());
    assert!(peers.route(2).is_some() && !peers.is_removed(2));
    log.change(Change::Remove(2)).expect("is allowed");
    peers.follow(log.members());
    assert!(peers.route(2).is_none() && peers.is_removed(2) && !peers.is_removed(3));
}
