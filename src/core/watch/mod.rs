//! Who is told what happened: the watch machinery without streams, clocks or tasks.
//!
//! # The problem
//!
//! Any number of watchers follow any ranges of keys, from any revision, past or future, at any
//! speed. Writing must cost nothing for a watcher that is not concerned, a slow watcher must not
//! hold up a fast one, and memory must not grow with how far behind somebody is. And still every
//! watcher gets exactly the events of its range, in order, once.
//!
//! # The idea
//!
//! A watcher is nothing but a position in a history that is stored anyway. What has just been
//! written is offered to the watchers that are level with the group (*synced*), found through an
//! [`Index`] of their ranges. A watcher whose outbox has no room is not waited for and nothing is
//! kept for it: it remembers the first revision it has not got and becomes *unsynced*. Unsynced
//! watchers are fed from history in bounded steps until they are level again.
//!
//! ```text
//!                        insert(start > revision)
//!                                  │
//!            publish: accepted     ▼
//!                 ┌────────────► Synced ───────────────┐ publish: no room, next = first
//!                 └───────────────┘ ▲ │                │ revision refused
//!                                   │ │ skip_to: a     ▼
//!      catch_up: level with the     │ │ gap in the   Waiting (a victim: its outbox is full)
//!      group                        │ ▼ input          │ ▲
//!  insert(start <= revision) ─────► Ready ◄────────────┘ │ catch_up: no room
//!                                   │ └──────────────────┘
//!                                   │        room
//!                                   └─► compacted(c) with next < c: cancelled, from Ready or
//!                                       Waiting; a synced watcher is never cancelled
//! ```
//!
//! # Invariants
//!
//! For a watcher with position `next` (for a synced one: the later of its start and the group's
//! revision + 1), and history meaning the events of its range that pass its filters:
//!
//! 1. *Ordered, unique, no gap*: what its outbox has accepted is exactly the history from its start
//!    up to, not including, `next`.
//! 2. *Atomic*: the events of one revision are in one delivery; only [`fragments`] may split it,
//!    visibly.
//! 3. *Resumable*: inserting again at (last revision received + 1) continues without loss.
//! 4. *Bookmarkable*: [`Group::progress`] answers R only if everything up to R has been accepted,
//!    and never an R below what the watcher asked for or was told when it was created.
//! 5. `next <= revision` exactly for Ready and Waiting watchers.
//! 6. No step reads more than [`STEP_REVISIONS_MAX`] revisions or feeds more than
//!    [`STEP_WATCHERS_MAX`] watchers, and each unsynced watcher gets its turn: steps go round in
//!    order of `next`, so somebody far behind does not starve somebody almost level.
//!
//! # What it does not do
//!
//! It does not know streams, permissions or previous values; it never reads the store itself: the
//! caller reads what [`Group::plan`] asks for and hands it to [`Group::catch_up`]. It never waits.

mod batch;
mod group;
mod index;
mod members;
mod range;
#[cfg(test)]
mod tests;
mod tree;

pub use batch::{Filters, fragments};
pub use group::{
    DELIVERY_BYTES, Delivery, Group, STEP_REVISIONS_MAX, STEP_WATCHERS_MAX, Sink, Spec, Step,
    WatcherId,
};
pub use index::Index;
pub use range::{KeyRange, RangeEmpty};
