//! Small writes leave together.
//!
//! h2 flushes the socket after every frame of data that it does not copy into its own buffer: from
//! 256 bytes on where the socket takes vectored writes, from 1 KiB where it does not. A response
//! is such a frame between two small ones, so several of them cost as many system calls as there
//! are. Told that there are no vectored writes, h2 copies what is small, and this buffer puts the
//! head of what is large beside it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes held back at most; HTTP/2's usual frame.
const HELD_MAX: usize = 16 * 1024;

/// A stream that holds back what is written until it is flushed or much.
#[derive(Debug)]
pub(super) struct Gather<S> {
    stream: S,
    held: BytesMut,
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, held: BytesMut::new() }
    }

    /// Writes some of what is held and of `more`; how much of `more`.
    fn poll_pass(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let written = ready!(match (self.held.is_empty(), more.is_empty()) {
            (true, _) => stream.poll_write(cx, more),
            (false, true) => stream.poll_write(cx, &self.held),
            (false, false) => {
                stream.poll_write_vectored(cx, &[IoSlice::new(&self.held), IoSlice::new(more)])
            }
        })?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_held = written.min(self.held.len());
        self.held.advance(of_held);
        Poll::Ready(Ok(written - of_held))
    }

    fn poll_let_go(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            ready!(self.poll_pass(cx, &[]))?;
        }
        self.held.clear();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.held.len() + from.len() <= HELD_MAX {
            self.held.extend_from_slice(from);
            return Poll::Ready(Ok(from.len()));
        }
        loop {
            let taken = ready!(self.poll_pass(cx, from))?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_let_go(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_let_go(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Takes as many bytes at a time as it is told, then everything; 0: not now.
    #[derive(Default)]
    struct Socket {
        takes: VecDeque<usize>,
        writes: Vec<Vec<u8>>,
    }

    impl AsyncWrite for Socket {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            from: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(from)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            from: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let mut bytes: Vec<u8> = from.iter().flat_map(|slice| slice.iter().copied()).collect();
            if let Some(most) = self.takes.pop_front() {
                bytes.truncate(most);
            }
            if bytes.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let taken = bytes.len();
            self.writes.push(bytes);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn gather(takes: &[usize]) -> Gather<Socket> {
        Gather::new(Socket { takes: takes.iter().copied().collect(), writes: Vec::new() })
    }

    #[tokio::test]
    async fn what_is_small_leaves_at_the_flush_as_one() {
        let mut stream = gather(&[]);
        for part in [&b"head"[..], b"data", b"trailers"] {
            stream.write_all(part).await.expect("it takes all");
        }
        assert!(stream.stream.writes.is_empty());
        stream.flush().await.expect("it takes all");
        assert_eq!(stream.stream.writes, [b"headdatatrailers"]);
    }

    #[tokio::test]
    async fn what_is_large_leaves_at_once_with_what_was_held() {
        let mut stream = gather(&[]);
        stream.write_all(b"head").await.expect("it takes all");
        let large = vec![7; HELD_MAX];
        stream.write_all(&large).await.expect("it takes all");
        assert_eq!(stream.stream.writes, [[&b"head"[..], &large].concat()]);
        assert!(stream.held.is_empty());
    }

    #[tokio::test]
    async fn nothing_is_lost_or_turned_round_where_the_socket_takes_little() {
        let large: Vec<u8> = (0..=255).cycle().take(HELD_MAX * 2).collect();
        let expected = [b"head", &large[..], b"tail"].concat();
        for takes in [&[0, 1, 0, 2, 3][..], &[4], &[5, 0, HELD_MAX], &[HELD_MAX + 4, 0]] {
            let mut stream = gather(takes);
            stream.write_all(b"head").await.expect("it takes some");
            stream.write_all(&large).await.expect("it takes some");
            stream.write_all(b"tail").await.expect("it takes some");
            stream.shutdown().await.expect("it takes some");
            assert_eq!(stream.stream.writes.concat(), expected, "{takes:?}");
        }
    }
}
