//! The one binary: `reseed serve`, `reseed ctl`, `reseed bench`, and `etcdctl` by name.
//!
//! This is the only place that reads the environment of the process or sets its exit code;
//! everything else is handed both as values.

mod cli;

use std::process::ExitCode;

/// Half the cost of the system's allocator on the request path (reference: dependencies.md §4).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let invocation = cli::Invocation {
        args: std::env::args_os().map(lossy).collect(),
        given: std::env::args_os().collect(),
        env: std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect(),
    };
    ExitCode::from(cli::run(invocation))
}
