//! From what apply has done to what the clients of watch streams read.
//!
//! ```text
//!   apply ──Publisher──► queue ──► hub ──► outbox of a stream ──Responses──► gRPC stream
//!               │ full: lagged ↗    ▲ │        │ half empty again: signal
//!                                   │ └────────┼──► catch-up: history, in bounded steps
//!   gRPC stream ──Requests──► commands         ▼
//!                                           signals
//! ```
//!
//! One task, the [`hub`], owns the pure [`reseed_core::watch::Group`] and therefore needs no lock
//! on it. Nothing before the hub waits for the hub, and the hub waits for nobody:
//!
//! 1. Apply never waits. If the hub's queue is full, the revision is only marked as missed, and
//!    the hub sends whoever wanted it to history ([`feed`]).
//! 2. The hub never waits for a stream. An [`outbox`] that is full refuses, and the group knows
//!    what that watcher lacks.
//! 3. What waits for a slow client is bounded: its outbox in bytes and items, its requests by the
//!    room for answers in the same outbox.
//! 4. Work per turn of the hub is bounded: one run of the queue, some commands, one step of
//!    catching up; then others get the thread.
//!
//! Registration and publication cannot miss each other, because the hub reads the store's revision
//! under the machine's lock, under which apply publishes: see `Hub::create` and [`feed`].

pub(crate) mod feed;
pub(crate) mod hub;
mod member;
pub(crate) mod outbox;
mod progress;
pub(crate) mod source;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
