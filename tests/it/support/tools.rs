//! Programs that may or may not be installed: etcd, etcdctl, protoc.
//!
//! A comparison that cannot be made says SKIPPED where nobody can overlook it, and is a failure
//! where `CI` is set: there they are installed.

use std::path::PathBuf;

/// Whether all `programs` are on the path; if not, says which test is skipped for which of them.
///
/// # Panics
/// If one is missing and `CI` is set.
pub(crate) fn present(test: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    missing.is_empty() || skip(test, &format!("{missing:?} not installed"))
}

/// Says that a test is skipped; always false.
///
/// # Panics
/// If `CI` is set.
pub(crate) fn skip(test: &str, why: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{test} cannot run: {why}");
    // Straight to the terminal: what a passing test prints is otherwise swallowed.
    use std::io::Write;
    writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {why}\n").expect("standard error");
    false
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Says that a test needs rights this user lacks; not a failure anywhere.
pub(crate) fn skip_unprivileged(test: &str, why: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {why}\n").expect("standard error");
}
