//! `cargo sim check-figures`: how long checking takes, and how much memory.

use std::time::Instant;

use clap::Args;

use crate::{
    check::{
        check,
        figures::{Size, history},
    },
    out,
    sysint::cpu_time,
};

#[derive(Args)]
pub(super) struct FiguresArgs {
    /// Operations.
    #[arg(long, default_value_t = 1_000_000)]
    ops: u64,
    /// Clients at once.
    #[arg(long, default_value_t = 32)]
    clients: u32,
    /// Keys, each with a watcher.
    #[arg(long, default_value_t = 100)]
    keys: u32,
    /// Of a hundred operations, so many have no known outcome.
    #[arg(long, default_value_t = 5)]
    unknown_percent: u32,
    /// Makes another history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn command(args: &FiguresArgs) -> Result<u8, String> {
    let FiguresArgs { ops, clients, keys, unknown_percent, seed } = *args;
    let made = history(Size { ops, clients, keys, unknown_percent }, seed);
    out::line(format!("{} events, {} revisions", made.history.len(), made.audit.revision));
    out::line(format!("with the history in memory: {} MiB", memory("VmRSS")?));
    let (begin, spent) = (Instant::now(), cpu_time());
    let checked = check(&made.case());
    let (took, spent) = (begin.elapsed(), cpu_time().saturating_sub(spent));
    let (took, spent) = (took.as_secs_f64(), spent.as_secs_f64());
    out::line(format!("checked in {took:.2} s, {spent:.2} s of processor time"));
    out::line(format!("at most in memory: {} MiB", memory("VmHWM")?));
    if let Some(violation) = checked.violations.first() {
        return Err(format!("a legal history is refused: {violation}"));
    }
    Ok(0)
}

/// What the kernel says of this process, in MiB.
fn memory(field: &str) -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(number.ok_or("no such field")? / 1024)
}
