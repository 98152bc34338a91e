//! Golden texts: what Debian's etcdctl 3.4 printed, changed where 3.7 prints otherwise.

use reseed_proto::{
    etcdserverpb::{AlarmMember, LeaseStatus, ResponseOp, response_op::Response},
    mvccpb::{KeyValue, event::EventType},
};

use super::*;

const ALL: [Format; 4] = [Format::Simple, Format::Json, Format::Fields, Format::Table];

fn check(answer: &Answer, expected: &str) {
    let style = |format| Style { format, is_hex: false, is_value_only: false };
    let found: String = ALL
        .iter()
        .map(|&format| match answer.render(style(format)) {
            Ok(text) => format!("-- {format:?}\n{}", String::from_utf8_lossy(&text)),
            Err(error) => format!("-- {format:?}\nError: {}\n", error.text),
        })
        .collect();
    assert_eq!(found, expected, "found:\n{found}");
}

fn text(answer: &Answer, style: Style) -> Option<String> {
    answer.render(style).ok().and_then(|bytes| String::from_utf8(bytes).ok())
}

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 17, member_id: 26, revision: 5, raft_term: 2 })
}

fn pair() -> KeyValue {
    KeyValue {
        key: "foo".into(),
        create_revision: 2,
        mod_revision: 4,
        version: 3,
        value: "b\"r".into(),
        lease: 0,
    }
}

#[test]
fn get() {
    let response = RangeResponse { header: header(), kvs: vec![pair()], more: true, count: 2 };
    check(
        &Answer::Get(response),
        r#"-- Simple
foo
b"r
-- Json
{"header":{"cluster_id":17,"member_id":26,"revision":5,"raft_term":2},"kvs":[{"key":"Zm9v","create_revision":2,"mod_revision":4,"version":3,"value":"YiJy"}],"more":true,"count":2}
-- Fields
"ClusterID" : 17
"MemberID" : 26
"Revision" : 5
"RaftTerm" : 2
"Key" : "foo"
"CreateRevision" : 2
"ModRevision" : 4
"Version" : 3
"Value" : "b\"r"
"Lease" : 0
"More" : true
"Count" : 2
-- Table
Error: table not supported as output format
"#,
    );
}

#[test]
fn txn() {
    let range = RangeResponse { kvs: vec![pair()], count: 1, ..Default::default() };
    let delete = DeleteRangeResponse { deleted: 1, prev_kvs: vec![pair()], header: None };
    let ops = [
        Response::ResponsePut(PutResponse::default()),
        Response::ResponseRange(range),
        Response::ResponseDeleteRange(delete),
    ];
    let responses = ops.map(|op| ResponseOp { response: Some(op) }).to_vec();
    let style = |format| Style { format, is_hex: false, is_value_only: false };
    let answer = Answer::Txn(TxnResponse { header: header(), succeeded: true, responses });
    assert_eq!(
        text(&answer, style(Format::Simple)).as_deref(),
        Some("SUCCESS\n\nOK\n\nfoo\nb\"r\n\n1\nfoo\nb\"r\n")
    );
    assert_eq!(
        text(&answer, style(Format::Json)).as_deref(),
        Some(
            r#"{"header":{"cluster_id":17,"member_id":26,"revision":5,"raft_term":2},"succeeded":true,"responses":[{"Response":{"response_put":{}}},{"Response":{"response_range":{"kvs":[{"key":"Zm9v","create_revision":2,"mod_revision":4,"version":3,"value":"YiJy"}],"count":1}}},{"Response":{"response_delete_range":{"deleted":1,"prev_kvs":[{"key":"Zm9v","create_revision":2,"mod_revision":4,"version":3,"value":"YiJy"}]}}}]}
"#
        )
    );
}

#[test]
fn hex_and_value_only_are_for_simple_pairs() {
    let answer = Answer::Put(PutResponse { header: header(), prev_kv: Some(pair()) });
    let simple = |is_hex, is_value_only| {
        text(&answer, Style { format: Format::Simple, is_hex, is_value_only })
    };
    assert_eq!(simple(true, false).as_deref(), Some("OK\n\\x66\\x6f\\x6f\n\\x62\\x22\\x72\n"));
    assert_eq!(simple(false, true).as_deref(), Some("OK\nb\"r\n"));
}

