//! The pure state machines of reseed.
//!
//! `no_std`: clock, files, sockets, threads, randomness and hash maps do not exist here, so the
//! same log entry makes the same state on every member and in every replay. Time enters as an
//! argument, chance as a value in the request; the one way out is a returned value.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod port;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
