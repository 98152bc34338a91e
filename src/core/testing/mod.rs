//! What tests, fuzzers and the simulator share: a generator of requests and a naive etcd.
//!
//! Compiled for core's own tests and under feature `testing`; never part of the daemon. Nothing
//! here may look at the implementation: [`oracle`] is written from the description of etcd, and
//! [`generate`] makes requests without asking whether they will succeed.

mod draft;
pub mod generate;
pub mod oracle;
mod rules;
