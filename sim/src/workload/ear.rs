//! The client crate with somebody who listens: what its recipes ask and hear goes into the history,
//! as if a client of the simulator's own had asked it.

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reseed_client::{Client as Library, ClientOptions, Error, Observer};

use super::{Desk, Scribe, client::endpoint, refusal, translate::heard};
use crate::history::{OpId, Request, SOME_MEMBER, What};

/// etcd carries out the write that finds the quota exceeded, and then says so.
const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";

/// A client that is not listened to. Each begins with another member.
pub(super) fn library(desk: &Desk) -> Option<Library> {
    let first = desk.scribe.client();
    let endpoints: Vec<String> =
        (0..desk.members).map(|n| endpoint((first + n) % desk.members)).collect();
    let options = ClientOptions {
        request_timeout: Some(desk.load.answer_max),
        dial_timeout: Duration::from_secs(2),
        ..ClientOptions::new(endpoints)
    };
    Library::connect(options).ok()
}

/// A client everything of which is written down.
pub(super) fn heard_library(desk: &Desk) -> Option<Library> {
    let ear = Ear {
        scribe: desk.scribe.clone(),
        member: member(desk),
        open: Mutex::new(BTreeMap::new()),
    };
    Some(library(desk)?.observed(Arc::new(ear)))
}

/// Which member the client asks, which it chooses itself.
pub(super) fn member(desk: &Desk) -> u32 {
    if desk.members == 1 { 0 } else { SOME_MEMBER }
}

/// What an operation that ended in an error has come to.
pub(super) fn failed(op: OpId, request: &Request, error: &Error) -> What {
    let certain = !error.may_have_happened() && error.to_string() != NO_SPACE;
    let error = error.to_string();
    match refusal::has_no_effect(request) || certain {
        true => What::Fail { op, error },
        false => What::Unknown { op, error },
    }
}

#[derive(Debug)]
struct Ear {
    scribe: Scribe,
    member: u32,
    open: Mutex<BTreeMap<OpId, Request>>,
}

impl Observer for Ear {
    fn asked(&self, message: &dyn Any) -> u64 {
        let op = self.scribe.next_op();
        let request = heard::request(message).expect("recipes ask for keys and leases only");
        self.scribe.note(What::Invoke { op, member: self.member, request: request.clone() });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(op, request);
        op
    }

    fn answered(&self, op: u64, outcome: Result<&dyn Any, &Error>) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&op);
        let Some(request) = open else { return };
        self.scribe.note(match outcome {
            Ok(message) => {
                let response = heard::response(message).expect("each request has its answer");
                What::Ok { op, response }
            }
            Err(error) => failed(op, &request, error),
        });
    }
}
