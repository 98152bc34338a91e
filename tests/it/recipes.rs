//! Sessions, locks and elections of the client crate over real sockets, on its own and on the same
//! lock as Debian's etcdctl.

use reseed_client::recipe::{Election, Mutex, Session, SessionOptions};
use reseed_client::{Client, ClientOptions, Error, Get, Put, Txn};

use crate::support::ctl::Running;
use crate::support::{Cluster, Node, tools, wait};

fn client(nodes: &[&Node]) -> Client {
    let endpoints: Vec<String> = nodes.iter().map(|node| node.endpoint()).collect();
    Client::connect(ClientOptions::new(endpoints)).expect("endpoints")
}

async fn session(client: &Client, ttl_secs: i64) -> Session {
    let options = SessionOptions { ttl_secs, ..SessionOptions::default() };
    Session::begin(client, options).await.expect("a session")
}

/// Waits until `count` wait for a lock or have it.
async fn queued(client: &Client, prefix: &str, count: i64) {
    wait::until_async("a queue", || async {
        let answer = client.get(Get::prefix(prefix.to_owned()).count_only()).await.ok()?;
        (answer.count == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_lock_passes_from_session_to_session_and_fences_the_one_before() {
    let node = Node::start();
    let client = client(&[&node]);
    let (one, other) = (session(&client, 60).await, session(&client, 60).await);
    let (mut first, mut second) = (Mutex::new(&one, "l"), Mutex::new(&other, "l"));
    let token = first.lock().await.expect("the lock is free");
    assert_eq!(first.key(), Some(format!("l/{:x}", one.lease()).as_str()));
    assert_eq!(first.lock().await.expect("it has it"), token, "a session locks once");
    assert_eq!(second.try_lock().await.expect("an answer"), None);
    queued(&client, "l/", 1).await;
    let fence = first.fence().expect("it has the lock");
    let waiting = tokio::spawn(async move { second.lock().await.map(|token| (token, second)) });
    queued(&client, "l/", 2).await;
    first.unlock().await.expect("unlocked");
    let (next, second) = waiting.await.expect("no panic").expect("its turn");
    assert!(next > token, "{next} after {token}");
    let guarded = |fence| Txn::new().when([fence]).then([Put::new("guarded", "x")]);
    assert!(!client.txn(guarded(fence)).await.expect("an answer").succeeded);
    let fence = second.fence().expect("it has the lock");
    assert!(client.txn(guarded(fence)).await.expect("an answer").succeeded);
    one.end().await.expect("revoked");
    other.end().await.expect("revoked");
    queued(&client, "l/", 0).await;
}

#[tokio::test]
async fn a_session_says_when_its_lease_is_gone_and_lives_while_it_is_renewed() {
    let node = Node::start();
    let client = client(&[&node]);
    // Renewed after three seconds, and not lost should the machine stand still for some more.
    let (kept, revoked) = (session(&client, 9).await, session(&client, 9).await);
    let first = kept.until().expect("alive");
    client.lease_revoke(revoked.lease()).await.expect("revoked");
    wait::within("the loss to be noticed", revoked.lost()).await;
    assert!(!revoked.is_alive());
    wait::until_async("a renewal", async || (kept.until()? > first).then_some(())).await;
    let taken = SessionOptions { lease: Some(revoked.lease()), ..SessionOptions::default() };
    assert!(matches!(Session::begin(&client, taken).await, Err(Error::SessionLost)));
    let mut mutex = Mutex::new(&revoked, "l");
    assert!(matches!(mutex.lock().await, Err(Error::SessionLost)));
}

#[tokio::test]
async fn an_election_outlives_the_member_it_was_held_at() {
    let mut cluster = Cluster::start(3, &[]);
    let nodes: Vec<&Node> = cluster.members.iter().collect();
    let client = client(&nodes);
    let mut observation = Election::observe(&client, "e");
    let (one, other) = (session(&client, 60).await, session(&client, 60).await);
    let mut first = Election::new(&one, "e");
    let token = first.campaign("one").await.expect("nobody else stands");
    let seen = wait::within("news", observation.next()).await.expect("a leader");
    assert_eq!((seen.value.as_ref(), seen.token), (b"one".as_slice(), token));
    let mut second = Election::new(&other, "e");
    let standing = tokio::spawn(async move { second.campaign("two").await });
    queued(&client, "e/", 2).await;
    // The first endpoint is the one the client talks to.
    cluster.members[0].kill();
    wait::within("a proclamation", async {
        while first.proclaim("one again").await.is_err() {
            wait::a_moment().await;
        }
    })
    .await;
    let seen = wait::within("news", observation.next()).await.expect("a leader");
    assert_eq!((seen.value.as_ref(), seen.token), (b"one again".as_slice(), token));
    wait::within("a resignation", async {
        while first.resign().await.is_err() {
            wait::a_moment().await;
        }
    })
    .await;
    let next = standing.await.expect("no panic").expect("its turn");
    let seen = wait::within("news", observation.next()).await.expect("a leader");
    assert_eq!((seen.value.as_ref(), seen.token), (b"two".as_slice(), next));
    assert!(next > token && first.proclaim("late").await.is_err());
    let leader = Election::leader(&client, "e").await.expect("an answer").expect("a leader");
    assert_eq!(leader.create_revision, next);
}

#[tokio::test]
async fn etcdctl_and_the_recipes_keep_to_the_same_lock_and_election() {
    if !tools::present("etcdctl_and_the_recipes_keep_to_the_same_lock", &["etcdctl"]) {
        return;
    }
    let node = Node::start();
    let client = client(&[&node]);
    let own = session(&client, 60).await;
    let mut mutex = Mutex::new(&own, "l");
    mutex.lock().await.expect("the lock is free");
    let theirs = Running::start(&node, &["lock", "l"]);
    queued(&client, "l/", 2).await;
    assert_eq!(theirs.try_line(), None, "etcdctl has a lock that is ours");
    mutex.unlock().await.expect("unlocked");
    let key = theirs.lines(1);
    assert!(key.starts_with("l/"), "{key}");
    assert_eq!(mutex.try_lock().await.expect("an answer"), None);
    drop(theirs);
    let mut election = Election::new(&own, "e");
    election.campaign("ours").await.expect("nobody else stands");
    let watching = Running::start(&node, &["elect", "-l", "e"]);
    let key = election.key().expect("it leads").to_owned();
    assert_eq!(watching.lines(2), format!("{key}\nours\n"));
}
