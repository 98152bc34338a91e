//! What clients do to the store, over real gRPC, and how they write it down.
//!
//! A file per role, each with its choices (pure, from a random stream and what it knows) and the
//! loop that carries them out until the load is over. They share:
//!
//! - [`Scribe`]: writes the history; [`Board`]: what the run tells its machines;
//! - `client`: one connection, any request of the history, and what its failure means (`refusal`);
//! - `translate`: between the history's words and the wire's;
//! - `watch`: streams of watches; `values`: values nobody else writes, keys by skew.
//!
//! Clients speak through generated stubs and not through our client crate, because what that one
//! retries or hides is not the server's doing; [`Role::Library`] alone is there to test it.
//! Nothing here knows the simulator: time, chance and sockets come from `rt`, and a [`Scene`] tells
//! the true time.

mod board;
mod client;
#[cfg(madsim)]
pub mod old;
mod refusal;
mod scribe;
mod translate;
mod values;
mod watch;

use std::{sync::Arc, time::Duration};

use rand_chacha::ChaCha8Rng;

pub use board::Board;
pub use client::{Answer, Client};
#[cfg(madsim)]
pub use old::{KvClient, Scribe as OldScribe, audit, watch_all};
pub use scribe::{Scene, Scribe};
