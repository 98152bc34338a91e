//! A look at what a client asks and is told, for tracing and for tests.
//!
//! Unary requests and renewals only: events of a watch go to whoever watches. A request that is
//! sent again counts once, with its last outcome; one whose caller stopped waiting has no outcome.

use std::{any::Any, fmt};

use crate::Error;

/// Told of requests. Called in the middle of them: it must neither block nor ask anything itself.
pub trait Observer: fmt::Debug + Send + Sync {
    /// A message of etcd's API is about to be sent. Returns a name for [`Observer::answered`].
    fn asked(&self, request: &dyn Any) -> u64;

    /// What became of the request that was given this name: the answer, or why there is none.
    fn answered(&self, name: u64, outcome: Result<&dyn Any, &Error>);
}
