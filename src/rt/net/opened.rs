//! A connection that has said something: its first bytes, then the rest.
//!
//! Which protocol a client speaks shows in its first bytes, and hyper waits for them without a
//! limit: a client that connects and is silent, or stops inside HTTP/2's preface, would keep its
//! place for ever. So the first bytes are awaited here, within a limit, and then read again.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::{
    Stream,
    authority::{Authority, Passed},
    gather::Gather,
};
use crate::clock;

/// What a client of HTTP/2 says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes looked at at once.
const LOOKED_AT_BYTES: usize = 4096;

/// A stream whose first bytes have been read, and are read again.
#[derive(Debug)]
pub(super) struct Opened {
    first: Bytes,
    /// What HTTP/2 clients say is looked at, until it need not be.
    authority: Option<Authority>,
    stream: Gather<Stream>,
    traffic: Option<Arc<Traffic>>,
}

/// Bytes that the connections of a server have carried since it began, of all of them.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    /// Bytes that clients sent.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes that they were sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

fn add(total: impl Fn(&Traffic) -> &AtomicU64, traffic: Option<&Arc<Traffic>>, bytes: usize) {
    if let Some(traffic) = traffic {
        total(traffic).fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Opened {
    /// Waits until the client has sent HTTP/2's preface, or something else, or nothing more.
    ///
    /// # Errors
    /// `TimedOut` after `limit`; that of the stream.
    pub(super) async fn after(
        mut stream: Stream,
        limit: Duration,
        traffic: Option<Arc<Traffic>>,
    ) -> io::Result<Self> {
        let mut first = BytesMut::with_capacity(1024);
        let reading = async {
            while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
                if stream.read_buf(&mut first).await? == 0 {
                    break;
                }
            }
            io::Result::Ok(())
        };
        clock::timeout(limit, reading)
            .await
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))?;
        add(|traffic| &traffic.received, traffic.as_ref(), first.len());
        let mut opened =
            Self { first: first.freeze(), authority: None, stream: Gather::new(stream), traffic };
        if opened.first.starts_with(PREFACE) {
            let behind = opened.first.split_off(PREFACE.len());
            opened.authority = Some(Authority::default());
            opened.first = [PREFACE, &opened.look_at(&behind)].concat().into();
        }
        Ok(opened)
    }
}

impl Opened {
    fn poll_counted(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        let bytes = into.filled().len() - before;
        add(|traffic| &traffic.received, self.traffic.as_ref(), bytes);
        read
    }

    /// What h2 sees of `arrived`.
    fn look_at(&mut self, arrived: &[u8]) -> Bytes {
        let Some(authority) = &mut self.authority else { return Bytes::copy_from_slice(arrived) };
        match authority.pass(arrived) {
            Passed::Some(passed) => passed,
            Passed::Last(passed) => {
                self.authority = None;
                passed
            }
        }
    }

    fn count_sent(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            add(|traffic| &traffic.sent, self.traffic.as_ref(), *bytes);
        }
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.first.is_empty() {
            if self.authority.is_none() {
                return self.poll_counted(cx, into);
            }
            let mut arrived = [0; LOOKED_AT_BYTES];
            let mut arrived = ReadBuf::new(&mut arrived);
            ready!(self.poll_counted(cx, &mut arrived))?;
            self.first = match arrived.filled() {
                [] => self.authority.take().unwrap_or_default().end(),
                arrived => self.look_at(arrived),
            };
        }
        let n = self.first.len().min(into.remaining());
        into.put_slice(&self.first[..n]);
        self.first.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, from);
        self.count_sent(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
