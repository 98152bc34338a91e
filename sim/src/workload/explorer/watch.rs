//! One watch of any kind on a stream of its own: opened, asked how far it is, given up.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use rand::RngExt;
use reseed_proto::etcdserverpb::{
    WatchCancelRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    watch_client::WatchClient, watch_request::RequestUnion,
};
use reseed_rt::clock;
use tonic::{Status, Streaming};

use super::super::{
    Desk,
    client::{MESSAGE_BYTES_MAX, connection, options},
    coverage, translate,
    watch::Book,
};
use crate::history::{WatchSpec, WatchStep};

/// How long a message is waited for; a silent server is no failure here.
const PATIENCE: Duration = Duration::from_millis(600);
/// Messages that are waited for.
const MESSAGES_MAX: usize = 4;
/// The watch id of an answer about no watch in particular.
const NO_WATCH: i64 = -1;

/// Watches for `spec` under `number` (0: the server chooses), writes down what comes, and complains
/// if it comes under another number. Whether it must be refused, the checker knows.
pub(super) async fn one(desk: &mut Desk, spec: WatchSpec, number: i64) {
    let member = desk.rng.random_range(0..desk.members.max(1));
    let id = desk.scribe.next_watch();
    let note = |step| desk.scribe.note_watch(member, id, step);
    desk.board.sent(&coverage::of_watch_id(number));
    desk.board.sent(coverage::PROGRESS_REQUEST);
    let mut book = Book::new(id, spec.clone(), true);
    note(WatchStep::Open { spec: spec.clone() });
    let opened = clock::timeout(PATIENCE, open(member, &spec, number)).await;
    let mut messages = match opened {
        Ok(Ok(messages)) => messages,
        Ok(Err(status)) => return note(broken(&status)),
        Err(elapsed) => return note(WatchStep::Broken { error: elapsed.to_string() }),
    };
    for _ in 0..MESSAGES_MAX {
        let message = match clock::timeout(PATIENCE, messages.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return note(WatchStep::Broken { error: "it ended".to_owned() }),
            Ok(Err(status)) => return note(broken(&status)),
            Err(_) => break,
        };
        if let Some(story) = wrong_number(&message, number) {
            desk.board.complain("explore.watch_id", story);
        }
        let step = book.learn(&message);
        let is_over = matches!(step, WatchStep::Canceled { .. });
        note(step);
        if is_over {
            return;
        }
    }
    note(WatchStep::Closed);
}

async fn open(
    member: u32,
    spec: &WatchSpec,
    number: i64,
) -> Result<Streaming<WatchResponse>, Status> {
    let asks = [
        RequestUnion::CreateRequest(translate::create(spec, number)),
        // Of a watch there is none of: it is passed over.
        RequestUnion::CancelRequest(WatchCancelRequest { watch_id: number.wrapping_add(1) }),
        RequestUnion::ProgressRequest(WatchProgressRequest {}),
    ];
    let asks = asks.map(|ask| WatchRequest { request_union: Some(ask) });
    let channel = connection(member, options());
    let mut client = WatchClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(client.watch(stream::iter(asks).chain(stream::pending())).await?.into_inner())
}

fn broken(status: &Status) -> WatchStep {
    WatchStep::Broken { error: format!("{:?}: {}", status.code(), status.message()) }
}

/// What is wrong with the number of an answer: a watch has the one it asked for, and the first of a
/// stream that asks for none has 0. Refusals, and answers about the whole stream, are of no watch.
fn wrong_number(message: &WatchResponse, number: i64) -> Option<String> {
    let said = message.watch_id;
    let is_of_none = message.canceled && message.created
        || !message.created && message.events.is_empty() && !message.canceled;
    let is_right = said == number || said == NO_WATCH && is_of_none;
    (!is_right).then(|| format!("a watch under {number} is answered as {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_of_the_watch_that_was_asked_for() {
        let created = |watch_id| WatchResponse { watch_id, created: true, ..Default::default() };
        let refused = |watch_id| WatchResponse { canceled: true, ..created(watch_id) };
        assert_eq!(wrong_number(&created(7), 7), None);
        assert_eq!(wrong_number(&created(0), 0), None);
        assert_eq!(wrong_number(&refused(-1), 7), None);
        assert_eq!(wrong_number(&WatchResponse { watch_id: -1, ..Default::default() }, 7), None);
        assert!(wrong_number(&created(0), 7).is_some());
        assert!(wrong_number(&created(-1), 7).is_some());
    }
}
