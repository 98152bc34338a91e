//! Debian's etcdctl against reseed and against Debian's etcd, side by side; and the oracle, which
//! everything else is compared with, against that etcd itself.
//!
//! The same commands run on both, in the same order. Identities, versions, sizes and numbers of
//! raft are masked; everything else must be equal, errors and exit codes included.

use reseed_core::limits::LEASE_TTL_SECS_MIN;
use reseed_core::testing::generate::Source;
use reseed_core::testing::oracle::Oracle;

use crate::kv;
use crate::support::ctl::{Running, run};
use crate::support::{Api, Node, Options, node::free_address, tools, wait};

/// reseed and etcd, if etcd and etcdctl are installed.
fn both(test: &str) -> Option<[Node; 2]> {
    let etcd = Options { etcd: true, ..Options::default() };
    tools::present(test, &["etcd", "etcdctl"]).then(|| [Node::start(), Node::start_with(etcd)])
}

/// Runs a command on both and compares what it says, after `mask`.
fn same(nodes: &[Node; 2], mask: fn(&str) -> String, args: &[&str], input: &str) -> String {
    let [ours, theirs] = nodes.each_ref().map(|node| {
        let text = run(node, args, input);
        mask(&text.replace(&node.address().to_string(), "ADDRESS"))
    });
    assert_eq!(ours, theirs, "etcdctl {args:?} with input {input:?}");
    ours
}

fn plain(text: &str) -> String {
    text.to_owned()
}

/// Identities, terms and sizes of JSON and fields output, replaced.
fn masked(text: &str) -> String {
    let mut masked = text.to_owned();
    for name in ["cluster_id", "member_id", "raft_term", "ClusterID", "MemberID", "RaftTerm"] {
        masked = mask_number_after(&masked, &format!("\"{name}\""));
    }
    masked
}

fn mask_number_after(text: &str, name: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = rest.split_at(at + name.len());
        masked += before;
        let digits = after.trim_start_matches([' ', ':']);
        masked += ": N";
        rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    masked + rest
}

/// Lease ids (16 hex digits) and remaining times, replaced.
fn without_lease_ids(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        if len >= 15 {
            masked += "ID";
        } else if masked.ends_with("remaining(") {
            masked += "N";
        } else if len > 0 {
            masked += &rest[..len];
        } else {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        rest = &rest[len..];
    }
    masked
}

#[test]
fn puts_gets_and_deletions() {
    let Some(nodes) = both("puts_gets_and_deletions") else { return };
    let same = |args: &[&str]| same(&nodes, plain, args, "");
    same(&["put", "foo", "1"]);
    same(&["put", "foo", "2", "--prev-kv"]);
    same(&["put", "foo1", "a"]);
    same(&["put", "foo2", "b"]);
    same(&["put", "fop", "c"]);
    same(&["put", "empty", ""]);
    assert_eq!(same(&["get", "foo"]), "foo\n2\n[ok]");
    same(&["get", "foo", "--rev=2"]);
    same(&["get", "--prefix", "foo"]);
    same(&["get", "--prefix", "foo", "--rev=4"]);
    same(&["get", "--prefix", "foo", "--keys-only"]);
    same(&["get", "--prefix", "foo", "--print-value-only", "--limit=2"]);
    same(&["get", "--prefix", "foo", "--order=DESCEND", "--sort-by=VERSION"]);
    same(&["get", "--prefix", "", "--order=DESCEND", "--sort-by=MODIFY"]);
    same(&["get", "--prefix", "", "--order=ASCEND", "--sort-by=VALUE"]);
    same(&["get", "--from-key", "foo2"]);
    same(&["get", "foo", "fop"]);
    same(&["get", "missing"]);
    same(&["get", "foo", "--rev=100"]);
    same(&["get", "foo", "--consistency=s"]);
    same(&["get", ""]);
    same(&["put", "missing", "--ignore-value"]);
    same(&["put", "foo", "--ignore-value", "--prev-kv"]);
    same(&["del", "foo", "--prev-kv"]);
    same(&["del", "foo"]);
    same(&["del", "--prefix", "foo"]);
    same(&["del", "--from-key", "e"]);
    same(&["get", "--prefix", ""]);
}

#[test]
fn other_formats() {
    let Some(nodes) = both("other_formats") else { return };
    let same = |args: &[&str]| same(&nodes, masked, args, "");
    for format in ["json", "fields"] {
        same(&["put", "k", "v", "-w", format]);
        same(&["put", "k", "w", "--prev-kv", "-w", format]);
        same(&["get", "k", "-w", format]);
        same(&["get", "none", "-w", format]);
        same(&["get", "--prefix", "", "--limit=1", "-w", format]);
        same(&["del", "k", "--prev-kv", "-w", format]);
    }
}

