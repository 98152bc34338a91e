//! What tests, fuzzers and the simulator share: a generator of requests and a naive etcd.
//!
//! Compiled for core's own tests and under feature `testing`; never part of the daemon. [`oracle`]
//! is written from the description of etcd without a look at the implementation, [`generate`] makes
//! requests without asking whether they will succeed, and [`pair`] gives the same steps to both,
//! the oracle and the real machine, and holds their answers against each other.

mod draft;
pub mod generate;
pub mod oracle;
pub mod pair;
mod rules;
#[cfg(test)]
mod tests;
