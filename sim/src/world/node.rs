//! A machine with a program on it.
//!
//! The program is a future made anew at each boot. It is started once, dies with its machine, and
//! is started again; it never ends by itself as far as madsim is concerned, because that would
//! take its tasks down without telling the plugins. A program that does end leaves its machine
//! idle, or, on a supervised machine, is started again after some seconds, as a service manager
//! does.

use std::{future::Future, net::IpAddr, ops::Range, sync::Arc, time::Duration};

use madsim::{
    runtime::{Handle, NodeHandle},
    task::{JoinHandle, NodeId},
};

use rand::RngExt;

use super::{
    disk::POWER_FAILURE,
    net::Crash,
    room::{Room, Step, host},
};

/// A program that ended by itself is started again after so long.
const RESTART: Range<Duration> = Duration::from_secs(1)..Duration::from_secs(5);

/// A machine in the room.
#[derive(Clone)]
pub struct Machine {
    handle: NodeHandle,
    name: Arc<str>,
}

impl Machine {
    /// Sets up a machine called `name`, reachable under that name and `ip`, that runs `program`
    /// whenever it boots, beginning now.
    pub fn boot<F>(name: &str, ip: IpAddr, program: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::set_up(name, ip, program, |_, _| std::future::pending())
    }

    /// As [`Machine::boot`], but a program that ends without having been asked to is started again.
    pub fn supervised<F>(
        name: &str,
        ip: IpAddr,
        program: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::set_up(name, ip, program, start_again)
    }

    /// Sets up a machine whose program is followed by `then`, given the node and its epoch.
    fn set_up<F, G>(
        name: &str,
        ip: IpAddr,
        program: impl Fn() -> F + Send + Sync + 'static,
        then: fn(NodeId, u64) -> G,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        G: Future<Output = ()> + Send + 'static,
    {
        let program = Arc::new(program);
        let init = move || {
            let program = program.clone();
            async move {
                let (room, node) = (Room::current(), madsim::plugin::node());
                room.0.boots(node);
                reseed_rt::sim::mortal(program()).await;
                room.0.trace("ended", host(node), &[]);
                room.set_ended(node);
                drop(room.0.spawner.spawn(then(node, room.crashes(node))));
                std::future::pending::<()>().await;
            }
        };
        let handle = Handle::current()
            .create_node()
            .name(name)
            .restart_on_panic_matching(POWER_FAILURE)
            .init(init)
            .build();
        let machine = Self { handle, name: name.into() };
        Room::current().with_network(|network| {
            network.add_host(machine.host(), name, ip);
            network.boot(machine.host());
        });
        machine
    }

    /// Sets up a machine with no program of its own.
    #[must_use]
    pub fn idle(name: &str, ip: IpAddr) -> Self {
        Self::boot(name, ip, std::future::pending)
    }

    /// Runs a task on the machine; it dies with it.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(task)
    }

    /// madsim's name for it.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.handle.id()
    }

    /// The network's name for it.
    #[must_use]
    pub fn host(&self) -> u64 {
        host(self.id())
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes it down; it stays down until [`Machine::restart`].
    pub fn kill(&self, how: Crash) {
        let room = Room::current();
        room.set_next_crash(self.id(), how);
        // Before madsim drops tasks that stand still: their destructors do not run either.
        room.0.end_life(self.id());
        Handle::current().kill(self.id());
    }

    /// Boots it again after a kill, unless somebody else has done so, or it is about to by itself.
    pub fn restart(&self) {
        if self.is_down() && !Room::current().boots_by_itself(self.id()) {
            Handle::current().restart(self.id());
        }
    }

    /// Is it down, by a kill or a power failure of its own?
    #[must_use]
    pub fn is_down(&self) -> bool {
        Handle::current().is_exit(self.id())
    }

    /// Is its program running?
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.is_down() && !Room::current().has_ended(self.id())
    }

    /// Stops its tasks where they are; time goes on without it.
    pub fn pause(&self) {
        Handle::current().pause(self.id());
        Room::current().0.observe(self.id(), Step::Paused);
    }

    /// Lets its tasks go on.
    pub fn resume(&self) {
        Handle::current().resume(self.id());
        Room::current().0.observe(self.id(), Step::Resumed);
    }
}

/// Starts the program of a node again some seconds after it ended, unless somebody else has done
/// so by then or had asked it to stop.
async fn start_again(node: NodeId, epoch: u64) {
    let room = Room::current();
    if room.is_stop_requested(node) {
        return;
    }
    let name = format!("start again/{}/{epoch}", host(node));
    let pause = room.stream(&name).random_range(RESTART);
    madsim::time::sleep(pause).await;
    if room.crashes(node) == epoch {
        room.set_next_crash(node, Crash::Process);
        Handle::current().kill(node);
        Handle::current().restart(node);
    }
}
