//! The error table as clients see it. `tests/it/errors.rs` takes it over the wire.

use alloc::string::ToString;

use super::{Error, Fate, code};
use crate::port::ReadError;

#[test]
fn every_text_leads_back_to_its_error() {
    for error in Error::ALL {
        let text = error.to_string();
        assert_eq!(Error::from_message(&text).as_ref(), Some(error), "{text}");
        assert_eq!(Error::from_message(&text[1..]), None);
        assert_eq!(Error::from_message(&(text + " ")), None);
        assert_eq!(error.fate(), Fate::Return);
    }
    assert_eq!(Error::from_message(""), None);
}

#[test]
fn codes_are_those_etcd_sends() {
    let check = |error: Error, text: &str, code: i32| {
        assert_eq!((error.to_string().as_str(), error.code()), (text, code));
    };
    check(Error::EmptyKey, "etcdserver: key is not provided", code::INVALID_ARGUMENT);
    check(
        Error::Compacted,
        "etcdserver: mvcc: required revision has been compacted",
        code::OUT_OF_RANGE,
    );
    check(Error::NoSpace, "etcdserver: mvcc: database space exceeded", code::RESOURCE_EXHAUSTED);
    check(Error::LeaseNotFound, "etcdserver: requested lease not found", code::NOT_FOUND);
    check(Error::LeaseExist, "etcdserver: lease already exists", code::FAILED_PRECONDITION);
    check(Error::NoLeader, "etcdserver: no leader", code::UNAVAILABLE);
    check(Error::Corrupt, "etcdserver: corrupt cluster", code::DATA_LOSS);
    // These two lose their status inside etcd.
    check(Error::TooManyRequests, "etcdserver: too many requests", code::UNKNOWN);
    check(
        Error::MemberNotEnoughStarted,
        "etcdserver: re-configuration failed due to not enough started members",
        code::UNKNOWN,
    );
}

#[test]
fn damage_halts() {
    assert_eq!(Error::from(ReadError("x".into())).fate(), Fate::Halt);
    assert_eq!(Error::Broken("x".into()).fate(), Fate::Halt);
}
