//! The simulator command: `cargo sim …`.
//!
//! Only decides whether this build can simulate at all; everything else is in the library.

use std::process::ExitCode;

// As in the daemon, and a tenth of a run less than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(madsim)]
fn main() -> ExitCode {
    reseed_sim::cli::main()
}

#[cfg(not(madsim))]
fn main() -> ExitCode {
    eprintln!(
        "reseed-sim: this binary was built without --cfg madsim and cannot simulate.\n\
         Use `cargo sim …`; a RUSTFLAGS variable overrides the flags it sets, unset it."
    );
    ExitCode::from(2)
}
