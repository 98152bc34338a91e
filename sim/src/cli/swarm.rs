//! `cargo sim swarm`: many seeds.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::Args;

use super::source::{self, What};
use crate::swarm::{self, Queue, Swarm, Twice};

/// Without seeds and without a budget.
const SEEDS: RangeInclusive<u64> = 1..=20;

#[derive(Args)]
pub(super) struct SwarmArgs {
    #[command(flatten)]
    what: What,
    /// First and last seed, as `1..100`; both run. Without: 20 seeds, or all if time is limited.
    #[arg(long, value_parser = parse_seeds)]
    seeds: Option<RangeInclusive<u64>>,
    /// Processor time to spend, as `30s`, `10m` or `8h`; runs that have begun are completed.
    #[arg(long, value_parser = parse_time)]
    cpu: Option<Duration>,
    /// Processes at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Run each seed twice and compare what happened; otherwise failures and a tenth of the rest.
    #[arg(long)]
    twice: bool,
    /// Stop at the first seed that does not pass.
    #[arg(long)]
    fail_fast: bool,
    /// Write the results to this file, as JUnit's XML.
    #[arg(long)]
    junit: Option<PathBuf>,
    /// Print how often each class of each request field was sent.
    #[arg(long)]
    coverage: bool,
}

fn parse_seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once("..").ok_or("seeds are written as 1..100")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let (first, last) = (number(first)?, number(last.trim_start_matches('='))?);
    if first > last { Err(format!("{first}..{last} is empty")) } else { Ok(first..=last) }
}

/// `30s`, `10m` or `8h`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
    let number: u64 = number.parse().map_err(|_| "times are written as 30s, 10m or 8h")?;
    let secs = match unit {
        "s" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        _ => return Err("times are written as 30s, 10m or 8h".to_owned()),
    };
    Ok(Duration::from_secs(secs))
}

pub(super) fn command(args: &SwarmArgs) -> Result<u8, String> {
    let unlimited = || if args.cpu.is_some() { 1..=u64::MAX } else { SEEDS };
    let mut queue = Queue::new(args.seeds.clone().unwrap_or_else(unlimited), args.cpu);
    for source in source::load(&args.what)? {
        let mut command = vec!["run".to_owned(), "--child".to_owned()];
        command.extend(source.file.as_ref().map(|file| file.display().to_string()));
        for planted in &args.what.planted {
            command.extend(["--planted".to_owned(), planted.clone()]);
        }
        queue.add(source.name().to_owned(), command, source.seed());
    }
    let swarm = Swarm {
        queue,
        jobs: args.jobs,
        twice: if args.twice { Twice::All } else { Twice::Sample },
        fail_fast: args.fail_fast,
        junit: args.junit.clone(),
        coverage: args.coverage,
    };
    swarm::run(&swarm).map(|verdict| verdict.exit_code()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_times_are_read() {
        assert_eq!(parse_seeds("3..7"), Ok(3..=7));
        assert_eq!(parse_seeds("3..=7"), Ok(3..=7));
        assert_eq!(parse_time("10m"), Ok(Duration::from_secs(600)));
        for nonsense in ["7..3", "7", "a..b"] {
            assert!(parse_seeds(nonsense).is_err(), "{nonsense}");
        }
        for nonsense in ["", "m", "10", "10x", "-3s"] {
            assert!(parse_time(nonsense).is_err(), "{nonsense}");
        }
    }
}
