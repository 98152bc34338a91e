//! Listeners and streams of either mode, and what hyper needs to run on them.
//!
//! TCP only. Nagle's algorithm is off on every stream: requests here are small and waited for.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::imp;

/// A listening socket.
#[derive(Debug)]
pub struct Listener(imp::Listener);

impl Listener {
    /// Listens on `host:port`; port 0 lets the system choose.
    ///
    /// # Errors
    /// `AddrInUse`, or that the name or port is no good.
    pub async fn bind(host_port: &str) -> io::Result<Self> {
        imp::Listener::bind(host_port).await.map(Self)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection. Cancel-safe.
    ///
    /// # Errors
    /// Of one connection (it broke before it was taken) or of the process (out of files): none
    /// ends the listener, so the caller may wait a little and call again.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((Stream(stream), peer))
    }
}

/// A connected byte stream.
#[derive(Debug)]
pub struct Stream(imp::Stream);

impl Stream {
    /// The same stream, told of readiness by the runtime this is called in.
    pub(super) fn rehome(self) -> io::Result<Self> {
        imp::rehome(self.0).map(Self)
    }
}

/// Connects to `host:port`, resolving the name.
///
/// # Errors
/// That of the last address tried.
pub async fn connect(host_port: &str) -> io::Result<Stream> {
    imp::connect(host_port).await.map(Stream)
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// Runs hyper's own tasks as ours.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exec;

impl<F> hyper::rt::Executor<F> for Exec
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    /// Polls once where it stands, and makes a task only of what is not over by then: a request
    /// that needs not wait is answered with no task, no wake-up and no change of thread, and all
    /// answers of one connection's turn leave in one write. A task polls again first thing, so
    /// nothing is lost by the waker that does nothing.
    fn execute(&self, work: F) {
        let mut work = Box::pin(work);
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            drop(crate::task::spawn("hyper", work));
        }
    }
}

/// Gives hyper our timers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

pin_project! {
    struct TimerSleep {
        #[pin]
        inner: imp::Sleep,
    }
}

impl Future for TimerSleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().inner.poll(cx)
    }
}

impl hyper::rt::Sleep for TimerSleep {}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(TimerSleep { inner: imp::sleep(duration) })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}
