//! Every error a client of the etcd v3 API can meet, and the two after which a member must stop.
//!
//! The text of a variant is part of the wire contract: etcd's clients turn it back into a typed
//! error. Each variant has one gRPC code and one [`Fate`]. Codes are what etcd really sends, not
//! what its table says: two of its errors lose their status on the way and arrive as `Unknown`.
//! Errors of files and sockets are not here: their layers have enums of their own.

use alloc::string::String;

use crate::port::ReadError;

#[cfg(test)]
mod tests;

/// What must happen to the member that met an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Answer with it. At apply it is the same on every member and counts as applied.
    Return,
    /// Stop without an answer: this member's state can no longer be trusted.
    Halt,
}

/// gRPC status codes by name.
pub mod code {
    #![expect(missing_docs, reason = "the names of the gRPC specification")]
    pub const CANCELED: i32 = 1;
    pub const UNKNOWN: i32 = 2;
    pub const INVALID_ARGUMENT: i32 = 3;
    pub const DEADLINE_EXCEEDED: i32 = 4;
    pub const NOT_FOUND: i32 = 5;
    pub const PERMISSION_DENIED: i32 = 7;
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    pub const FAILED_PRECONDITION: i32 = 9;
    pub const OUT_OF_RANGE: i32 = 11;
    pub const UNAVAILABLE: i32 = 14;
    pub const DATA_LOSS: i32 = 15;
    pub const UNAUTHENTICATED: i32 = 16;
}

