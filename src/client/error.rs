//! What can go wrong, told apart by what the caller may do next.
//!
//! A server's refusal comes back as the typed error its text stands for (etcd's clients match on
//! the text, so it is part of the wire contract); anything else keeps code and text as they came.
//! The question that matters after a failed mutation is [`Error::may_have_happened`].

use std::{error::Error as StdError, fmt, sync::Arc};

use tonic::{Code, Status};

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with one of etcd's errors.
    #[error("{0}")]
    Etcd(reseed_core::error::Error),
    /// The server, or something on the way, answered with another status.
    #[error("{message}")]
    Status {
        /// The gRPC code.
        code: Code,
        /// Its text.
        message: String,
    },
    /// No connection could be made, so the request was never sent.
    #[error("no connection to {endpoint}: {reason}")]
    Unreachable {
        /// Which endpoint was tried last.
        endpoint: String,
        /// What the attempt met.
        reason: String,
    },
    /// The connection broke after the request may have been sent.
    #[error("connection to {endpoint} broke: {reason}")]
    Broken {
        /// Which endpoint was asked.
        endpoint: String,
        /// What broke it.
        reason: String,
    },
    /// No answer in time.
    #[error("context deadline exceeded")]
    Timeout,
    /// An endpoint that cannot be used.
    #[error("bad endpoint {endpoint:?}: {reason}")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The watch asked for revisions that were compacted away; it can only start over, at
    /// `compact_revision` or later.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    WatchCompacted {
        /// The oldest revision that can still be watched from.
        compact_revision: i64,
    },
    /// The server ended the watch.
    #[error("{0}")]
    WatchCanceled(String),
    /// The session's lease is gone, or must be believed to be.
    #[error("the session is lost")]
    SessionLost,
    /// Somebody else leads the election, or nobody does.
    #[error("election: not leader")]
    NotLeader,
    /// The client was dropped.
    #[error("the client is closed")]
    Closed,
}

impl Error {
    /// May a mutation that ended so have been carried out?
    ///
    /// `false` is a promise: it was refused, or never sent. `true` means nobody knows.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Endpoint { .. } | Self::Closed => false,
            Self::WatchCompacted { .. } | Self::WatchCanceled(_) => false,
            Self::NotLeader => false,
            // It may have been lost while something was under way.
            Self::SessionLost => true,
            Self::Broken { .. } | Self::Timeout => true,
            Self::Etcd(reseed_core::error::Error::TooManyRequests) => false,
            Self::Etcd(_) | Self::Status { .. } => is_ambiguous(self.code()),
        }
    }

    /// The gRPC code, or the one that comes closest.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Etcd(error) => Code::from_i32(error.code()),
            Self::Status { code, .. } => *code,
            Self::Unreachable { .. } | Self::Broken { .. } => Code::Unavailable,
            Self::Timeout => Code::DeadlineExceeded,
            Self::Endpoint { .. } => Code::InvalidArgument,
            Self::WatchCompacted { .. } => Code::OutOfRange,
            Self::WatchCanceled(_) | Self::Closed => Code::Cancelled,
            Self::SessionLost | Self::NotLeader => Code::FailedPrecondition,
        }
    }
}

/// Codes that servers and proxies also use for requests they lost sight of.
fn is_ambiguous(code: Code) -> bool {
    match code {
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        if let Some(fault) = Fault::of(&status) {
            let Fault { endpoint, reason, sent } = fault.clone();
            return match sent {
                false => Self::Unreachable { endpoint, reason },
                true => Self::Broken { endpoint, reason },
            };
        }
        match reseed_core::error::Error::from_message(status.message()) {
            Some(error) => Self::Etcd(error),
            None => Self::Status { code: status.code(), message: status.message().to_owned() },
        }
    }
}

/// What the connection knows about its own failure; travels as the source of a [`Status`].
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) endpoint: String,
    pub(crate) reason: String,
    /// Whether any of the request may have reached the peer.
    pub(crate) sent: bool,
}

impl Fault {
    /// Wraps the fault for its way through the generated stubs.
    pub(crate) fn into_status(self) -> Status {
        let mut status = Status::unavailable(self.reason.clone());
        status.set_source(Arc::new(self));
        status
    }

    pub(crate) fn of(status: &Status) -> Option<&Self> {
        let mut source = status.source();
        while let Some(error) = source {
            if let Some(fault) = error.downcast_ref::<Self>() {
                return Some(fault);
            }
            source = error.source();
        }
        None
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.reason)
    }
}

impl StdError for Fault {}
