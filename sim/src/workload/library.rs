//! What `register` does, through the repository's own client, which retries and fails over.
//!
//! The client must not hide what it does not know: an operation it calls refused had no effect,
//! however often it was sent.

use std::time::Duration;

use reseed_client::{Client as Library, ClientOptions, Error};

use super::{
    Desk, Part,
    client::endpoint,
    refusal,
    register::Register,
    translate::{self, Wire},
};
use crate::history::{Request, Response, What};

/// etcd carries out the write that finds the quota exceeded, and then says so.
const NO_SPACE: &str = "etcdserver: mvcc: database space exceeded";

/// Asks until the load is over.
pub(super) async fn run(mut desk: Desk) {
    let mut register = Register::new(&desk);
    let endpoints: Vec<String> = (0..desk.members).map(endpoint).collect();
    let options = ClientOptions {
        request_timeout: Some(desk.load.answer_max),
        dial_timeout: Duration::from_secs(2),
        ..ClientOptions::new(endpoints)
    };
    let Ok(library) = Library::connect(options) else { return };
    while desk.board.is_loading() {
        let request = register.choose(&mut desk.rng);
        let op = desk.scribe.next_op();
        // The client chooses the member itself.
        desk.scribe.note(What::Invoke { op, member: 0, request: request.clone() });
        let what = match send(&library, &request).await {
            Ok(response) => {
                register.learn(&request, &response);
                What::Ok { op, response }
            }
            Err(error) if refusal::has_no_effect(&request) || is_certain(&error) => {
                What::Fail { op, error: error.to_string() }
            }
            Err(error) => What::Unknown { op, error: error.to_string() },
        };
        desk.scribe.note(what);
        desk.think().await;
    }
}

fn is_certain(error: &Error) -> bool {
    !error.may_have_happened() && error.to_string() != NO_SPACE
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
