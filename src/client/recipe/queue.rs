//! The queue under a lock or an election: a key per session, oldest first.
//!
//! Keys are `prefix/` and the lease in hexadecimal (etcd's concurrency/key.go, mutex.go); who is
//! before whom is said by create revisions. Each waits for the one right before it only, so that a
//! key that goes wakes one client and not all.

use reseed_planted::{self as planted, Bug};
use reseed_proto::{
    etcdserverpb::{RangeRequest, ResponseOp, TxnResponse, response_op::Response},
    mvccpb::{KeyValue, event::EventType},
};

use super::Session;
use crate::{
    Compare, Delete, Error, Get, Op, Put, Txn, Watch,
    op::{CompareResult, SortOrder, SortTarget},
};

/// A session's place in a queue.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Place {
    /// The key that stands for it.
    pub(super) key: String,
    /// Its create revision: the fencing token.
    pub(super) token: i64,
}

/// What entering found.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entered {
    pub(super) place: Place,
    /// Did the session put its key just now? Otherwise it was there already.
    pub(super) is_new: bool,
    /// Is it the oldest?
    pub(super) is_first: bool,
}

/// Where a session is, as far as it knows.
#[derive(Clone, PartialEq, Debug)]
enum State {
    Out,
    /// The key may be there.
    Entering,
    In(Place),
    /// The key may be gone, now or whenever a lost request is carried out after all: the place is
    /// good for nothing any more.
    Leaving(Place),
}

/// A session's part in a queue: one per session and queue.
#[derive(Debug)]
pub(super) struct Seat {
    session: Session,
    prefix: String,
    state: State,
}

