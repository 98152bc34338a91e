//! Bytes that survive: everything a member keeps below its data directory.
//!
//! [`layout`] takes the directory, locks it and refuses another format. [`wal`] is the write-ahead
//! log: an entry is durable once [`wal::Wal::sync`] returned. [`backend`] holds the applied state:
//! a memtable in front of an engine, which always holds exactly a prefix of the applied entries
//! together with its applied index, so that a crash replays the difference from the log once.
//! [`verify`] proves a directory sound.
//!
//! Not here: raft, time, randomness, threads, real files. Every byte goes through `rt::disk`; what
//! blocks says so in its name, and the caller picks the thread.

pub mod backend;
#[cfg(test)]
mod formats;
pub mod layout;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verify;
pub mod wal;
