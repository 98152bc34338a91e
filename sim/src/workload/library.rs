//! What `register` does, and a watch of everything, through the repository's own client, which
//! retries, fails over, and opens broken streams again.
//!
//! The client must not hide what it does not know: an operation it calls refused had no effect,
//! however often it was sent. A watch must miss nothing, however often its stream broke and however
//! long its owner slept.

use std::time::Duration;

use futures::future;
use rand::RngExt;
use reseed_client::{Client as Library, Error, Watcher};
use reseed_rt::clock;

use super::{
    Desk, Part,
    ear::{self, member},
    register::Register,
    translate::{self, Wire},
};
use crate::history::{Change, Request, Response, WatchId, WatchSpec, WatchStep, What};

/// Between two watches, and between two looks whether the load is over.
const PAUSE: Duration = Duration::from_millis(300);
/// A watcher's owner sleeps up to this long, now and then.
const NAP_MAX: Duration = Duration::from_secs(4);

/// Asks and watches until the load is over.
pub(super) async fn run(desk: Desk) {
    let Some(library) = ear::library(&desk) else { return };
    future::join(ask(&library, desk.clone()), watch(&library, desk)).await;
}

async fn ask(library: &Library, mut desk: Desk) {
    let mut register = Register::new(&desk);
    while desk.board.is_loading() {
        let request = register.choose(&mut desk.rng);
        let op = desk.scribe.next_op();
        let member = member(&desk);
        desk.scribe.note(What::Invoke { op, member, request: request.clone() });
        let what = match send(library, &request).await {
            Ok(response) => {
                register.learn(&request, &response);
                What::Ok { op, response }
            }
            Err(error) => ear::failed(op, &request, &error),
        };
        desk.scribe.note(what);
        desk.think().await;
    }
}

/// Watches everything from now on; again from where it was, if the library gives up.
async fn watch(library: &Library, mut desk: Desk) {
    let (key, end) = translate::EVERYTHING;
    let mut spec = WatchSpec { key: key.into(), end: end.into(), ..WatchSpec::default() };
    let mut id = desk.scribe.next_watch();
    while desk.board.is_loading() {
        desk.scribe.note_watch(member(&desk), id, WatchStep::Open { spec: spec.clone() });
        let error = match library.watch(translate::create(&spec, 0)).await {
            Ok(watcher) => match follow(watcher, id, &mut spec.start_revision, &mut desk).await {
                Some(error) => error,
                None => break,
            },
            Err(error) => error,
        };
        let step = match error {
            Error::WatchCompacted { compact_revision } => {
                spec.start_revision = compact_revision;
                WatchStep::Canceled { compact_revision, reason: String::new() }
            }
            error => WatchStep::Broken { error: error.to_string() },
        };
        let is_over = matches!(step, WatchStep::Canceled { .. });
        desk.scribe.note_watch(member(&desk), id, step);
        if is_over {
            id = desk.scribe.next_watch();
        }
        clock::sleep(PAUSE).await;
    }
    desk.scribe.note_watch(member(&desk), id, WatchStep::Closed);
}

/// Writes down what a watcher gets, and keeps `next` up to date, until it is over or the load is.
async fn follow(
    mut watcher: Watcher,
    id: WatchId,
    next: &mut i64,
    desk: &mut Desk,
) -> Option<Error> {
    let revision = watcher.created().revision;
    desk.scribe.note_watch(member(desk), id, WatchStep::Created { revision });
    *next = if *next == 0 { revision + 1 } else { *next };
    while desk.board.is_loading() {
        let batch = match clock::timeout(PAUSE, watcher.next()).await {
            Ok(Some(Ok(batch))) => batch,
            Ok(Some(Err(error))) => return Some(error),
            Ok(None) => return Some(Error::Closed),
            Err(_) => continue,
        };
        let revision = batch.header.revision;
        let changes: Vec<Change> = batch.events.iter().filter_map(translate::change).collect();
        let step = match changes.last() {
            Some(last) => {
                *next = last.revision + 1;
                WatchStep::Events { revision, changes, fragment: false }
            }
            None => WatchStep::Progress { revision },
        };
        desk.scribe.note_watch(member(desk), id, step);
        if desk.rng.random_ratio(1, 50) {
            clock::sleep(NAP_MAX.mul_f64(desk.rng.random())).await;
        }
    }
    None
}

async fn send(library: &Library, request: &Request) -> Result<Response, Error> {
    match translate::wire(request) {
        Wire::Range(ask) => Ok(translate::range(&library.get(ask).await?)),
        Wire::Put(ask) => Ok(translate::put(&library.put(ask).await?)),
        Wire::Delete(ask) => Ok(translate::deletion(&library.delete(ask).await?)),
        Wire::Txn(ask) => Ok(translate::txn_answer(&library.txn(ask).await?)),
        other => unreachable!("a register does not ask for {other:?}"),
    }
}