#[test]
fn transactions() {
    let Some(nodes) = both("transactions") else { return };
    let same = |input: &str| same(&nodes, plain, &["txn"], input);
    same("mod(\"k\") = \"0\"\n\nput k 1\nget k\n\nget k\n\n");
    same("mod(\"k\") = \"0\"\n\nput k 2\n\nget k\nput other 1\n\n");
    same("value(\"k\") > \"0\"\nver(\"k\") = \"1\"\n\ndel k\nput k 9\n\n\n");
    same("create(\"k\") != \"0\"\n\ndel k\nget --prefix \"\"\n\n\n");
    same("value(\"none\") != \"x\"\n\nput k then\n\nput k else\n\n");
    same("\nput twice 1\nput twice 2\n\n\n");
    same("\nget k --rev=100\n\n\n");
}

#[test]
fn watches() {
    let Some(nodes) = both("watches") else { return };
    for node in &nodes {
        for (key, value) in [("w", "1"), ("w", "2"), ("x", "3")] {
            run(node, &["put", key, value], "");
        }
        run(node, &["del", "w"], "");
    }
    let same = |args: &[&str], lines: usize| {
        let [ours, theirs] = nodes.each_ref().map(|node| Running::start(node, args).lines(lines));
        assert_eq!(ours, theirs, "etcdctl {args:?}");
        ours
    };
    assert_eq!(same(&["watch", "w", "--rev=2"], 8), "PUT\nw\n1\nPUT\nw\n2\nDELETE\nw\n");
    same(&["watch", "w", "--rev=3", "--prev-kv"], 9);
    same(&["watch", "--prefix", "", "--rev=1"], 11);
    same(&["watch", "x", "--rev=4"], 3);
    // From now on: the watcher is started, then the key is put until it has seen it.
    for node in &nodes {
        let running = Running::start(node, &["watch", "later"]);
        let mut seen = String::new();
        wait::until("the watcher to see a put", || {
            run(node, &["put", "later", "v"], "");
            while seen.lines().count() < 3 {
                seen += &running.try_line()?;
            }
            Some(())
        });
        assert_eq!(seen, "PUT\nlater\nv\n");
    }
}

#[test]
fn leases() {
    let Some(nodes) = both("leases") else { return };
    let same_masked = |args: &[&str]| same(&nodes, without_lease_ids, args, "");
    same_masked(&["lease", "grant", "600"]);
    same_masked(&["lease", "list"]);
    same_masked(&["lease", "revoke", "1234abcd"]);
    same_masked(&["lease", "timetolive", "1234abcd"]);
    same_masked(&["put", "k", "v", "--lease=1234abcd"]);
    same_masked(&["lease", "keep-alive", "--once", "1234abcd"]);
    let transcripts = nodes.each_ref().map(|node| {
        let granted = run(node, &["lease", "grant", "600"], "");
        let id = granted.split(' ').nth(1).expect("an id").to_owned();
        let lease = format!("--lease={id}");
        let commands: [&[&str]; 7] = [
            &["put", "leased", "1", &lease],
            // With one key only: etcd lists them in no order.
            &["lease", "timetolive", &id, "--keys"],
            &["put", "leased2", "2", &lease],
            &["lease", "keep-alive", "--once", &id],
            &["lease", "revoke", &id],
            &["get", "--prefix", "leased"],
            &["lease", "timetolive", &id],
        ];
        commands.map(|args| without_lease_ids(&run(node, args, "")))
    });
    assert_eq!(transcripts[0], transcripts[1]);
    for node in &nodes {
        let granted = run(node, &["lease", "grant", "2"], "");
        let id = granted.split(' ').nth(1).expect("an id").to_owned();
        run(node, &["put", "short", "v", &format!("--lease={id}")], "");
        wait::until("the lease to expire", || {
            (run(node, &["get", "short"], "") == "[ok]").then_some(())
        });
        let gone = run(node, &["lease", "timetolive", &id], "");
        assert_eq!(without_lease_ids(&gone), "lease ID already expired\n[ok]");
    }
}

