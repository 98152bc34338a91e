//! Golden texts: what Debian's etcdctl 3.4 printed, changed where 3.7 prints otherwise.

use reseed_proto::{
    etcdserverpb::{AlarmMember, LeaseStatus, ResponseOp, response_op::Response},
    mvccpb::{KeyValue, event::EventType},
};

use super::*;

const ALL: [Format; 4] = [Format::Simple, Format::Json, Format::Fields, Format::Table];

/// Compares all four formats of an answer with `golden/NAME.txt`; `UPDATE_EXPECT=1` rewrites it.
#[expect(clippy::disallowed_methods, reason = "golden files are read and rewritten where they lie")]
fn check(name: &str, answer: &Answer) {
    let found: String = ALL
        .iter()
        .map(|&format| match answer.render(style(format)) {
            Ok(text) => format!("-- {format:?}\n{}", String::from_utf8_lossy(&text)),
            Err(error) => format!("-- {format:?}\nError: {}\n", error.text),
        })
        .collect();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/ctl/print/golden");
    let path = format!("{golden}/{name}.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &found).expect("the golden file can be written");
    }
    let expected = std::fs::read(&path).expect("the golden file can be read");
    assert_eq!(found, String::from_utf8_lossy(&expected), "found:\n{found}");
}

fn style(format: Format) -> Style {
    Style { format, is_hex: false, is_value_only: false }
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
    check("get", &Answer::Get(response));
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
    let answer = Answer::Txn(TxnResponse { header: header(), succeeded: true, responses });
    check("txn", &answer);
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
    check("watch", &Answer::Watch(answer));
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
    check("time_to_live", &Answer::TimeToLive { response, with_keys: true });
    let grant = LeaseGrantResponse { header: header(), id: 0x77, ttl: 10, error: String::new() };
    check("grant", &Answer::Grant(grant));
    let list = LeaseLeasesResponse { header: None, leases: vec![LeaseStatus { id: 1 }] };
    let style = style(Format::Simple);
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
    check("members", &Answer::Members(MemberListResponse { header, members: vec![member] }));
}

#[test]
fn changes_of_members() {
    let member = Member {
        id: 0xbdae,
        peer_ur_ls: vec!["http://h:1".into()],
        is_learner: true,
        ..Member::default()
    };
    let changed = |what, added| {
        let header = Some(ResponseHeader { cluster_id: 17, member_id: 26, ..Default::default() });
        Answer::Changed(Changed { what, id: 0xbdae, header, added, members: vec![] })
    };
    let added = changed("added as learner to", Some(member));
    let style = style(Format::Simple);
    let found = text(&added, style);
    let expected = "Member             bdae added as learner to cluster               11\n";
    assert_eq!(found.as_deref(), Some(expected));
    let found = text(&added, Style { format: Format::Json, ..style });
    let expected = concat!(
        r#"{"header":{"cluster_id":17,"member_id":26},"member":{"ID":48558,"#,
        r#""peerURLs":["http://h:1"],"isLearner":true}}"#,
        "\n"
    );
    assert_eq!(found.as_deref(), Some(expected));
    assert!(added.render(Style { format: Format::Fields, ..style }).is_err());
    assert!(added.render(Style { format: Format::Table, ..style }).is_err());
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
    check("health", &Answer::Health(vec![healthy, sick]));
    let alarms = vec![AlarmMember { member_id: 26, alarm: 1 }];
    let style = style(Format::Simple);
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
    check("status", &Answer::Status(vec![("h:1".into(), status)]));
}
