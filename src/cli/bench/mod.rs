//! `reseed bench`: loads any etcd endpoint and says what it did and what it cost.
//!
//! Closed loop: each of N clients sends its next request when the last one was answered, over M
//! connections. So throughput and latency are two sides of one number, and an overloaded server
//! slows its load down instead of being buried; for latency at a given rate, this is the wrong
//! tool. Loader and server usually share a machine here, so the loader is built to be cheap (one
//! thread unless told otherwise, raw stubs, values made once), and the figure to compare is the
//! server's CPU time per operation, read from `/proc/<pid>/stat`.

mod compare;
mod load;
mod report;
mod watch;
mod work;

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::Invocation;

/// Load an etcd cluster and measure it.
#[derive(Debug, Parser)]
#[command(name = "reseed bench")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Endpoints, tried in turn; connections are spread over them.
    #[arg(long, global = true, value_delimiter = ',', default_value = "127.0.0.1:2379")]
    endpoints: Vec<String>,
    /// Clients that each have one request under way.
    #[arg(long, global = true, default_value_t = 1)]
    clients: usize,
    /// Connections they share.
    #[arg(long, global = true, default_value_t = 1)]
    conns: usize,
    /// Operations in all. Default 10000, or no limit with --seconds.
    #[arg(long, global = true)]
    total: Option<u64>,
    /// Stop after this long.
    #[arg(long, global = true)]
    seconds: Option<f64>,
    /// Bytes of a key, at least 8.
    #[arg(long, global = true, default_value_t = 32)]
    key_size: usize,
    /// Bytes of a value.
    #[arg(long, global = true, default_value_t = 256)]
    val_size: usize,
    /// Number of different keys.
    #[arg(long, global = true, default_value_t = 100_000)]
    key_space: u64,
    /// Take the keys in order instead of at random.
    #[arg(long, global = true)]
    sequential: bool,
    /// Threads of the loader.
    #[arg(long, global = true, default_value_t = 1)]
    threads: usize,
    /// Process ids of the server's members: their CPU time and memory are reported too.
    #[arg(long, global = true, value_delimiter = ',')]
    server_pid: Vec<u32>,
    /// How to print the result.
    #[arg(short, long, global = true, default_value = "simple")]
    write_out: WriteOut,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WriteOut {
    Simple,
    Json,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Workload {
    /// Write keys.
    Put,
    /// Read keys.
    Range {
        /// Keys read at once.
        #[arg(long, default_value_t = 1)]
        keys_per_range: u64,
        /// Read what the member has, without asking the others.
        #[arg(long)]
        serializable: bool,
    },
    /// Compare-and-swap: each client replaces the value of a key of its own if nobody else did.
    Txn,
    /// Watch one key with many watchers while one client writes it; an operation is one event
    /// received by one watcher. Each of --clients is one stream; --total counts the writes.
    Watch {
        /// Watchers, spread over the streams.
        #[arg(long, default_value_t = 1000)]
        watchers: u64,
    },
    /// Grant leases, or keep one per client alive.
    Lease {
        /// Renew instead of granting.
        #[arg(long)]
        keep_alive: bool,
        /// Time to live of a lease, seconds.
        #[arg(long, default_value_t = 300)]
        ttl: i64,
    },
    /// Write --keys different keys once each, in order.
    Fill {
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        keys: u64,
        /// Keys written in one transaction.
        #[arg(long, default_value_t = 1)]
        batch: u64,
    },
    /// Start this binary and an etcd in turn, load both alike, and print the ratios. Each load
    /// lasts --seconds (default 5).
    Compare(compare::CompareArgs),
}

impl Common {
    /// Operations after which to stop.
    fn total(&self) -> u64 {
        match (self.total, self.seconds) {
            (Some(total), _) => total,
            (None, Some(_)) => u64::MAX,
            (None, None) => 10_000,
        }
    }

    /// Time after which to stop.
    fn time(&self) -> Option<Duration> {
        self.seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e6)))
    }
}

/// Runs the workload; returns the exit code: 1 if it could not run, or any operation failed.
pub(crate) fn run(invocation: Invocation) -> u8 {
    let args =
        std::iter::once("reseed bench".to_owned()).chain(invocation.args.into_iter().skip(1));
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to do if the terminal is gone.
            error.print().ok();
            return u8::from(error.use_stderr()) * 2;
        }
    };
    let threads = cli.common.threads;
    let work = measure(cli);
    let outcome = match threads {
        0 | 1 => super::block_on(work),
        _ => super::block_on_threads(threads, work),
    };
    outcome.unwrap_or_else(|error| {
        super::complain(&format!("Error: {error:#}\n"));
        1
    })
}

async fn measure(cli: Cli) -> anyhow::Result<u8> {
    let is_json = matches!(cli.common.write_out, WriteOut::Json);
    if let Workload::Compare(args) = &cli.workload {
        super::say(&compare::run(&cli.common, args, is_json).await?);
        return Ok(0);
    }
    let report = load::run(cli.common, cli.workload).await?;
    match is_json {
        true => super::say(&format!("{}\n", report.to_json())),
        false => super::say(&report.to_string()),
    }
    Ok(u8::from(report.errors > 0))
}
