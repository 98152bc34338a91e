//! A snapshot that arrives while its sender comes and goes.

use std::time::Duration;

use reseed_rt::{chan, clock};
use tempfile::TempDir;

use super::super::serve;
use super::*;
use crate::state::State;
use crate::tests::{open, put};

/// Guards against hanging for ever; no part of what is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// A whole snapshot on its way to member 2.
async fn parts(state: &Arc<State>) -> impl Parts + use<> {
    let parts = serve(Arc::clone(state), 2, 0).await.expect("a snapshot");
    parts.map(Ok).boxed()
}

#[tokio::test]
async fn an_installation_comes_to_its_end_though_the_sender_goes() {
    let (from, to) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let state = open(&from).state;
    put(&state, b"v");
    let db = to.path().join("db");
    let receiving = Receiving::new(db.clone());
    let (driver, mut events) = chan::bounded("driver", 1);
    let sender = state.member_id;
    let event = tokio::select! {
        biased;
        // Dropped when the driver has heard of it, as with a connection that breaks.
        done = receiving.receive(parts(&state).await, sender, &driver) => panic!("{done:?}"),
        event = events.recv() => event,
    };
    let Some(PeerEvent::Snapshot { from: waiting, done, .. }) = event else { panic!("{event:?}") };
    let second = receiving.receive(parts(&state).await, sender, &driver).await;
    assert_eq!(second.expect_err("one at a time").message(), "another snapshot is under way");
    assert!(waiting.exists(), "what the driver was told of is there");
    done.send(()).expect("somebody waits");
    // When that has come to its end, the next one is taken.
    let third = async {
        loop {
            let parts = parts(&state).await;
            let taken = tokio::select! {
                biased;
                taken = receiving.receive(parts, sender, &driver) => taken,
                event = events.recv() => return event,
            };
            assert_eq!(taken.expect_err("not yet").message(), "another snapshot is under way");
            clock::sleep(Duration::from_millis(1)).await;
        }
    };
    let event = clock::timeout(PATIENCE, third).await.expect("this does not hang");
    assert!(matches!(event, Some(PeerEvent::Snapshot { .. })));
}