#[test]
fn compaction_snapshot_and_alarms() {
    let Some(nodes) = both("compaction_snapshot_and_alarms") else { return };
    for node in &nodes {
        for i in 0..10 {
            run(node, &["put", "k", &i.to_string()], "");
        }
    }
    let same = |args: &[&str]| same(&nodes, plain, args, "");
    same(&["compaction", "5"]);
    same(&["compaction", "5"]);
    same(&["compaction", "--physical", "7"]);
    same(&["compaction", "100"]);
    same(&["get", "k", "--rev=6"]);
    same(&["get", "k", "--rev=7"]);
    same(&["alarm", "list"]);
    same(&["alarm", "disarm"]);
    same(&["defrag"]);
    same(&["move-leader", "1234"]);
    for node in &nodes {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("snapshot.db");
        let path = file.to_str().expect("UTF-8");
        let said = run(node, &["snapshot", "save", path], "");
        assert!(said.contains("[ok]") && said.contains("Snapshot saved at"), "{said}");
        let len = std::fs::metadata(&file).expect("the snapshot").len();
        assert_eq!(len % 512, 32, "whole sectors and a SHA-256: {len} bytes");
    }
}

#[test]
fn status_and_members() {
    let Some(nodes) = both("status_and_members") else { return };
    // The endpoint, ids, version, size and raft's numbers differ; the rest of the row does not.
    let rows = nodes.each_ref().map(|node| {
        let table = run(node, &["endpoint", "status", "-w", "table"], "");
        let cells = |line: &str| -> Vec<String> {
            line.split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let lines: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 2, "{table}");
        let (head, row) = (cells(lines[0]), cells(lines[1]));
        let hidden = [
            "ENDPOINT",
            "ID",
            "VERSION",
            "DB SIZE",
            "RAFT TERM",
            "RAFT INDEX",
            "RAFT APPLIED INDEX",
        ];
        let pairs = head.into_iter().zip(row);
        let masked = |(head, cell): (String, String)| {
            let cell = if hidden.contains(&head.as_str()) {
                !cell.is_empty()
            } else {
                return (head, cell);
            };
            (head, cell.to_string())
        };
        pairs.map(masked).collect::<Vec<_>>()
    });
    assert_eq!(rows[0], rows[1]);
    let health = nodes.each_ref().map(|node| {
        let said = run(node, &["endpoint", "health"], "");
        let said = said.replace(&node.address().to_string(), "ADDRESS");
        said.split("took").next().unwrap_or_default().to_owned()
    });
    assert_eq!(health[0], health[1]);
    let members = nodes.each_ref().map(|node| {
        let said = run(node, &["member", "list"], "");
        let cells: Vec<_> = said.split(", ").map(ToOwned::to_owned).collect();
        (cells.len(), cells[1].clone(), cells[2].clone(), cells.last().cloned())
    });
    assert_eq!(members[0], members[1]);
}

/// What a command about members says, in an order that does not depend on ids.
fn about_members(node: &Node, joiner: &Node, args: &[&str]) -> String {
    let mut text = without_ids(&run(node, args, ""));
    for (address, name) in [
        (node.address(), "OLD"),
        (node.peer_address(), "OLD-PEER"),
        (joiner.address(), "NEW"),
        (joiner.peer_address(), "NEW-PEER"),
    ] {
        text = text.replace(&address.to_string(), name);
    }
    in_order(&text)
}

/// Lines, and the members in them, in an order that does not depend on ids.
pub(crate) fn in_order(text: &str) -> String {
    let sorted_cluster = |line: &str| match line.split_once("ETCD_INITIAL_CLUSTER=") {
        Some((_, cluster)) => {
            let mut members: Vec<&str> = cluster.trim_matches('"').split(',').collect();
            members.sort_unstable();
            members.join(",")
        }
        None => line.to_owned(),
    };
    let mut lines: Vec<String> = text.lines().map(sorted_cluster).collect();
    lines.sort();
    lines.join("\n")
}

/// Ids as etcdctl prints them, replaced with what they are padded by.
pub(crate) fn without_ids(text: &str) -> String {
    let is_id = |word: &str| word.len() >= 12 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = text.split(' ').filter(|word| !word.is_empty());
    let masked = words.map(|word| {
        let mut parts = word.split_inclusive([',', '\n']);
        parts
            .by_ref()
            .map(|part| {
                let bare = part.trim_end_matches([',', '\n']);
                if is_id(bare) { part.replace(bare, "ID") } else { part.to_owned() }
            })
            .collect::<String>()
    });
    masked.collect::<Vec<_>>().join(" ")
}

