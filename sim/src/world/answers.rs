//! What `rt` asks of the world, answered for the node whose task asks.
//!
//! No state: everything is in the [`Room`] of the running simulation.

use std::{io, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use madsim::{plugin, task::NodeId};
use rand::RngExt;
use reseed_rt::{
    buggify::Point,
    disk::Disk,
    sim::{Acceptor, Duplex, Life, World},
};

use super::{
    clock::Clock,
    disk::NodeDisk,
    net_conn,
    processor::{Processor, Turn},
    room::{Chance, Inner, Room, host, lock, stream},
};

/// Answers `rt` for the node whose task asks.
pub struct SimWorld;

fn current() -> (Arc<Inner>, NodeId) {
    (plugin::simulator::<Room>().0.clone(), plugin::node())
}

impl SimWorld {
    /// The node's clock, which it is looking at.
    fn clock(room: &Inner, node: NodeId) -> Clock {
        let mut chance = lock(&room.chance);
        let Chance { clocks, clock_faults, tally, .. } = &mut *chance;
        if !clock_faults.is_empty() {
            clock_faults.remove(&node).into_iter().flatten().for_each(|token| tally.bite(token));
        }
        clocks.get(&node).copied().unwrap_or_default()
    }
}

impl World for SimWorld {
    fn mono(&self) -> Duration {
        let (room, node) = current();
        Self::clock(&room, node).mono(room.time.elapsed())
    }

    fn wall(&self) -> Duration {
        let (room, node) = current();
        let elapsed = room.time.elapsed();
        let now = room.time.now_time().duration_since(std::time::UNIX_EPOCH);
        let base = now.unwrap_or_default().saturating_sub(elapsed);
        Self::clock(&room, node).wall(base, elapsed)
    }

    fn true_duration(&self, local: Duration) -> Duration {
        let (room, node) = current();
        Self::clock(&room, node).true_duration(local)
    }

    fn life(&self) -> Life {
        let (room, node) = current();
        let mut chance = lock(&room.chance);
        let Chance { lives, processors, .. } = &mut *chance;
        let life = lives.entry(node).or_insert_with(|| {
            let life = Life::default();
            life.hook(processors.get(&node).is_some_and(Processor::is_troubled));
            life
        });
        life.clone()
    }

    fn processor_wait(&self) -> Duration {
        let (room, node) = current();
        let now = room.time.elapsed();
        let mut chance = lock(&room.chance);
        let Chance { processors, tally, lives, .. } = &mut *chance;
        let processor = processors.entry(node).or_default();
        let turn = processor.turn(now, tally);
        if !processor.is_troubled()
            && let Some(life) = lives.get(&node)
        {
            life.hook(false);
        }
        drop(chance);
        match turn {
            Turn::After(wait) => wait,
            Turn::Crashes(how) => room.crash(node, how),
        }
    }

    fn seed(&self, label: &'static str) -> [u8; 32] {
        let (room, node) = current();
        let mut chance = lock(&room.chance);
        let epoch = chance.epochs.get(&node).copied().unwrap_or(0);
        let count = chance.forks.entry((node, epoch, label)).or_default();
        *count += 1;
        let name = format!("{}/{epoch}/{label}/{count}", host(node));
        chance.labels.insert(name.clone());
        stream(chance.seed, &name).random()
    }

    fn draw(&self) -> u64 {
        let (room, node) = current();
        let mut chance = lock(&room.chance);
        let Chance { seed, draws, .. } = &mut *chance;
        let new = || stream(*seed, &format!("draws/{}", host(node)));
        draws.entry(node).or_insert_with(new).random()
    }

    fn buggify(&self, point: Point) -> bool {
        let (room, _) = current();
        let mut chance = lock(&room.chance);
        if !chance.buggify {
            return false;
        }
        // A quarter of the points is armed per run, and fires a quarter of the time.
        let Chance { seed, armed, .. } = &mut *chance;
        let arm = || {
            let mut own = stream(*seed, point.name());
            own.random_ratio(1, 4).then_some(own)
        };
        let armed = armed.entry(point.name()).or_insert_with(arm);
        let fires = armed.as_mut().is_some_and(|own| own.random_ratio(1, 4));
        chance.tally.count("buggify", u64::from(fires));
        fires
    }

    fn disk(&self) -> Arc<dyn Disk> {
        let (room, node) = current();
        Arc::new(NodeDisk::of(room, node))
    }

    fn disk_settles(&self) -> Duration {
        let (room, node) = current();
        let now = room.time.elapsed();
        lock(&room.drives).settle(node, now)
    }

    fn disk_settled(&self) {
        let (room, node) = current();
        let now = room.time.elapsed();
        lock(&room.drives).end_syncs(node, now);
    }

    fn bind(&self, host_port: &str) -> io::Result<Box<dyn Acceptor>> {
        let (room, node) = current();
        net_conn::bind(room, host(node), host_port)
    }

    fn connect(&self, host_port: &str) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        let (room, node) = current();
        net_conn::connect(room, host(node), host_port.to_owned())
    }

    fn stop_requested(&self) -> BoxFuture<'static, &'static str> {
        let (room, node) = current();
        let stop = lock(&room.chance).stops.entry(node).or_default().clone();
        Box::pin(async move {
            stop.cancelled_owned().await;
            "SIGTERM"
        })
    }
}