impl Seat {
    pub(super) fn new(session: &Session, name: &str) -> Self {
        Self { session: session.clone(), prefix: prefix(name), state: State::Out }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The place, if there is one to rely on.
    pub(super) fn place(&self) -> Option<&Place> {
        match &self.state {
            State::In(place) => Some(place),
            State::Out | State::Entering | State::Leaving(_) => None,
        }
    }

    /// Holds while the place does.
    pub(super) fn fence(&self) -> Option<Compare> {
        self.place().map(Place::fence)
    }

    /// The place has turned out to be gone.
    pub(super) fn forget(&mut self) {
        self.state = State::Out;
    }

    /// Takes a place, or finds the one the session has.
    pub(super) async fn enter(&mut self, value: &str) -> Result<Entered, Error> {
        if matches!(self.state, State::Leaving(_)) {
            self.leave().await?;
        }
        self.state = State::Entering;
        let entered = enter(&self.session, &self.prefix, value).await?;
        self.state = State::In(entered.place.clone());
        Ok(entered)
    }

    /// Waits until nobody is before the session.
    pub(super) async fn wait_for_turn(&self) -> Result<(), Error> {
        let Some(place) = self.place() else { return Err(Error::SessionLost) };
        wait_for_turn(&self.session, &self.prefix, place).await
    }

    /// Gives the place up if what it was for has failed; passes the outcome on.
    pub(super) async fn keep_if_ok(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        if outcome.is_err() {
            // What this fails to remove goes with the lease.
            self.leave().await.ok();
        }
        outcome
    }

    /// Gives the place up, if there is one. May be asked again after an error.
    pub(super) async fn leave(&mut self) -> Result<(), Error> {
        let place = match std::mem::replace(&mut self.state, State::Entering) {
            State::Out => None,
            State::Entering => find(&self.session, &self.prefix).await?,
            State::In(place) | State::Leaving(place) => Some(place),
        };
        if let Some(place) = place {
            self.state = State::Leaving(place.clone());
            leave(&self.session, &place).await?;
        }
        self.state = State::Out;
        Ok(())
    }
}

impl Place {
    fn fence(&self) -> Compare {
        Compare::create_revision(self.key.clone(), CompareResult::Equal, self.token)
    }
}

/// All keys of a queue begin with this.
pub(super) fn prefix(name: &str) -> String {
    format!("{name}/")
}

/// The key of a session's place.
fn key(prefix: &str, lease: i64) -> String {
    format!("{prefix}{lease:x}")
}

/// The oldest key of a queue.
pub(super) fn first(prefix: &str) -> Get {
    Get::prefix(prefix.to_owned()).sort(SortTarget::Create, SortOrder::Ascend).limit(1)
}

/// The youngest key of a queue that is older than `token`.
fn right_before(prefix: &str, token: i64) -> Get {
    let older = Get::prefix(prefix.to_owned()).create_revisions(0, token - 1);
    older.sort(SortTarget::Create, SortOrder::Descend).limit(1)
}

fn entering(prefix: &str, key: &str, value: &str, lease: i64) -> Txn {
    let put = Put::new(key.to_owned(), value.to_owned()).lease(lease);
    Txn::new()
        .when([Compare::create_revision(key.to_owned(), CompareResult::Equal, 0)])
        .then([Op::from(put), Op::from(first(prefix))])
        .or_else([Op::from(Get::key(key.to_owned())), Op::from(first(prefix))])
}

fn entered(key: String, answer: &TxnResponse) -> Option<Entered> {
    let is_new = answer.succeeded;
    let own = pairs(answer.responses.first()).first();
    let token = match is_new {
        true => answer.header?.revision,
        false => own?.create_revision,
    };
    let first = pairs(answer.responses.get(1)).first()?;
    let is_first = first.create_revision == token;
    Some(Entered { place: Place { key, token }, is_new, is_first })
}

fn pairs(step: Option<&ResponseOp>) -> &[KeyValue] {
    match step.and_then(|step| step.response.as_ref()) {
        Some(Response::ResponseRange(range)) => &range.kvs,
        _ => &[],
    }
}

async fn enter(session: &Session, prefix: &str, value: &str) -> Result<Entered, Error> {
    let (client, key) = (session.client(), key(prefix, session.lease()));
    let txn = entering(prefix, &key, value, session.lease());
    match session.guard(client.txn(txn)).await {
        Ok(answer) => entered(key, &answer).ok_or_else(nonsense),
        Err(error) if error.may_have_happened() => {
            // Perhaps it has happened: then the key is there.
            let found = read_back(session, &key, &error).await?;
            let token = found.create_revision;
            let first = session.guard(client.get(first(prefix))).await?;
            let is_first = first.kvs.first().is_some_and(|kv| kv.create_revision == token);
            Ok(Entered { place: Place { key, token }, is_new: false, is_first })
        }
        Err(error) => Err(error),
    }
}

async fn read_back(session: &Session, key: &str, why: &Error) -> Result<KeyValue, Error> {
    let request = RangeRequest::from(Get::key(key.to_owned()));
    let answer = session.guard(session.client().get(request)).await?;
    answer.kvs.into_iter().next().ok_or_else(|| why.clone())
}

/// Waits until nobody is before `place`, then makes sure it is still there: the lease may have
/// ended meanwhile (etcd #11408).
async fn wait_for_turn(session: &Session, prefix: &str, place: &Place) -> Result<(), Error> {
    session.guard(pass_all_before(session, prefix, place)).await?;
    let own = session.guard(session.client().get(Get::key(place.key.clone()))).await?;
    match own.kvs.first().is_some_and(|kv| kv.create_revision == place.token) {
        true if session.is_alive() => Ok(()),
        _ => Err(Error::SessionLost),
    }
}

async fn pass_all_before(session: &Session, prefix: &str, place: &Place) -> Result<(), Error> {
    loop {
        let found = session.client().get(right_before(prefix, place.token)).await?;
        let Some(before) = found.kvs.into_iter().next() else { return Ok(()) };
        let from = found.header.unwrap_or_default().revision + 1;
        match until_deleted(session, before.key, from).await {
            Ok(()) if planted::on(Bug::LockWaitsForOneOnly) => return Ok(()),
            // What was compacted is read again instead.
            Ok(()) | Err(Error::WatchCompacted { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

async fn until_deleted(session: &Session, key: bytes::Bytes, from: i64) -> Result<(), Error> {
    let watch = Watch::key(key).start_revision(from).no_puts();
    let mut watcher = session.client().watch(watch).await?;
    while let Some(batch) = watcher.next().await {
        if batch?.events.iter().any(|event| event.r#type() == EventType::Delete) {
            return Ok(());
        }
    }
    Err(Error::Closed)
}

/// The place the session has, if any.
async fn find(session: &Session, prefix: &str) -> Result<Option<Place>, Error> {
    let key = key(prefix, session.lease());
    let own = session.client().get(Get::key(key.clone())).await?.kvs.into_iter().next();
    Ok(own.map(|kv| Place { key, token: kv.create_revision }))
}

/// Deletes a place's key, if it is still there.
async fn leave(session: &Session, place: &Place) -> Result<(), Error> {
    let delete = Delete::key(place.key.clone());
    let txn = Txn::new().when([place.fence()]).then([delete]);
    match session.client().txn(txn).await {
        Ok(_) => Ok(()),
        Err(error) if error.may_have_happened() => {
            let own = session.client().get(Get::key(place.key.clone())).await?;
            let stays = own.kvs.first().is_some_and(|kv| kv.create_revision == place.token);
            if stays { Err(error) } else { Ok(()) }
        }
        Err(error) => Err(error),
    }
}

/// An answer that no server of etcd's API gives.
fn nonsense() -> Error {
    let message = "the answer to a transaction lacks what it asked for".to_owned();
    Error::Status { code: tonic::Code::Internal, message }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
