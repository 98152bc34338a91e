//! The sockets of `rt::net` over the simulated network, and the task that moves time on for it.
//!
//! A socket that is dropped closes; one whose machine crashed does nothing, because the crash
//! already decided what its peer hears.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use madsim::time;
use reseed_rt::sim::{Acceptor, Duplex};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    net::{ConnId, HostId, Network, Side},
    room::{Inner, lock},
};

/// Listens on the network.
pub(super) fn bind(
    room: Arc<Inner>,
    host: HostId,
    host_port: &str,
) -> io::Result<Box<dyn Acceptor>> {
    let mut network = lock(&room.network);
    let wanted = network.resolve(host_port)?;
    let (address, id) = network.listen(host, wanted)?;
    drop(network);
    Ok(Box::new(SimListener { room, address, id }))
}

/// Connects over the network.
pub(super) fn connect(
    room: Arc<Inner>,
    host: HostId,
    host_port: String,
) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
    Box::pin(async move {
        start_pump(&room);
        let stream = {
            let now = room.time.elapsed();
            let mut network = lock(&room.network);
            let to = network.resolve(&host_port)?;
            let conn = network.connect(host, to, now)?;
            SimStream { room: room.clone(), conn, side: 0 }
        };
        room.kick.notify_one();
        std::future::poll_fn(|cx| lock(&room.network).poll_connected(stream.conn, cx)).await?;
        Ok(Box::new(stream) as Box<dyn Duplex>)
    })
}

/// Starts the task that runs what is due, once per simulation, on a node that never dies.
fn start_pump(room: &Arc<Inner>) {
    if room.pumping.swap(true, Ordering::Relaxed) {
        return;
    }
    let pumped = room.clone();
    drop(room.spawner.spawn(async move {
        loop {
            let due = lock(&pumped.network).next_due();
            match due {
                None => pumped.kick.notified().await,
                Some(due) => {
                    let wait = due.saturating_sub(pumped.time.elapsed());
                    if !wait.is_zero() {
                        tokio::select! {
                            biased;
                            () = pumped.kick.notified() => continue,
                            () = time::sleep(wait) => {}
                        }
                    }
                }
            }
            pumped.run_due();
        }
    }));
}

impl Inner {
    fn run_due(&self) {
        let mut network = lock(&self.network);
        network.run_due(self.time.elapsed());
        let delivered = network.take_delivered();
        drop(network);
        for one in delivered {
            let place = format!("{} {}", one.conn, one.from);
            let data = one.data.unwrap_or_default();
            self.trace("segment", 0, &[place.as_bytes(), &data]);
        }
    }

    /// Uses the network, and tells the pump if something is due sooner than it thinks.
    fn touch<T>(&self, f: impl FnOnce(&mut Network) -> T) -> T {
        let mut network = lock(&self.network);
        let before = network.next_due();
        let result = f(&mut network);
        let after = network.next_due();
        drop(network);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.kick.notify_one();
        }
        result
    }
}

struct SimListener {
    room: Arc<Inner>,
    address: SocketAddr,
    id: u64,
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimListener({})", self.address)
    }
}

impl Acceptor for SimListener {
    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Duplex>, SocketAddr)>> {
        let mut network = lock(&self.room.network);
        let (conn, peer) = ready!(network.poll_accept(self.address, self.id, cx))?;
        let stream = SimStream { room: self.room.clone(), conn, side: 1 };
        Poll::Ready(Ok((Box::new(stream), peer)))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let now = self.room.time.elapsed();
        self.room.touch(|network| network.unlisten(self.address, self.id, now));
    }
}

struct SimStream {
    room: Arc<Inner>,
    conn: ConnId,
    side: Side,
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStream({}.{})", self.conn, self.side)
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let limit = into.remaining();
        let read = lock(&self.room.network).poll_read(self.conn, self.side, limit, cx);
        into.put_slice(&ready!(read)?);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let now = self.room.time.elapsed();
        self.room.touch(|network| network.poll_write(self.conn, self.side, from, (cx, now)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.room.time.elapsed();
        self.room.touch(|network| network.shutdown(self.conn, self.side, now));
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let now = self.room.time.elapsed();
        self.room.touch(|network| network.close(self.conn, self.side, now));
    }
}
