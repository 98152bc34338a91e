//! What the command line means: which of the programs in this binary is wanted.
//!
//! By subcommand (`serve`, `dev`, `ctl`, `bench`, `version`), or by the name it was called under:
//! `etcdctl` is `ctl`. Without a subcommand, or when the first argument is a flag, it is the
//! daemon, so that `reseed --name a --data-dir b` works where `etcd` did.

mod again;
mod bench;
mod ctl;
mod daemon;
mod dev;
mod flags;
mod log;

use std::{collections::BTreeMap, ffi::OsString, future::Future, io::Write as _, path::Path};

/// Arguments (the program's name first) and environment of this process.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) args: Vec<String>,
    /// The arguments as they were given.
    pub(crate) given: Vec<OsString>,
    pub(crate) env: BTreeMap<String, String>,
}

/// What `reseed --help` says; the daemon's flags are etcd's and listed by `reseed serve --help`.
const USAGE: &str = "\
An etcd-compatible store whose every failure replays from a seed.

Usage:
  reseed [flags]            run a member (the same as `reseed serve`); flags are etcd's
  reseed serve [flags]      run a member; `reseed serve --help` lists the flags
  reseed dev                run a cluster of three members here, to try things out
  reseed ctl <command>      talk to a cluster, in etcdctl's syntax
  reseed bench <workload>   load a cluster and measure it
  reseed version            print the version

Called as `etcdctl` (a link will do), it is `reseed ctl`.
";

/// Runs the program asked for; returns the exit code of the process.
pub(crate) fn run(mut invocation: Invocation) -> u8 {
    let called_as = invocation.args.first().map(String::as_str).unwrap_or_default();
    if Path::new(called_as).file_name().is_some_and(|name| name == "etcdctl") {
        return ctl::run(&invocation);
    }
    let word = invocation.args.get(1).cloned().unwrap_or_default();
    match word.as_str() {
        "serve" | "dev" | "ctl" | "bench" => drop(invocation.args.remove(1)),
        "version" => {
            say(&version());
            return 0;
        }
        "help" | "-h" | "--help" => {
            say(USAGE);
            return 0;
        }
        _ => {}
    }
    match word.as_str() {
        "bench" => bench::run(invocation),
        "ctl" => ctl::run(&invocation),
        "dev" => dev::run(&invocation),
        "" | "serve" => daemon::run(&invocation),
        flag if flag.starts_with('-') => daemon::run(&invocation),
        other => {
            complain(&format!("unknown command {other:?} for \"reseed\"\n\n{USAGE}"));
            2
        }
    }
}
/// Prints on standard output. Whoever closed it did not want to hear the rest.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

/// Prints on standard error, if anybody is there.
fn complain(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// This program's version, and the one of etcd whose API it speaks.
fn version() -> String {
    let (own, etcd) = (env!("CARGO_PKG_VERSION"), reseed_core::ETCD_VERSION);
    format!("reseed Version: {own}\netcd API Version: {etcd}\n")
}

/// Drives `work` on this thread alone: enough for a command that mostly waits, and cheaper.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the operating system gives this process a reactor")
        .block_on(work)
}

/// Drives `work` and what it spawns on `threads` threads.
pub(crate) fn block_on_threads<T>(threads: usize, work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("the operating system gives this process a reactor")
        .block_on(work)
}
