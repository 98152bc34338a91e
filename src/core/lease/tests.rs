//! What golden traces of leases do not show: records no member wrote, ids at the edge.

use bytes::Bytes;
use prost::Message;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::LeaseRecord;
use reseed_proto::log::log_entry::Request;

use crate::harness::Host;
use crate::id::LeaseId;
use crate::machine::Machine;
use crate::port::{self, Batch};

#[test]
fn every_id_but_zero_survives_a_restart() {
    let mut host = Host::default();
    for id in [1, i64::MAX, -1, i64::MIN] {
        let request = pb::LeaseGrantRequest { id, ttl: 60 };
        let applied = host.apply(Request::LeaseGrant(request)).expect("applies");
        assert!(applied.response.is_ok(), "{id}");
        let put = pb::PutRequest {
            key: Bytes::copy_from_slice(&id.to_be_bytes()),
            lease: id,
            ..pb::PutRequest::default()
        };
        host.apply(Request::Put(put)).expect("applies").response.expect("accepted");
        host.check_restart();
    }
    host.restart();
    assert_eq!(host.machine.leases.get(LeaseId(i64::MIN)).map(|l| l.keys().len()), Some(1));
}

#[test]
fn a_record_no_member_wrote_is_refused_at_start() {
    let check = |key: i64, record: LeaseRecord, expected: bool| {
        let mut host = Host::default();
        let mut batch = Batch::default();
        let key = Bytes::copy_from_slice(&key.to_be_bytes());
        batch.put(port::Table::Lease, key, record.encode_to_vec());
        host.memory.commit(batch);
        assert_eq!(Machine::restore(&host.memory).is_ok(), expected, "{record:?}");
    };
    check(7, LeaseRecord { id: 7, ttl: 60, remaining_ttl: 0 }, true);
    check(8, LeaseRecord { id: 7, ttl: 60, remaining_ttl: 0 }, false);
    check(0, LeaseRecord { id: 0, ttl: 60, remaining_ttl: 0 }, false);
    check(7, LeaseRecord { id: 7, ttl: 0, remaining_ttl: 0 }, false);
}

#[test]
fn a_key_on_an_unknown_lease_is_refused_at_start() {
    let mut host = Host::default();
    let grant = pb::LeaseGrantRequest { id: 7, ttl: 60 };
    host.apply(Request::LeaseGrant(grant)).expect("applies").response.expect("accepted");
    let put = pb::PutRequest { key: "k".into(), lease: 7, ..pb::PutRequest::default() };
    host.apply(Request::Put(put)).expect("applies").response.expect("accepted");
    let mut damage = Batch::default();
    damage.delete(port::Table::Lease, Bytes::copy_from_slice(&LeaseId(7).to_key()));
    host.memory.commit(damage);
    assert!(Machine::restore(&host.memory).is_err());
}
