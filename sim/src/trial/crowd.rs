//! The clients of a trial: a machine each, and whoever takes the place of one that is gone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use madsim::{task::JoinHandle, time};

use super::address;
use crate::{
    history::Recorder,
    plan::{Load, Plan, Role},
    workload::{self, Board, Desk, Scribe, witness},
    world::{Room, node::Machine},
};

/// The group of clients' addresses.
const GROUP: u8 = 1;
/// The group of the addresses of those who belong to the trial.
const STAFF_GROUP: u8 = 2;
/// Successors of a client have its number and this many more each.
const SUCCESSORS_FROM: u32 = 1000;
/// Numbers of those who belong to the trial.
const STAFF_FROM: u32 = 1_000_000;

/// All clients; clones are the same.
#[derive(Clone)]
pub(super) struct Crowd {
    room: Room,
    recorder: Recorder,
    board: Board,
    plan: Arc<Plan>,
    load: Arc<Load>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Who is client so-and-so now.
    holders: BTreeMap<u32, u32>,
    /// Roles that end with the load.
    playing: Vec<JoinHandle<()>>,
    staff: u32,
}

impl Crowd {
    pub(super) fn new(room: Room, recorder: Recorder, board: Board, plan: Arc<Plan>) -> Self {
        let load = Arc::new(plan.load.clone());
        Self { room, recorder, board, plan, load, state: Arc::default() }
    }

    /// Starts the witness and every client of the plan; their machines by their numbers, from 0.
    pub(super) fn begin(&self) -> BTreeMap<u32, Machine> {
        let (machine, desk) = self.staff("witness");
        drop(machine.spawn(witness::run(desk)));
        let numbers = 0..u32::try_from(self.plan.clients.len()).unwrap_or(u32::MAX);
        numbers.map(|number| (number, self.play(number, number))).collect()
    }

    /// Another machine takes the place of client `number`, which is gone for ever.
    pub(super) fn replace(&self, number: u32) -> Machine {
        let gone = self.with(|state| state.holders.get(&number).copied().unwrap_or(number));
        self.board.client_is_gone(scribe_number(gone));
        self.play(number, gone + SUCCESSORS_FROM)
    }

    /// Machine and desk of somebody who belongs to the trial and not to the plan.
    pub(super) fn staff(&self, name: &str) -> (Machine, Desk) {
        let number = self.with(|state| {
            state.staff += 1;
            state.staff
        });
        let machine = Machine::idle(name, address(STAFF_GROUP, number));
        (machine, self.desk(STAFF_FROM + number, name))
    }

    /// The notice board.
    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    /// The plan.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Waits for the clients that end with the load, for `limit` at most; did they?
    pub(super) async fn wait_until_done(&self, limit: Duration) -> bool {
        let playing = self.with(|state| std::mem::take(&mut state.playing));
        let all = futures::future::join_all(playing);
        time::timeout(limit, all).await.is_ok()
    }

    fn play(&self, number: u32, holder: u32) -> Machine {
        let role = self.plan.clients[number as usize];
        let name = format!("client-{holder}");
        let machine = Machine::idle(&name, address(GROUP, holder + 1));
        let playing = machine.spawn(workload::play(role, self.desk(scribe_number(holder), &name)));
        self.with(|state| {
            state.holders.insert(number, holder);
            if ends_with_the_load(role) {
                state.playing.push(playing);
            }
        });
        machine
    }

    fn desk(&self, number: u32, name: &str) -> Desk {
        let scene = Arc::new(self.room.clone());
        Desk {
            scribe: Scribe::new(self.recorder.clone(), scene, number),
            board: self.board.clone(),
            rng: self.room.stream(name),
            load: self.load.clone(),
            members: self.plan.members.max(1),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The history's name for a client; 0 stands for nobody.
fn scribe_number(holder: u32) -> u32 {
    holder + 1
}

fn ends_with_the_load(role: Role) -> bool {
    !workload::goes_on(role)
}
