//! Published verdicts, and small histories of each form.

use std::{fs, io::Write as _, path::PathBuf};

use super::*;

const BUDGET: u64 = 200_000_000;

/// What a history is judged to be: a class, nothing, or undecided.
fn judged(text: &str, budget: u64) -> Result<String, String> {
    let checked = if is_log(text) {
        check_log(text, budget)?
    } else {
        check_items(&edn::parse_items(text)?, budget)?
    };
    let found = checked.violations.first().map(|one| one.class.clone());
    Ok(found.or(checked.undecided.map(|_| "undecided".to_owned())).unwrap_or_default())
}

fn class(text: &str) -> String {
    judged(text, BUDGET).expect("it is well-formed")
}

/// The public histories lie beside the repository, or beside a folder it is in.
fn data() -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().map(|above| above.join("shared/data/histories"));
    found.into_iter().find(|folder| folder.join("expected.csv").exists())
}

#[test]
fn published_histories_get_their_verdicts() {
    let Some(folder) = data() else {
        let line = "\n*** SKIPPED published_histories: no shared/data/histories\n";
        writeln!(std::io::stderr(), "{line}").expect("standard error");
        assert!(std::env::var_os("CI").is_none(), "CI must have the histories");
        return;
    };
    let expected = fs::read_to_string(folder.join("expected.csv")).expect("it is there");
    let mut checked = 0;
    for line in expected.lines().skip(1) {
        let (file, verdict) = line.split_once(',').expect("two columns");
        let text = fs::read_to_string(folder.join(file)).expect("it is listed");
        let wanted = match verdict.trim() {
            "ok" => "",
            "bad" => "wgl.impossible",
            _ => continue,
        };
        assert_eq!(class(&text), wanted, "{file}");
        checked += 1;
    }
    assert_eq!(checked, 56);
}

const REGISTERS: &str = r#"
    {:process 0, :type :invoke, :f :write, :value [1 5]}
    {:process 1, :type :invoke, :f :read, :value [1 nil]}
    {:process 1, :type :ok, :f :read, :value [1 5]}
    {:process 0, :type :info, :f :write, :value [1 5]}
    {:process :nemesis, :type :info, :f :start}
    {:process 3, :type :invoke, :f :cas, :value [2 [nil 7]]}
    {:process 3, :type :ok, :f :cas, :value [2 [nil 7]]}
    {:process 2, :type :invoke, :f :read, :value [2 nil]}
    {:process 2, :type :ok, :f :read, :value [2 7]}"#;

#[test]
fn registers_in_edn_are_checked_by_key() {
    assert_eq!(class(REGISTERS), "");
    let stale = REGISTERS.replace("[2 7]}", "[1 nil]}");
    assert!(judged(&stale, BUDGET).is_ok_and(|class| class == "wgl.impossible"));
    assert_eq!(judged(&stale, 1), Ok("undecided".to_owned()));
    assert_eq!(class(&REGISTERS.replace("[2 7]}", "[2 8]}")), "wgl.impossible");
}

#[test]
fn a_vector_of_tagged_maps_is_the_same_history() {
    for history in [REGISTERS.to_owned(), REGISTERS.replace("[2 7]}", "[2 8]}")] {
        let tagged = history.replace("{:process", "#jepsen.history.Op{:process");
        assert_eq!(class(&format!("[{tagged}]")), class(&history));
        assert_eq!(class(&tagged), class(&history));
    }
}

/// A line of a history of lists.
fn line(process: u32, kind: &str, value: &str) -> String {
    format!("{{:process {process}, :type :{kind}, :f :txn, :value {value}}}\n")
}

/// A transaction that is over before the next one begins.
fn done(process: u32, value: &str) -> String {
    line(process, "invoke", value) + &line(process, "ok", value)
}

#[test]
fn lists_that_grow_in_one_order_pass() {
    let history = [
        line(0, "invoke", "[[:append 1 1] [:r 1 nil]]"),
        line(1, "invoke", "[[:r 1 nil] [:append 2 1]]"),
        line(1, "ok", "[[:r 1 [1]] [:append 2 1]]"),
        line(0, "ok", "[[:append 1 1] [:r 1 [1]]]"),
        line(2, "invoke", "[[:append 1 2]]"),
        line(2, "info", "[[:append 1 2]]"),
        line(3, "invoke", "[[:append 1 3]]"),
        line(3, "fail", "[[:append 1 3]]"),
        done(1, "[[:r 1 [1 2]] [:r 2 [1]] [:r 3 nil]]"),
    ];
    assert_eq!(class(&history.concat()), "");
    assert_eq!(class(&format!("[{}]", history.concat())), "");
}

