//! Flags, variables and what becomes of them, case by case.

use super::*;

fn read_with(args: &[&str], env: &[(&str, &str)]) -> Result<Request, FlagError> {
    let args = std::iter::once("reseed").chain(args.iter().copied()).map(str::to_owned).collect();
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    read(&Invocation { args, given: Vec::new(), env })
}

fn settings(args: &[&str]) -> Settings {
    match read_with(args, &[]) {
        Ok(Request::Run(settings)) => *settings,
        other => panic!("{args:?} gave {other:?}"),
    }
}

fn error(args: &[&str]) -> (u8, String) {
    let error = read_with(args, &[]).expect_err("it must be refused");
    (error.exit_code, error.text)
}

#[test]
fn without_flags_the_defaults_are_etcds() {
    let Settings { config, warnings, .. } = settings(&[]);
    assert_eq!(config.name, "default");
    assert_eq!(config.data_dir.to_str(), Some("default.reseed"));
    assert_eq!(config.listen_client_urls, ["http://localhost:2379"]);
    assert_eq!(config.snapshot_count, 10_000);
    assert_eq!(config.max_request_bytes, 1_572_864);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn every_spelling_of_a_flag_is_read() {
    for args in [
        &["--name", "x"][..],
        &["--name=x"],
        &["-name", "x"],
        &["-name=x"],
        &["--name", "y", "--name", "x"],
    ] {
        let config = settings(args).config;
        assert_eq!(config.name, "x", "{args:?}");
        assert_eq!(config.data_dir.to_str(), Some("x.reseed"), "{args:?}");
    }
    for (args, expected) in
        [(&["--pre-vote"][..], true), (&["--pre-vote=false"], false), (&["-pre-vote=0"], false)]
    {
        assert_eq!(settings(args).config.pre_vote, expected, "{args:?}");
    }
}

#[test]
fn what_cannot_be_read_exits_with_2() {
    for (args, expected) in [
        (&["--nmae=x"][..], "flag provided but not defined: -nmae\n  did you mean --name?"),
        (&["--zzz"], "flag provided but not defined: -zzz"),
        (&["--data-dir"], "flag needs an argument: -data-dir"),
        (&["--pre-vote=x"], "invalid boolean value \"x\" for flag -pre-vote: parse error"),
        (&["--snapshot-count=x"], "invalid value \"x\" for flag -snapshot-count: parse error"),
        (&["--snapshot-count=-1"], "invalid value \"-1\" for flag -snapshot-count: out of range"),
        (
            &["--compaction-sleep-interval=5"],
            "invalid value \"5\" for flag -compaction-sleep-interval: parse error",
        ),
    ] {
        assert_eq!(error(args), (2, expected.to_owned()));
    }
}

#[test]
fn what_makes_no_sense_exits_with_1() {
    for (args, expected) in [
        (&["extra"][..], "'extra' is not a valid flag"),
        (&["--heartbeat-interval=500"], "--election-timeout[1000ms] should be at least as 5 times"),
        (&["--listen-client-urls=http://a:1"], "--advertise-client-urls is required when"),
        (&["--cert-file=a.pem"], "--cert-file=a.pem is refused: TLS is not supported yet"),
        (&["--client-cert-auth"], "--client-cert-auth=true is refused"),
        (&["--auth-token=jwt,sign-method=RS256"], "is refused: authentication is not supported"),
        (&["--discovery-srv=example.com"], "is refused: discovery is not supported yet"),
        (&["--wal-dir=/x"], "--wal-dir=/x is refused"),
        (&["--initial-cluster=a=http://b:1"], "couldn't find local name \"default\""),
        (&["--auto-compaction-mode=x", "--auto-compaction-retention=1"], "unknown auto-compaction"),
        (&["--auto-compaction-retention=x"], "error parsing auto-compaction-retention \"x\""),
        (&["--log-level=loud"], "unrecognized level: \"loud\""),
    ] {
        let (exit_code, text) = error(args);
        assert_eq!(exit_code, 1, "{args:?}");
        assert!(text.contains(expected), "{args:?} gave {text:?}");
    }
}

#[test]
fn a_supervisors_flags_for_a_single_member_are_accepted() {
    let Settings { config, warnings, .. } = settings(&[
        "--name=m0",
        "--data-dir=/d",
        "--listen-client-urls=http://127.0.0.1:1,http://127.0.0.1:2",
        "--advertise-client-urls=http://127.0.0.1:1",
        "--listen-peer-urls=http://127.0.0.1:3",
        "--initial-advertise-peer-urls=http://127.0.0.1:3",
        "--initial-cluster=m0=http://127.0.0.1:3",
        "--initial-cluster-state=new",
        "--experimental-watch-progress-notify-interval=5s",
        "--experimental-initial-corrupt-check=true",
        "--auto-tls=false",
        "--quota-backend-bytes=-1",
    ]);
    assert_eq!(config.listen_client_urls.len(), 2);
    assert_eq!(config.watch_progress_notify_interval.as_secs(), 5);
    assert_eq!(config.quota_backend_bytes, None);
    assert!(config.initial_corrupt_check);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn gates_open_and_say_so_if_that_changes_nothing() {
    let secs = |n| Some(std::time::Duration::from_secs(n));
    let open = settings(&["--feature-gates=CompactHashCheck=true, InitialCorruptCheck=1"]);
    assert!(open.config.initial_corrupt_check && open.warnings.is_empty());
    assert_eq!(open.config.corrupt_check_time, secs(60));
    let both = ["--feature-gates=CompactHashCheck=true", "--corrupt-check-time=5s"];
    assert_eq!(settings(&both).config.corrupt_check_time, secs(5));
    assert_eq!(settings(&[]).config.corrupt_check_time, None);
    assert_eq!(settings(&["--feature-gates=LeaseCheckpoint=true"]).warnings.len(), 1);
    for (gates, expected) in [
        ("X=true", "unrecognized feature gate: X"),
        ("AllBeta", "missing bool value for AllBeta"),
        ("AllBeta=x", "invalid value of AllBeta=x"),
    ] {
        let (exit_code, text) = error(&[&format!("--feature-gates={gates}")]);
        assert!(exit_code == 2 && text.contains(expected), "{text:?}");
    }
}

#[test]
fn retention_is_hours_a_duration_or_a_count() {
    use reseed_server::AutoCompaction::{Off, Periodic, Revision};
    let hours = |hours: u64| Periodic(std::time::Duration::from_secs(hours * 3600));
    for (mode, retention, expected) in [
        ("periodic", "0", Off),
        ("periodic", "2", hours(2)),
        ("periodic", "60m", hours(1)),
        ("revision", "1000", Revision(1000)),
        ("revision", "0", Off),
    ] {
        let mode = format!("--auto-compaction-mode={mode}");
        let retention = format!("--auto-compaction-retention={retention}");
        assert_eq!(settings(&[&mode, &retention]).config.auto_compaction, expected);
    }
}

#[test]
fn the_environment_sets_flags_but_not_twice() {
    let Ok(Request::Run(settings)) = read_with(&[], &[("ETCD_NAME", "e"), ("ETCD_FOO", "1")])
    else {
        panic!("it must be accepted")
    };
    assert_eq!(settings.config.name, "e");
    assert_eq!(settings.warnings, ["unrecognized environment variable ETCD_FOO=1"]);
    let error = read_with(&["--name=a"], &[("ETCD_NAME", "e")]).expect_err("a conflict");
    assert_eq!(error.exit_code, 1);
    assert!(error.text.starts_with("conflicting environment variable \"ETCD_NAME\""));
    let quiet = read_with(&[], &[("ETCD_VERIFY", "all"), ("ETCD_DATA_DIR", "")]);
    assert!(matches!(quiet, Ok(Request::Run(s)) if s.warnings.is_empty()));
}

#[test]
fn version_and_help_win_over_the_rest() {
    assert!(matches!(read_with(&["--version", "--cert-file=x"], &[]), Ok(Request::Version)));
    assert!(matches!(read_with(&["-h"], &[]), Ok(Request::Help)));
    assert!(help().contains("--max-txn-ops '128'"));
}