#[test]
fn watch() {
    let gone = KeyValue { key: "foo".into(), mod_revision: 5, ..KeyValue::default() };
    let event = Event { r#type: EventType::Delete.into(), kv: Some(gone), prev_kv: Some(pair()) };
    let answer = WatchAnswer {
        header: header().unwrap_or_default(),
        events: vec![event],
        ..WatchAnswer::default()
    };
    check(
        &Answer::Watch(answer),
        r#"-- Simple
DELETE
foo
b"r
foo

-- Json
{"Header":{"cluster_id":17,"member_id":26,"revision":5,"raft_term":2},"Events":[{"type":1,"kv":{"key":"Zm9v","mod_revision":5},"prev_kv":{"key":"Zm9v","create_revision":2,"mod_revision":4,"version":3,"value":"YiJy"}}],"CompactRevision":0,"Canceled":false,"Created":false}
-- Fields
"ClusterID" : 17
"MemberID" : 26
"Revision" : 5
"RaftTerm" : 2
"Type" : DELETE
"PrevKey" : "foo"
"PrevCreateRevision" : 2
"PrevModRevision" : 4
"PrevVersion" : 3
"PrevValue" : "b\"r"
"PrevLease" : 0
"Key" : "foo"
"CreateRevision" : 0
"ModRevision" : 5
"Version" : 0
"Value" : ""
"Lease" : 0
-- Table
Error: table not supported as output format
"#,
    );
}

#[test]
fn leases() {
    let response = LeaseTimeToLiveResponse {
        header: header(),
        id: 0x77,
        ttl: 9,
        granted_ttl: 10,
        keys: vec!["a".into(), "b".into()],
    };
    check(
        &Answer::TimeToLive { response, with_keys: true },
        r#"-- Simple
lease 0000000000000077 granted with TTL(10s), remaining(9s), attached keys([a b])
-- Json
{"cluster_id":17,"member_id":26,"revision":5,"raft_term":2,"id":119,"ttl":9,"granted-ttl":10,"keys":["YQ==","Yg=="]}
-- Fields
"ClusterID" : 17
"MemberID" : 26
"Revision" : 5
"RaftTerm" : 2
"ID" : 119
"TTL" : 9
"GrantedTTL" : 10
"Key" : "a"
"Key" : "b"
-- Table
Error: table not supported as output format
"#,
    );
    let grant = LeaseGrantResponse { header: header(), id: 0x77, ttl: 10, error: String::new() };
    check(
        &Answer::Grant(grant),
        r#"-- Simple
lease 0000000000000077 granted with TTL(10s)
-- Json
{"cluster_id":17,"member_id":26,"revision":5,"raft_term":2,"ID":119,"TTL":10,"Error":""}
-- Fields
"ClusterID" : 17
"MemberID" : 26
"Revision" : 5
"RaftTerm" : 2
"ID" : 119
"TTL" : 10
-- Table
Error: table not supported as output format
"#,
    );
    let list = LeaseLeasesResponse { header: None, leases: vec![LeaseStatus { id: 1 }] };
    let style = Style { format: Format::Simple, is_hex: false, is_value_only: false };
    let found = text(&Answer::Leases(list), style);
    assert_eq!(found.as_deref(), Some("found 1 leases\n0000000000000001\n"));
}

#[test]
fn members() {
    let member = Member {
        id: 0xbdae,
        name: "default".into(),
        peer_ur_ls: vec!["http://h:1".into()],
        client_ur_ls: vec!["http://h:2?a&b".into()],
        is_learner: false,
    };
    let header = Some(ResponseHeader { cluster_id: 17, member_id: 26, revision: 0, raft_term: 2 });
    check(
        &Answer::Members(MemberListResponse { header, members: vec![member] }),
        r#"-- Simple
bdae, started, default, http://h:1, http://h:2?a&b, false
-- Json
{"header":{"cluster_id":17,"member_id":26,"raft_term":2},"members":[{"ID":48558,"name":"default","peerURLs":["http://h:1"],"clientURLs":["http://h:2?a\u0026b"]}]}
-- Fields
"ClusterID" : 17
"MemberID" : 26
"Revision" : 0
"RaftTerm" : 2
"ID" : 48558
"Name" : "default"
"PeerURL" : "http://h:1"
"ClientURL" : "http://h:2?a&b"
"IsLearner" : false

-- Table
+------+---------+---------+------------+----------------+------------+
|  ID  | STATUS  |  NAME   | PEER ADDRS |  CLIENT ADDRS  | IS LEARNER |
+------+---------+---------+------------+----------------+------------+
| bdae | started | default | http://h:1 | http://h:2?a&b |      false |
+------+---------+---------+------------+----------------+------------+
"#,
    );
}

#[test]
fn health_and_alarms() {
    let healthy =
        Health { endpoint: "h:1".into(), took: Duration::from_nanos(1_323_352), error: None };
    let sick = Health {
        endpoint: "h:2".into(),
        took: Duration::from_secs(5),
        error: Some("context deadline exceeded and more than thirty letters".into()),
    };
    check(
        &Answer::Health(vec![healthy, sick]),
        r#"-- Simple
h:1 is healthy: successfully committed proposal: took = 1.323352ms
-- Json
[{"endpoint":"h:1","health":true,"took":"1.323352ms"},{"endpoint":"h:2","health":false,"took":"5s","error":"context deadline exceeded and more than thirty letters"}]
-- Fields
"Endpoint" : "h:1"
"Health" : true
"Took" : 1.323352ms
"Error" : 

"Endpoint" : "h:2"
"Health" : false
"Took" : 5s
"Error" : context deadline exceeded and more than thirty letters

-- Table
+----------+--------+------------+-------------------------------+
| ENDPOINT | HEALTH |    TOOK    |             ERROR             |
+----------+--------+------------+-------------------------------+
|      h:1 |   true | 1.323352ms |                               |
|      h:2 |  false |         5s | context deadline exceeded and |
|          |        |            |      more than thirty letters |
+----------+--------+------------+-------------------------------+
"#,
    );
    let alarms = vec![AlarmMember { member_id: 26, alarm: 1 }];
    let style = Style { format: Format::Simple, is_hex: false, is_value_only: false };
    let found = text(&Answer::Alarms(AlarmResponse { header: None, alarms }), style);
    assert_eq!(found.as_deref(), Some("memberID:26 alarm:NOSPACE \n"));
}

#[test]
fn status_has_the_columns_of_3_7() {
    let status = StatusResponse {
        header: header(),
        version: "3.7.1".into(),
        db_size: 24_576,
        db_size_in_use: 12_288,
        db_size_quota: 2_147_483_648,
        leader: 26,
        raft_term: 2,
        raft_index: 9,
        raft_applied_index: 9,
        storage_version: "3.7.0".into(),
        ..StatusResponse::default()
    };
    let answer = Answer::Status(vec![("h:1".into(), status)]);
    let style = |format| Style { format, is_hex: false, is_value_only: false };
    assert_eq!(
        text(&answer, style(Format::Simple)).as_deref(),
        Some("h:1, 1a, 3.7.1, 3.7.0, 25 kB, 12 kB, 50%, 2.1 GB, true, false, 2, 9, 9, , , false\n")
    );
    assert_eq!(
        text(&answer, style(Format::Json)).as_deref(),
        Some(
            r#"[{"Endpoint":"h:1","Status":{"header":{"cluster_id":17,"member_id":26,"revision":5,"raft_term":2},"version":"3.7.1","dbSize":24576,"leader":26,"raftIndex":9,"raftTerm":2,"raftAppliedIndex":9,"dbSizeInUse":12288,"storageVersion":"3.7.0","dbSizeQuota":2147483648}}]
"#
        )
    );
}
