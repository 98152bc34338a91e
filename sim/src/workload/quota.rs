//! Fills the store up to its quota, and makes room again when it says that there is none.

use std::time::Duration;

use rand::RngExt;
use reseed_rt::clock;

use super::{
    Answer, Board, Client, Desk, say,
    values::{Keys, Values},
};
use crate::history::{
    Body, Request,
    request::{Alarm, Delete},
};

/// Values as large as this fill quickly.
const FILL_BYTES: u64 = 24_000;
/// Under which everything is that fills.
pub(super) const FILLED: &str = "fill/";
/// What the alarm is called.
const NOSPACE: &str = "nospace";
/// The end of etcd's refusal.
const NO_SPACE: &str = "database space exceeded";
/// Between two looks whether there is room again.
const PAUSE: Duration = Duration::from_millis(700);
/// Writes of one fill, so that a store without a quota does not grow for ever.
const WRITES_MAX: u32 = 60;

#[derive(Debug)]
struct Filler {
    values: Values,
    keys: Keys,
}

/// Fills and empties until the load is over, and leaves the store usable.
pub(super) async fn run(mut desk: Desk) {
    let mut filler = Filler { values: desk.values(), keys: desk.keys(FILLED) };
    let mut client = desk.client();
    while desk.board.is_loading() {
        filler.fill(&mut desk, &mut client).await;
        filler.make_room(&mut desk, &mut client).await;
        clock::sleep(PAUSE).await;
    }
}

/// Deletes, compacts up to where the witness has seen, perhaps defragments, and ends the alarms.
/// Nothing of that needs space.
pub(super) async fn make_room(
    client: &mut Client,
    board: &Board,
    delete: Delete,
    defragments: bool,
) {
    client.ask(delete.into()).await;
    clock::sleep(PAUSE).await;
    let revision = board.witnessed().max(1);
    client.ask(Request::Compact { revision, physical: true }).await;
    if defragments {
        client.ask(Request::Defragment).await;
    }
    lift_alarms(client).await;
}

/// Ends the alarms there are, each by its member: nothing can be written as long as one is raised.
pub(super) async fn lift_alarms(client: &mut Client) {
    let Some(listed) = client.ask(say::alarm("get", NOSPACE, 0)).await.ok() else { return };
    let Body::Alarms { alarms } = listed.body else { return };
    for Alarm { member, .. } in alarms {
        client.ask(say::alarm("deactivate", NOSPACE, member)).await;
    }
}

impl Filler {
    /// Writes until there is no space.
    async fn fill(&mut self, desk: &mut Desk, client: &mut Client) {
        for _ in 0..WRITES_MAX {
            if !desk.board.is_loading() {
                return;
            }
            let key = self.keys.pick(&mut desk.rng);
            let len = desk.rng.random_range(FILL_BYTES / 2..FILL_BYTES);
            let put = say::put(&key, self.values.of_len(len));
            if is_full(client, put.into()).await {
                return;
            }
            desk.think().await;
        }
    }

    async fn make_room(&mut self, desk: &mut Desk, client: &mut Client) {
        let prefix = say::list(self.keys.prefix());
        let all = Delete { key: prefix.key, end: prefix.end, prev_kv: false };
        make_room(client, &desk.board, all, desk.rng.random()).await;
    }
}

/// Sends a write; is there no space for it?
async fn is_full(client: &mut Client, write: Request) -> bool {
    match client.ask(write).await {
        Answer::Fail(error) | Answer::Unknown(error) => error.ends_with(NO_SPACE),
        Answer::Ok(_) => false,
    }
}