/// An error of the API; `Display` is etcd's text, letter by letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it means")]
pub enum Error {
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    #[error("etcdserver: key not found")]
    KeyNotFound,
    #[error("etcdserver: value is provided")]
    ValueProvided,
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    #[error("etcdserver: invalid client api version")]
    InvalidClientApiVersion,
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRev,
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    #[error("etcdserver: lease already exists")]
    LeaseExist,
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    #[error("etcdserver: watch canceled")]
    WatchCanceled,
    #[error("etcdserver: member ID already exist")]
    MemberExist,
    #[error("etcdserver: Peer URLs already exists")]
    PeerUrlExist,
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    MemberNotEnoughStarted,
    #[error("etcdserver: given member URLs are invalid")]
    MemberBadUrls,
    #[error("etcdserver: member not found")]
    MemberNotFound,
    #[error("etcdserver: can only promote a learner member")]
    MemberNotLearner,
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    #[error("etcdserver: too many learner members in cluster")]
    TooManyLearners,
    #[error("etcdserver: cluster ID mismatch")]
    ClusterIdMismatch,
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    #[error("etcdserver: root user does not exist")]
    RootUserNotExist,
    #[error("etcdserver: root user does not have root role")]
    RootRoleNotExist,
    #[error("etcdserver: user name already exists")]
    UserAlreadyExist,
    #[error("etcdserver: user name is empty")]
    UserEmpty,
    #[error("etcdserver: user name not found")]
    UserNotFound,
    #[error("etcdserver: role name already exists")]
    RoleAlreadyExist,
    #[error("etcdserver: role name not found")]
    RoleNotFound,
    #[error("etcdserver: role name is empty")]
    RoleEmpty,
    #[error("etcdserver: authentication failed, invalid user ID or password")]
    AuthFailed,
    #[error("etcdserver: permission not given")]
    PermissionNotGiven,
    #[error("etcdserver: permission denied")]
    PermissionDenied,
    #[error("etcdserver: role is not granted to the user")]
    RoleNotGranted,
    #[error("etcdserver: permission is not granted to the role")]
    PermissionNotGranted,
    #[error("etcdserver: authentication is not enabled")]
    AuthNotEnabled,
    #[error("etcdserver: invalid auth token")]
    InvalidAuthToken,
    #[error("etcdserver: invalid auth management")]
    InvalidAuthMgmt,
    #[error("etcdserver: revision of auth store is old")]
    AuthOldRevision,
    #[error("etcdserver: no leader")]
    NoLeader,
    #[error("etcdserver: not leader")]
    NotLeader,
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    #[error("etcdserver: not capable")]
    NotCapable,
    #[error("etcdserver: server stopped")]
    Stopped,
    #[error("etcdserver: request timed out")]
    Timeout,
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    TimeoutDueToLeaderFail,
    #[error("etcdserver: request timed out, possibly due to connection lost")]
    TimeoutDueToConnectionLost,
    #[error("etcdserver: request timed out, waiting for the applied index took too long")]
    TimeoutWaitAppliedIndex,
    #[error("etcdserver: unhealthy cluster")]
    Unhealthy,
    #[error("etcdserver: corrupt cluster")]
    Corrupt,
    #[error("etcdserver: rpc not supported for learner")]
    NotSupportedForLearner,
    #[error("etcdserver: bad leader transferee")]
    BadLeaderTransferee,
    #[error("etcdserver: wrong downgrade target version format")]
    WrongDowngradeVersionFormat,
    #[error("etcdserver: invalid downgrade target version")]
    InvalidDowngradeTargetVersion,
    #[error("etcdserver: cluster version not found during downgrade")]
    ClusterVersionUnavailable,
    #[error("etcdserver: cluster has a downgrade job in progress")]
    DowngradeInProcess,
    #[error("etcdserver: no inflight downgrade job")]
    NoInflightDowngrade,
    #[error("etcdserver: request canceled")]
    Canceled,
    #[error("etcdserver: context deadline exceeded")]
    DeadlineExceeded,
    /// Given up before it was proposed: no leader was there to take it. What Go says of a context
    /// whose time is over.
    #[error("context deadline exceeded")]
    NeverProposed,
    #[error("not a primary lessor")]
    NotPrimary,
    #[error("etcdserver: request timed out, leader transfer took too long")]
    TimeoutLeaderTransfer,
    #[error("\"leader\" field must be provided")]
    LeaderFieldMissing,
    #[error("election: no leader")]
    ElectionNoLeader,
    #[error("mutex: session is expired")]
    SessionExpired,
    /// The backend cannot be read.
    #[error("{0}")]
    Backend(#[from] ReadError),
    /// The state contradicts itself: damage, or a bug.
    #[error("broken state: {0}")]
    Broken(String),
}

impl Error {
    /// Every error a client can meet, in the order of etcd's table.
    pub const ALL: &[Self] = &[
        Self::EmptyKey,
        Self::KeyNotFound,
        Self::ValueProvided,
        Self::LeaseProvided,
        Self::TooManyOps,
        Self::DuplicateKey,
        Self::InvalidClientApiVersion,
        Self::InvalidSortOption,
        Self::Compacted,
        Self::FutureRev,
        Self::NoSpace,
        Self::LeaseNotFound,
        Self::LeaseExist,
        Self::LeaseTtlTooLarge,
        Self::WatchCanceled,
        Self::MemberExist,
        Self::PeerUrlExist,
        Self::MemberNotEnoughStarted,
        Self::MemberBadUrls,
        Self::MemberNotFound,
        Self::MemberNotLearner,
        Self::LearnerNotReady,
        Self::TooManyLearners,
        Self::ClusterIdMismatch,
        Self::RequestTooLarge,
        Self::TooManyRequests,
        Self::RootUserNotExist,
        Self::RootRoleNotExist,
        Self::UserAlreadyExist,
        Self::UserEmpty,
        Self::UserNotFound,
        Self::RoleAlreadyExist,
        Self::RoleNotFound,
        Self::RoleEmpty,
        Self::AuthFailed,
        Self::PermissionNotGiven,
        Self::PermissionDenied,
        Self::RoleNotGranted,
        Self::PermissionNotGranted,
        Self::AuthNotEnabled,
        Self::InvalidAuthToken,
        Self::InvalidAuthMgmt,
        Self::AuthOldRevision,
        Self::NoLeader,
        Self::NotLeader,
        Self::LeaderChanged,
        Self::NotCapable,
        Self::Stopped,
        Self::Timeout,
        Self::TimeoutDueToLeaderFail,
        Self::TimeoutDueToConnectionLost,
        Self::TimeoutWaitAppliedIndex,
        Self::Unhealthy,
        Self::Corrupt,
        Self::NotSupportedForLearner,
        Self::BadLeaderTransferee,
        Self::WrongDowngradeVersionFormat,
        Self::InvalidDowngradeTargetVersion,
        Self::ClusterVersionUnavailable,
        Self::DowngradeInProcess,
        Self::NoInflightDowngrade,
        Self::Canceled,
        Self::DeadlineExceeded,
        Self::NeverProposed,
        Self::NotPrimary,
        Self::TimeoutLeaderTransfer,
        Self::LeaderFieldMissing,
        Self::ElectionNoLeader,
        Self::SessionExpired,
    ];