#[test]
fn members_added_promoted_and_removed() {
    let test = "members_added_promoted_and_removed";
    if !tools::present(test, &["etcd", "etcdctl"]) {
        return;
    }
    let said = [false, true].map(|etcd| {
        let node = Node::start_with(member_options(etcd, "one", &[]));
        let mut joiner = Node::prepare(member_options(etcd, "two", &[&node]));
        change_members(&node, &mut joiner)
    });
    for (ours, theirs) in said[0].iter().zip(&said[1]) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(said[0].len(), said[1].len());
}

/// How the first member of a cluster is started, or one that joins it.
fn member_options(etcd: bool, name: &str, running: &[&Node]) -> Options {
    let peer = free_address();
    let own = (name, peer);
    let others = running.iter().map(|node| ("one", node.peer_address()));
    let named = others.chain([own]).map(|(name, peer)| format!("{name}=http://{peer}"));
    let flags = [
        format!("--initial-cluster={}", named.collect::<Vec<_>>().join(",")),
        format!("--initial-advertise-peer-urls=http://{peer}"),
        format!("--initial-cluster-state={}", if running.is_empty() { "new" } else { "existing" }),
    ];
    let (name, peer) = (Some(name.to_owned()), Some(peer));
    Options { flags: flags.to_vec(), etcd, name, peer, ..Options::default() }
}

/// Adds the joiner as a learner, promotes it, removes it, with mistakes on the way.
fn change_members(node: &Node, joiner: &mut Node) -> Vec<String> {
    let mut said = Vec::new();
    let url = format!("--peer-urls=http://{}", joiner.peer_address());
    let say = |joiner: &Node, args: &[&str]| {
        format!("{args:?}\n{}", about_members(node, joiner, args))
            .replace(&joiner.peer_address().to_string(), "NEW-PEER")
    };
    for wrong in [
        &["member", "add"][..],
        &["member", "add", "two"],
        &["member", "add", "two", "--peer-urls=two"],
        &["member", "remove"],
        &["member", "remove", "zz"],
        &["member", "remove", "99"],
        &["member", "promote", "99"],
        &["member", "update", "99", &url],
    ] {
        said.push(say(joiner, wrong));
    }
    said.push(say(joiner, &["member", "add", "two", "--learner", &url]));
    said.push(say(joiner, &["member", "list"]));
    // Ids are made of URLs and of the second: within one, it is the id that exists already.
    said.push(wait::until("another second", || {
        let again = say(joiner, &["member", "add", "again", "--learner", &url]);
        Some(again).filter(|said| !said.contains("member ID already exist"))
    }));
    said.push(say(joiner, &["member", "add", "more", "--learner", "--peer-urls=http://c:1"]));
    let listed = run(node, &["member", "list"], "");
    let line = listed.lines().find(|line| line.contains("unstarted")).expect("the learner");
    let id = line.split(',').next().expect("its id").to_owned();
    let about =
        |joiner: &Node, command: &str| say(joiner, &["member", command, &id]).replace(&id, "ID");
    said.push(about(joiner, "promote"));
    joiner.launch();
    wait::until("the learner to run", || {
        (!run(node, &["member", "list"], "").contains("unstarted")).then_some(())
    });
    said.push(say(joiner, &["member", "list"]));
    said.push(run(joiner, &["get", "k"], ""));
    said.push(wait::until("the learner to be in sync", || {
        Some(about(joiner, "promote")).filter(|said| !said.contains("in sync with leader"))
    }));
    said.push(about(joiner, "promote"));
    said.push(say(joiner, &["member", "list"]));
    said.push(wait::until("both to be connected for a while", || {
        Some(about(joiner, "remove")).filter(|said| !said.contains("unhealthy cluster"))
    }));
    said.push(about(joiner, "remove"));
    said.push(say(joiner, &["member", "list"]));
    said
}

#[tokio::test]
async fn the_oracle_agrees_with_etcd() {
    if !tools::present("the_oracle_agrees_with_etcd", &["etcd"]) {
        return;
    }
    // Each on a fresh store: what a script does soon fills the key space.
    for seed in 1..=seeds() {
        let node = Node::start_with(Options { etcd: true, ..Options::default() });
        let api = Api::connect(&node).await;
        let mut oracle = Oracle::new(LEASE_TTL_SECS_MIN);
        let bytes = kv::script(seed, 4_000);
        let compared = kv::compare(&api, &mut oracle, Source::new(&bytes), kv::Peer::Etcd).await;
        assert!(compared > 150, "only {compared} requests were compared with seed {seed}");
    }
}

/// Scripts for etcd to answer; `RESEED_SCRIPTS` raises it.
fn seeds() -> u64 {
    std::env::var("RESEED_SCRIPTS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}
