//! Published verdicts, and small histories of each form.

use std::{fs, io::Write as _, path::PathBuf};

use super::*;

const BUDGET: u64 = 200_000_000;

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
        let found = check(&text, BUDGET).expect("it is well-formed");
        let wanted = match verdict.trim() {
            "ok" => Verdict::Linearizable,
            "bad" => Verdict::Impossible,
            _ => continue,
        };
        assert_eq!(found, wanted, "{file}");
        checked += 1;
    }
    assert_eq!(checked, 56);
}

#[test]
fn registers_in_edn_are_checked_by_key() {
    let legal = r#"
        {:process 0, :type :invoke, :f :write, :value [1 5]}
        {:process 1, :type :invoke, :f :read, :value [1 nil]}
        {:process 1, :type :ok, :f :read, :value [1 5]}
        {:process 0, :type :info, :f :write, :value [1 5]}
        {:process :nemesis, :type :info, :f :start}
        {:process 2, :type :invoke, :f :read, :value [2 nil]}
        {:process 2, :type :ok, :f :read, :value [2 nil]}"#;
    assert_eq!(check(legal, BUDGET), Ok(Verdict::Linearizable));
    let stale = legal.replace("[2 nil]}", "[1 nil]}");
    assert_eq!(check(&stale, BUDGET), Ok(Verdict::Impossible));
    assert_eq!(check(&stale, 1), Ok(Verdict::Undecided));
}

#[test]
fn nonsense_is_an_error() {
    for text in ["hello", "{:process 0, :type :ok, :f :read}", "{:process 0, :type 1}"] {
        assert!(check(text, BUDGET).is_err(), "{text}");
    }
}
