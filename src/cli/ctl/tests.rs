//! The command line: what is accepted, and how what is not is told.

use std::collections::BTreeMap;

use super::*;

fn parsed(args: &[&str], env: &[(&str, &str)]) -> Result<Parsed, CtlError> {
    let args: Vec<String> =
        std::iter::once("etcdctl").chain(args.iter().copied()).map(str::to_owned).collect();
    let env: BTreeMap<_, _> = env.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    args::parse(&args, &env)
}

fn cli(args: &[&str], env: &[(&str, &str)]) -> args::Cli {
    match parsed(args, env) {
        Ok(Parsed::Run(cli)) => *cli,
        Ok(Parsed::Print(text)) => panic!("{args:?} printed {text}"),
        Err(error) => panic!("{args:?} gave {error:?}"),
    }
}

fn error(args: &[&str], env: &[(&str, &str)]) -> CtlError {
    match parsed(args, env) {
        Err(error) => error,
        Ok(_) => panic!("{args:?} was accepted"),
    }
}

#[test]
fn global_flags_may_stand_anywhere() {
    for args in [&["--endpoints=a:1,b:2", "get", "k"][..], &["get", "k", "--endpoints", "a:1,b:2"]]
    {
        assert_eq!(cli(args, &[]).global.endpoints, ["a:1", "b:2"]);
    }
    assert_eq!(cli(&["get", "k", "-w", "json"], &[]).global.format().ok(), Some(Format::Json));
    assert!(cli(&["get", "k", "--hex"], &[]).global.hex);
    assert!(!cli(&["get", "k", "--hex=false"], &[]).global.hex);
    assert_eq!(
        cli(&["get", "k", "--command-timeout=1m"], &[]).global.command_timeout.as_secs(),
        60
    );
}

#[test]
fn switches_may_be_given_a_value() {
    for (args, expected) in [
        (&["get", "k"][..], false),
        (&["get", "k", "--prefix"], true),
        (&["get", "--prefix", "k"], true),
        (&["get", "k", "--prefix=true"], true),
        (&["get", "k", "--prefix=false"], false),
    ] {
        let Verb::Get(get) = cli(args, &[]).command else { panic!("{args:?} is a get") };
        assert_eq!((get.prefix, get.args.len()), (expected, 1), "{args:?}");
    }
}

#[test]
fn what_follows_two_dashes_is_a_command_only_for_watch() {
    let Verb::Watch(watch) = cli(&["watch", "k", "--rev=3", "--", "echo", "-n"], &[]).command
    else {
        panic!("a watch")
    };
    assert_eq!(
        (watch.args, watch.exec, watch.rev),
        (vec!["k".into()], vec!["echo".into(), "-n".into()], 3)
    );
    let Verb::Put(put) = cli(&["put", "--", "-k", "-v"], &[]).command else { panic!("a put") };
    assert_eq!(put.args, ["-k", "-v"]);
}

#[test]
fn variables_stand_for_global_flags_but_not_beside_them() {
    let env = [("ETCDCTL_ENDPOINTS", "e:1"), ("ETCDCTL_API", "3"), ("ETCDCTL_WRITE_OUT", "fields")];
    let global = cli(&["get", "k"], &env).global;
    assert_eq!(global.endpoints, ["e:1"]);
    assert_eq!(global.format().ok(), Some(Format::Fields));
    let conflict = error(&["get", "k", "-w", "json"], &env);
    assert_eq!(conflict.exit_code, 1);
    assert!(conflict.text.starts_with("conflicting environment variable \"ETCDCTL_WRITE_OUT\""));
}

#[test]
fn mistakes_are_told_in_cobras_words() {
    for (args, exit_code, expected) in [
        (&["foo"][..], 1, "unknown command \"foo\" for \"etcdctl\""),
        (&["get", "k", "--foo"], 1, "unknown flag: --foo"),
        (
            &["get", "k", "--limit", "x"],
            1,
            "invalid argument \"x\" for \"--limit\" flag: strconv.ParseInt: parsing \"x\": \
             invalid syntax",
        ),
        (
            &["get", "k", "--command-timeout=5"],
            1,
            "invalid argument \"5\" for \"--command-timeout\" flag: time: missing unit in \
             duration \"5\"",
        ),
        (&["get", "k", "--endpoints"], 1, "flag needs an argument: --endpoints"),
        (&["get", "k", "--cacert=x"], 4, "TLS is not supported yet"),
        (&["get", "k", "--user=root"], 4, "authentication is not supported yet"),
    ] {
        let found = error(args, &[]);
        assert_eq!((found.exit_code, found.text.as_str()), (exit_code, expected), "{args:?}");
    }
    assert!(matches!(parsed(&["lease"], &[]), Ok(Parsed::Print(_))));
}
