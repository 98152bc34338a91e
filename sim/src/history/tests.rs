//! What is written is read back.

use super::{
    request::{Compare, Delete, Pair, Put, Range, Relation, Step, Target, Txn, Version},
    *,
};
use crate::edn::parse_items;

fn version() -> Version {
    Version { value: "v".into(), mod_revision: 3, create_revision: 2, version: 2, lease: 7 }
}

fn txn() -> Txn {
    let (key, end) = ("k".to_owned(), "\0".to_owned());
    let compare = Compare {
        key: key.clone(),
        end: end.clone(),
        is: Relation::Less,
        target: Target::Value("w".to_owned()),
    };
    let range = Range { key: key.clone(), end, limit: 3, ..Range::default() };
    let put = Put { key: key.clone(), value: "v".into(), lease: 7, ..Put::default() };
    let delete = Delete { key, ..Delete::default() };
    let nested = Txn { then: vec![Step::Delete(delete)], ..Txn::default() };
    Txn {
        compare: vec![compare],
        then: vec![Step::Range(range), Step::Put(put)],
        otherwise: vec![Step::Txn(nested)],
    }
}

#[test]
fn a_history_survives_its_file() {
    let pair = Pair { key: "k".into(), version: version() };
    let change =
        Change { key: "k".into(), revision: 3, now: Some(version()), prev: Some(version()) };
    let body = Body::Txn {
        succeeded: true,
        steps: vec![
            Body::Range { kvs: vec![pair.clone()], count: 1, more: true },
            Body::Put { prev: Some(pair) },
        ],
    };
    let spec = WatchSpec { key: "k".into(), no_put: true, ..WatchSpec::default() };
    let acquired = LockStep::Acquired { key: "l/1".into(), token: 4, lease: 7 };
    let watch = |step| What::Watch { watch: 1, member: 2, step };
    let whats = [
        What::Invoke { op: 1, member: 0, request: Request::Txn(txn()) },
        What::Invoke {
            op: 2,
            member: 1,
            request: Request::Compact { revision: 3, physical: true },
        },
        What::Ok { op: 1, response: Response { revision: 3, body } },
        What::Fail { op: 2, error: "no".into() },
        What::Unknown { op: 3, error: "timeout".into() },
        watch(WatchStep::Open { spec }),
        watch(WatchStep::Events { revision: 3, changes: vec![change], fragment: true }),
        watch(WatchStep::Closed),
        What::Lock { lock: "l".into(), step: acquired },
        What::Member { member: 0, step: MemberStep::Paused },
        What::Healed,
    ];
    let events: Vec<Event> =
        whats.into_iter().zip(1..).map(|(what, at)| Event { at, client: 1, what }).collect();
    let mut file = Vec::new();
    write(&events, &mut file).expect("memory takes it");
    assert_eq!(read(file.as_slice()).expect("it is well-formed"), events);
}

#[test]
fn operations_are_written_as_edn() {
    let put = Put { key: "k".into(), value: "a \"b\"".into(), ..Put::default() };
    let done = Response { revision: 2, body: Body::Put { prev: None } };
    let error = "timeout".to_owned();
    let whats = [
        What::Invoke { op: 1, member: 0, request: Request::Put(put.clone()) },
        What::Ok { op: 1, response: done },
        What::Invoke { op: 2, member: 0, request: Request::Put(put) },
        What::Unknown { op: 2, error },
        What::Healed,
        What::Invoke { op: 3, member: 0, request: Request::KeepAlive { id: 7 } },
    ];
    let events: Vec<Event> =
        whats.into_iter().zip(1..).map(|(what, at)| Event { at, client: 1, what }).collect();
    let mut out = Vec::new();
    write_edn(&events, &mut out).expect("memory takes it");
    let text = String::from_utf8(out).expect("it is text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6);
    let first = r#"{:index 0, :time 1, :process 1, :type :invoke, :f :put, :value {:key "k", "#;
    assert!(lines[0].starts_with(first), "{}", lines[0]);
    assert!(lines[0].contains(r#":value "a \"b\"""#), "{}", lines[0]);
    assert!(lines[1].contains(":type :ok") && lines[1].contains(":revision 2"), "{}", lines[1]);
    assert!(lines[3].contains(":type :info") && lines[3].contains("timeout"), "{}", lines[3]);
    assert!(lines[4].contains(":process :nemesis, :type :info, :f :healed"), "{}", lines[4]);
    assert!(lines[5].contains(":process 3") && lines[5].contains(":keep-alive"), "{}", lines[5]);
    assert_eq!(read_edn(&parse_items(&text).expect("EDN")), Ok(events));
}

#[test]
fn whatever_is_written_as_edn_is_read_back() {
    let alarm = |member| Request::Alarm { action: "get".into(), alarm: "none".into(), member };
    let key = "\0\u{1}\t\"\\ä".to_owned();
    let spec = WatchSpec { key: key.clone(), no_put: true, ..WatchSpec::default() };
    let whats = [
        What::Invoke { op: 1, member: 2, request: alarm(u64::MAX) },
        What::Invoke { op: 2, member: 0, request: alarm(1 << 63) },
        What::Invoke { op: 3, member: SOME_MEMBER, request: Request::Txn(txn()) },
        What::Fail { op: 3, error: key },
        What::Watch { watch: 1, member: 2, step: WatchStep::Open { spec } },
        What::Member { member: 1, step: MemberStep::Leads },
    ];
    let events: Vec<Event> =
        whats.into_iter().zip(1..).map(|(what, at)| Event { at, client: 1, what }).collect();
    let mut out = Vec::new();
    write_edn(&events, &mut out).expect("memory takes it");
    let text = String::from_utf8(out).expect("it is text");
    assert!(text.contains(":member 18446744073709551615N"), "{text}");
    let items = parse_items(&text).expect("it is EDN");
    assert!(is_ours(&items[0].1));
    assert_eq!(read_edn(&items), Ok(events));
    let broken = text.replace(":op 3", ":op \"3\"");
    let items = parse_items(&broken).expect("it is EDN");
    assert!(read_edn(&items).is_err_and(|why| why.starts_with("line 3: ")));
}
