//! The command as CI uses it: what it proves, and the exit codes.

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reseed-sim"))
        .args(arguments)
        // Failures are kept below the repository's own target directory.
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env_remove("RUST_LOG")
        .output()
        .expect("the command runs")
}

/// Runs the command; what it printed, if its exit code is `code`.
fn expect(code: i32, arguments: &[&str]) -> String {
    let output = sim(arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}\n{complained}");
    said + &complained
}

#[cfg(not(madsim))]
#[test]
fn a_build_without_the_cfg_refuses_to_simulate() {
    assert!(expect(2, &["run"]).contains("--cfg madsim"));
}

#[cfg(madsim)]
mod simulating {
    use super::expect;

    /// Fingerprints printed, in order.
    fn fingerprints(said: &str) -> Vec<&str> {
        let hex = |word: &&str| word.len() == 24 && word.bytes().all(|b| b.is_ascii_hexdigit());
        said.split([' ', ':']).filter(hex).collect()
    }

    #[test]
    fn the_world_holds_without_a_server() {
        expect(0, &["selftest", "--seed", "11", "--count", "2"]);
    }

    #[test]
    fn a_seed_does_the_same_in_every_process_and_another_does_not() {
        let [one, again, other] = ["5", "5", "6"].map(|seed| expect(0, &["run", "--seed", seed]));
        assert_eq!(fingerprints(&one).len(), 1, "{one}");
        assert_eq!(fingerprints(&one), fingerprints(&again));
        assert_ne!(fingerprints(&one), fingerprints(&other));
        expect(0, &["swarm", "--seeds", "5..6", "--twice"]);
    }

    #[test]
    fn an_answer_before_the_sync_is_caught() {
        let said = expect(1, &["swarm", "--planted", "ack-before-sync", "--seeds", "1..3"]);
        assert!(said.contains("FAIL power-loss"), "{said}");
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        expect(2, &["run", "--no-such-flag"]);
        expect(2, &["run", "no/such/file.toml"]);
        expect(2, &["swarm", "--seeds", "9..3"]);
    }
}