    /// The gRPC status code etcd sends with it.
    pub const fn code(&self) -> i32 {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidClientApiVersion
            | Self::InvalidSortOption
            | Self::MemberBadUrls
            | Self::RequestTooLarge
            | Self::UserEmpty
            | Self::RoleEmpty
            | Self::AuthFailed
            | Self::PermissionNotGiven
            | Self::InvalidAuthMgmt
            | Self::AuthOldRevision
            | Self::WrongDowngradeVersionFormat
            | Self::InvalidDowngradeTargetVersion => code::INVALID_ARGUMENT,
            Self::Compacted | Self::FutureRev | Self::LeaseTtlTooLarge => code::OUT_OF_RANGE,
            Self::NoSpace => code::RESOURCE_EXHAUSTED,
            Self::LeaseNotFound | Self::MemberNotFound => code::NOT_FOUND,
            Self::LeaseExist
            | Self::MemberExist
            | Self::PeerUrlExist
            | Self::MemberNotLearner
            | Self::LearnerNotReady
            | Self::TooManyLearners
            | Self::ClusterIdMismatch
            | Self::RootUserNotExist
            | Self::RootRoleNotExist
            | Self::UserAlreadyExist
            | Self::UserNotFound
            | Self::RoleAlreadyExist
            | Self::RoleNotFound
            | Self::RoleNotGranted
            | Self::PermissionNotGranted
            | Self::AuthNotEnabled
            | Self::NotLeader
            | Self::NotCapable
            | Self::NotSupportedForLearner
            | Self::BadLeaderTransferee
            | Self::ClusterVersionUnavailable
            | Self::DowngradeInProcess
            | Self::NoInflightDowngrade => code::FAILED_PRECONDITION,
            Self::WatchCanceled | Self::Canceled => code::CANCELED,
            Self::MemberNotEnoughStarted
            | Self::TooManyRequests
            | Self::NotPrimary
            | Self::TimeoutLeaderTransfer
            | Self::LeaderFieldMissing
            | Self::ElectionNoLeader
            | Self::SessionExpired
            | Self::Backend(_)
            | Self::Broken(_) => code::UNKNOWN,
            Self::PermissionDenied => code::PERMISSION_DENIED,
            Self::InvalidAuthToken => code::UNAUTHENTICATED,
            Self::NoLeader
            | Self::LeaderChanged
            | Self::Stopped
            | Self::Timeout
            | Self::TimeoutDueToLeaderFail
            | Self::TimeoutDueToConnectionLost
            | Self::TimeoutWaitAppliedIndex
            | Self::Unhealthy => code::UNAVAILABLE,
            Self::Corrupt => code::DATA_LOSS,
            Self::DeadlineExceeded | Self::NeverProposed => code::DEADLINE_EXCEEDED,
        }
    }

    /// What must happen to the member.
    pub const fn fate(&self) -> Fate {
        match self {
            Self::Backend(_) | Self::Broken(_) => Fate::Halt,
            _ => Fate::Return,
        }
    }

    /// The error a status message stands for; `None` if it is not etcd's.
    ///
    /// For clients: the text is the only thing a status carries besides its code.
    pub fn from_message(message: &str) -> Option<Self> {
        // Formatting sixty texts to compare is fine: this runs once per failed call.
        Self::ALL.iter().find(|error| same_text(error, message)).cloned()
    }
}

/// Whether `error` prints as `text`, without building the string.
fn same_text(error: &Error, text: &str) -> bool {
    struct Rest<'a>(&'a str);
    impl core::fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> core::fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(core::fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    core::fmt::write(&mut rest, format_args!("{error}")).is_ok() && rest.0.is_empty()
}
