//! `reseed bench compare`: this binary and an etcd, in turn, under the same loads.
//!
//! One at a time, each in a fresh directory, on the same disk, with the same flags (so both sync
//! before they answer), the order swapped every round. What counts is the median over the rounds
//! of the ratio within a round: a machine that is busy for a while is busy for both.

mod cluster;
mod process;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::cluster::Cluster;
use super::{
    Common, Workload, load,
    report::{Report, Usage},
};

const MIB: f64 = 1_048_576.0;

#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArgs {
    /// The etcd to compare with.
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    /// Times that each of the two runs.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Members of each; with several, the last figure is the time without a leader after one was
    /// killed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=7))]
    members: u8,
    /// Keys written before the loads, and read by them.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Where to put the data directories; they are removed afterwards.
    #[arg(long, default_value = "bench-compare")]
    dir: PathBuf,
    /// Only these loads.
    #[arg(long, value_delimiter = ',')]
    loads: Vec<String>,
}

/// A load by name: clients, connections, and what they do.
struct Load {
    name: &'static str,
    clients: usize,
    conns: usize,
    workload: Workload,
}

fn loads() -> Vec<Load> {
    let load = |name, clients, conns, workload| Load { name, clients, conns, workload };
    let range = |keys_per_range, serializable| Workload::Range { keys_per_range, serializable };
    vec![
        load("put-1", 1, 1, Workload::Put),
        load("put-64", 64, 64, Workload::Put),
        load("put-256", 256, 64, Workload::Put),
        load("get-256", 256, 64, range(1, false)),
        load("get-serializable-256", 256, 64, range(1, true)),
        load("range-1000-16", 16, 16, range(1000, false)),
        load("txn-256", 256, 64, Workload::Txn),
        load("watch-1000", 16, 16, Workload::Watch { watchers: 1000 }),
        load("lease-grant-64", 64, 64, Workload::Lease { keep_alive: false, ttl: 300 }),
        load("lease-keep-alive-256", 256, 64, Workload::Lease { keep_alive: true, ttl: 300 }),
    ]
}

/// One figure of both, over the rounds: reseed's first.
#[derive(Debug, Default)]
struct Pairs {
    name: String,
    unit: &'static str,
    rounds: Vec<[f64; 2]>,
}

impl Pairs {
    fn median(&self, of: impl Fn(&[f64; 2]) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        }
    }

    fn ratio(&self) -> f64 {
        self.median(|[reseed, etcd]| reseed / etcd)
    }
}