#[test]
fn each_anomaly_of_lists_has_its_class() {
    let base = done(0, "[[:append 1 1]]") + &done(0, "[[:append 1 2]]");
    let failed = line(2, "invoke", "[[:append 1 3]]") + &line(2, "fail", "[[:append 1 3]]");
    for (history, wanted) in [
        (done(1, "[[:r 1 [1 9]]]"), "append.phantom"),
        (failed + &done(1, "[[:r 1 [1 2 3]]]"), "append.aborted"),
        (done(1, "[[:r 1 [1 2 1]]]"), "append.order"),
        (done(1, "[[:append 1 3] [:append 1 4]]") + &done(1, "[[:r 1 [1 2 4 3]]]"), "append.order"),
        (done(1, "[[:r 1 [1 2]]]") + &done(2, "[[:r 1 [2]]]"), "append.order"),
        (done(1, "[[:r 1 [1 2]] [:append 1 4] [:r 1 [1 2]]]"), "append.internal"),
        (done(1, "[[:r 1 [1]] [:r 1 [1 2]]]"), "append.internal"),
        (done(1, "[[:r 1 [1 2 4]] [:append 1 4]]"), "append.internal"),
        // Stale, lost, in another order than time, and half of a transaction.
        (done(1, "[[:r 1 [1]]]"), "append.cycle"),
        (done(1, "[[:r 1 nil]]"), "append.cycle"),
        (done(1, "[[:r 1 [2 1]]]"), "append.cycle"),
        (done(1, "[[:append 1 3] [:append 1 4]]") + &done(1, "[[:r 1 [1 2 3]]]"), "append.cycle"),
    ] {
        assert_eq!(class(&(base.clone() + &history)), wanted, "{history}");
    }
    // Two that overlap and do not see each other: write skew.
    let skew = [
        line(0, "invoke", "[[:r 1 nil] [:append 2 1]]"),
        line(1, "invoke", "[[:r 2 nil] [:append 1 1]]"),
        line(0, "ok", "[[:r 1 []] [:append 2 1]]"),
        line(1, "ok", "[[:r 2 []] [:append 1 1]]"),
    ];
    assert_eq!(class(&skew.concat()), "append.cycle");
}

#[test]
fn what_cannot_be_judged_is_an_error_with_its_line() {
    let versioned = "{:process 0, :type :invoke, :f :write, :value [1 [nil 5]]}\n\
                     {:process 0, :type :ok, :f :write, :value [1 [1 5]]}";
    let twice = done(0, "[[:append 1 1]]") + &done(0, "[[:append 1 1]]");
    let mixed = done(0, "[[:append 1 1]]") + "{:process 0, :type :invoke, :f :read}";
    let open = "{:process 0, :type :invoke, :f :read}\n{:process 0, :type :invoke, :f :read}";
    for (text, why) in [
        ("hello", "line 1: neither a map"),
        ("{:process 0, :type :ok, :f :read}", "line 1: the process has nothing open"),
        ("{:process 0, :type 1}", "line 1: :type is"),
        ("{:process 0, :type :done, :f :read}", "line 1: there is no :type"),
        ("\n{:process 0, :type :invoke, :f :enqueue}", "line 2: :enqueue is not judged"),
        (open, "line 2: the process has something open"),
        (versioned, "line 2: the answer is of something else"),
        (&done(0, "[[:w 1 1]]"), "line 1: of transactions only"),
        (&done(0, "3"), "line 1: a transaction is a vector"),
        (&twice, "line 3: Number(1) is appended"),
        (&mixed, "line 3: transactions and :read"),
        (&(line(0, "invoke", "[[:r 1 nil]]") + &line(0, "ok", "[[:r 2 []]]")), "line 2: not what"),
        ("[{:process 0", "line 1: ends too early"),
        ("{:process :nemesis, :type :info}", "there is no operation"),
    ] {
        let told = judged(text, BUDGET).expect_err(text);
        assert!(told.starts_with(why), "{told}, not {why}");
    }
}
