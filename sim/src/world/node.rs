//! A machine with a program on it.
//!
//! The program is a future made anew at each boot. It is started once, dies with its machine, and
//! is started again; it never ends by itself as far as madsim is concerned, because that would
//! take its tasks down without telling the plugins.

use std::{future::Future, net::IpAddr, sync::Arc};

use madsim::{
    runtime::{Handle, NodeHandle},
    task::{JoinHandle, NodeId},
};

use super::{
    disk::POWER_FAILURE,
    net::Crash,
    room::{Room, host},
};

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
        let program = Arc::new(program);
        let init = move || {
            let program = program.clone();
            async move {
                let host = host(madsim::plugin::node());
                Room::current().with_network(|network| network.boot(host));
                reseed_rt::sim::mortal(program()).await;
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
        Room::current().set_next_crash(self.id(), how);
        Handle::current().kill(self.id());
    }

    /// Boots it again after a kill.
    pub fn restart(&self) {
        Handle::current().restart(self.id());
    }

    /// Is it down, by a kill or a power failure of its own?
    #[must_use]
    pub fn is_down(&self) -> bool {
        Handle::current().is_exit(self.id())
    }

    /// Stops its tasks where they are; time goes on without it.
    pub fn pause(&self) {
        Handle::current().pause(self.id());
    }

    /// Lets its tasks go on.
    pub fn resume(&self) {
        Handle::current().resume(self.id());
    }
}