/// Runs everything; returns what to print.
pub(super) async fn run(common: &Common, args: &CompareArgs, is_json: bool) -> Result<String> {
    if let Some(name) = args.loads.iter().find(|name| loads().iter().all(|l| l.name != **name)) {
        let known: Vec<_> = loads().iter().map(|load| load.name).collect();
        bail!("no load is called {name}; there are {}", known.join(", "));
    }
    let own = std::env::current_exe().context("the path of this binary")?;
    let binaries = [own.as_path(), args.etcd.as_path()];
    let mut figures: Vec<Pairs> = Vec::new();
    for round in 0..args.rounds.max(1) {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        let mut found: [Vec<(String, &'static str, f64)>; 2] = Default::default();
        for side in order {
            let turn = format!("round {}: {}\n", round + 1, binaries[side].display());
            crate::cli::complain(&turn);
            found[side] = session(common, args, binaries[side]).await?;
        }
        let [own, peer] = found;
        for (index, (mine, theirs)) in own.into_iter().zip(peer).enumerate() {
            if figures.len() == index {
                figures.push(Pairs { name: mine.0, unit: mine.1, rounds: Vec::new() });
            }
            figures[index].rounds.push([mine.2, theirs.2]);
        }
    }
    Ok(match is_json {
        true => to_json(&figures),
        false => to_text(&figures, &process::version(&args.etcd)),
    })
}

/// One server's turn: its figures, always in the same order.
async fn session(
    common: &Common,
    args: &CompareArgs,
    binary: &Path,
) -> Result<Vec<(String, &'static str, f64)>> {
    let mut figures = Vec::new();
    let mut server = Cluster::start(binary, &args.dir, args.members.into()).await?;
    let fill = Workload::Fill { keys: args.keys, batch: 1 };
    let report = load::run(settings(common, args, &server, (256, 64)), fill).await?;
    check(&report)?;
    let usage = Usage::of(&server.pids()).context("the server's memory")?;
    figures.push(("resident after fill".into(), "MiB", usage.resident_bytes as f64 / MIB));
    for Load { name, clients, conns, workload } in loads() {
        if args.loads.is_empty() || args.loads.iter().any(|wanted| wanted == name) {
            let settings = settings(common, args, &server, (clients, conns));
            let report = load::run(settings, workload).await?;
            check(&report)?;
            let cpu = report.server_cpu_micros().unwrap_or(f64::NAN);
            figures.push((name.to_owned(), "/s", report.per_second()));
            figures.push((format!("{name} p99"), "ms", report.quantile_millis(0.99)));
            figures.push((format!("{name} server CPU"), "us", cpu));
        }
    }
    if args.members == 1 {
        figures.push(("restart".into(), "s", server.restart().await?.as_secs_f64()));
    } else {
        let without = server.kill_leader().await?;
        figures.push(("no leader after kill -9".into(), "s", without.as_secs_f64()));
    }
    Ok(figures)
}

fn settings(
    common: &Common,
    args: &CompareArgs,
    server: &Cluster,
    (clients, conns): (usize, usize),
) -> Common {
    Common {
        endpoints: server.endpoints(),
        clients,
        conns,
        key_space: args.keys,
        server_pid: server.pids(),
        seconds: Some(common.seconds.unwrap_or(5.0)),
        ..common.clone()
    }
}

/// A run with errors has no figures.
fn check(report: &Report) -> Result<()> {
    match report.errors {
        0 => Ok(()),
        errors => bail!("{}: {errors} errors: {:?}", report.workload, report.error_texts),
    }
}

fn to_json(figures: &[Pairs]) -> String {
    let rows: Vec<_> = figures
        .iter()
        .map(|pairs| {
            serde_json::json!({
                "figure": pairs.name,
                "unit": pairs.unit,
                "reseed": pairs.median(|pair| pair[0]),
                "etcd": pairs.median(|pair| pair[1]),
                "ratio": pairs.ratio(),
                "rounds": pairs.rounds,
            })
        })
        .collect();
    serde_json::Value::from(rows).to_string() + "\n"
}

fn to_text(figures: &[Pairs], etcd: &str) -> String {
    let rounds = figures.first().map_or(0, |pairs| pairs.rounds.len());
    let mut text = format!("reseed {} and {etcd}, ", env!("CARGO_PKG_VERSION"));
    text += &format!("medians of {rounds} rounds; the ratio is the median of the rounds' own\n");
    text += &format!("{:<40}{:>12}{:>12}{:>9}\n", "", "reseed", "etcd", "ratio");
    for pairs in figures {
        let (reseed, etcd) = (pairs.median(|pair| pair[0]), pairs.median(|pair| pair[1]));
        let name = format!("{} [{}]", pairs.name, pairs.unit);
        let decimals = if reseed.max(etcd) >= 1000.0 { 0 } else { 2 };
        text += &format!("{name:<40}{reseed:>12.decimals$}{etcd:>12.decimals$}");
        text += &format!("{:>9.2}\n", pairs.ratio());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_taken_within_a_round() {
        let pairs = |rounds: &[[f64; 2]]| Pairs { rounds: rounds.to_vec(), ..Pairs::default() };
        // The machine was half as fast in the second round: the ratio does not notice.
        let found = pairs(&[[20.0, 10.0], [10.0, 5.0], [22.0, 10.0]]);
        assert_eq!(found.ratio(), 2.0);
        assert_eq!(found.median(|pair| pair[0]), 20.0);
        assert_eq!(pairs(&[[1.0, 1.0], [3.0, 1.0]]).ratio(), 2.0);
    }
}
