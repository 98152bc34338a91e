//! A snapshot that arrives while its sender comes and goes.

use std::time::Duration;

use reseed_rt::{chan, clock};
use tempfile::TempDir;

use super::super::{BYTES_PER_SEC, CHUNK_BYTES, serve};
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

/// A member's state of several chunks, and its first part, the offer.
async fn large(dir: &TempDir) -> (Arc<State>, Vec<SnapshotPart>) {
    let state = open(dir).state;
    for value in [&[1; 3 * CHUNK_BYTES], &[2; 3 * CHUNK_BYTES]] {
        put(&state, value);
    }
    let parts = serve(Arc::clone(&state), 2, 0).await.expect("a snapshot");
    (state, parts.collect().await)
}

fn offer_in(parts: &[SnapshotPart]) -> &SnapshotOffer {
    let Some(SnapshotPart { part: Some(Part::Offer(offer)) }) = parts.first() else {
        panic!("an offer comes first")
    };
    offer
}

#[tokio::test(start_paused = true)]
async fn what_broke_off_goes_on_where_it_stopped_also_after_a_restart() {
    let (from, to) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let (state, parts) = large(&from).await;
    let db = to.path().join("db");
    let (driver, mut events) = chan::bounded("driver", 1);
    let sender = state.member_id;
    let come = |parts: &[SnapshotPart]| futures::stream::iter(parts.to_vec()).map(Ok);
    let broken = Receiving::new(db.clone()).receive(come(&parts[..4]), sender, &driver).await;
    let held = 3 * CHUNK_BYTES as u64;
    let expected = format!("the snapshot broke off after {held} bytes");
    assert_eq!(broken.expect_err("it is not whole").message(), expected);

    let receiving = Receiving::new(db);
    assert_eq!(receiving.held(offer_in(&parts)).expect("its name is right"), held);
    let rest = [&parts[..1], &parts[4..]].concat();
    tokio::select! {
        biased;
        done = receiving.receive(come(&rest), sender, &driver) => panic!("{done:?}"),
        event = events.recv() => assert!(matches!(event, Some(PeerEvent::Snapshot { .. }))),
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_that_are_damaged_or_out_of_place_are_not_kept() {
    let (from, to) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let (state, parts) = large(&from).await;
    let receiving = Receiving::new(to.path().join("db"));
    let (driver, _events) = chan::bounded("driver", 1);
    let damaged = |change: fn(&mut SnapshotChunk)| {
        let mut parts = parts.clone();
        let Some(Part::Chunk(chunk)) = &mut parts[2].part else { panic!("a chunk") };
        change(chunk);
        futures::stream::iter(parts).map(Ok)
    };
    let size = CHUNK_BYTES;
    for (change, why) in [
        (
            (|chunk| chunk.crc32c ^= 1) as fn(&mut SnapshotChunk),
            format!("the chunk at {size} is damaged"),
        ),
        (|chunk| chunk.offset += 1, format!("a chunk at {}, not {size}", size + 1)),
        (|chunk| chunk.data.clear(), format!("a chunk at {size}, not {size}")),
    ] {
        let refused = receiving.receive(damaged(change), state.member_id, &driver).await;
        assert_eq!(refused.expect_err("it is not right").message(), why);
        let held = receiving.held(offer_in(&parts)).expect("its name is right");
        assert_eq!(held, size as u64, "what came before is");
        remove(&receiving.part(offer_in(&parts)).expect("a name"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_no_faster_than_it_may() {
    let dir = TempDir::new().expect("a directory");
    let began = tokio::time::Instant::now();
    let (_state, parts) = large(&dir).await;
    let bytes = offer_in(&parts).bytes;
    assert!(bytes > 6 * CHUNK_BYTES as u64);
    let least = Duration::from_nanos(bytes * 1_000_000_000 / BYTES_PER_SEC);
    assert!(began.elapsed() >= least, "{:?} for {bytes} bytes", began.elapsed());
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
