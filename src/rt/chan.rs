//! Queues between tasks: bounded, named, and able to say how full they are.
//!
//! There is no unbounded constructor. A thin dress over tokio's mpsc channel, which runs
//! unchanged in simulation.

use tokio::sync::mpsc;
pub use tokio::sync::mpsc::error::{SendError, TryRecvError, TrySendError};

/// A queue holding at most `capacity` (at least one) messages.
///
/// # Panics
/// If `capacity` is zero.
#[must_use]
pub fn bounded<T>(name: &'static str, capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(capacity);
    (Sender { name, inner: sender }, Receiver { name, inner: receiver })
}

/// The sending end; clones share the queue.
#[derive(Debug)]
pub struct Sender<T> {
    name: &'static str,
    inner: mpsc::Sender<T>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { name: self.name, inner: self.inner.clone() }
    }
}

impl<T> Sender<T> {
    /// Waits for room and sends. Cancelled while waiting, the message is dropped.
    ///
    /// # Errors
    /// The message back, if the receiver is gone.
    pub async fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.inner.send(message).await
    }

    /// Sends if there is room now.
    ///
    /// # Errors
    /// `Full` or `Closed`, with the message.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.inner.try_send(message)
    }

    /// Completes when the receiver is gone.
    pub async fn closed(&self) {
        self.inner.closed().await;
    }

    /// Is the receiver gone?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// Messages waiting, including reserved places.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.inner.max_capacity() - self.inner.capacity()
    }

    /// The queue's name, for gauges and messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct Receiver<T> {
    name: &'static str,
    inner: mpsc::Receiver<T>,
}

impl<T> Receiver<T> {
    /// The next message; `None` once all senders are gone and the queue is empty. Cancel-safe.
    pub async fn recv(&mut self) -> Option<T> {
        self.inner.recv().await
    }

    /// The next message if one is there now.
    ///
    /// # Errors
    /// `Empty`, or `Disconnected` once all senders are gone.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.inner.try_recv()
    }

    /// Waits for at least one message and takes up to `limit` into `into`; returns how many, zero
    /// once all senders are gone. Cancel-safe.
    pub async fn recv_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        self.inner.recv_many(into, limit).await
    }

    /// Polls for the next message.
    pub fn poll_recv(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<T>> {
        self.inner.poll_recv(cx)
    }

    /// Refuses further messages; those in the queue can still be received.
    pub fn close(&mut self) {
        self.inner.close();
    }

    /// Messages waiting.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.inner.len()
    }

    /// The queue's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}
