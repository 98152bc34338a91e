//! The figures of one run, and how they are printed.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;

/// CPU time is counted in these: `USER_HZ`, fixed at 100 by Linux's ABI.
const TICKS_PER_SECOND: u64 = 100;
const MIB: f64 = 1_048_576.0;

/// What a process has used so far, as `/proc` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// User and system time.
    pub(super) cpu: Duration,
    /// Memory in RAM now.
    pub(super) resident_bytes: u64,
}

impl Usage {
    /// Reads the usage of this process.
    pub(super) fn own() -> Option<Self> {
        Self::read("self")
    }

    /// Reads the usage of all of these processes together, such as the members of a cluster.
    pub(super) fn of(pids: &[u32]) -> Option<Self> {
        let mut sum = Self { cpu: Duration::ZERO, resident_bytes: 0 };
        for pid in pids {
            let one = Self::read(&pid.to_string())?;
            sum.cpu += one.cpu;
            sum.resident_bytes += one.resident_bytes;
        }
        Some(sum)
    }

    #[expect(clippy::disallowed_methods, reason = "/proc is the terminal side of the program")]
    fn read(process: &str) -> Option<Self> {
        let read = |file: &str| {
            let bytes = std::fs::read(format!("/proc/{process}/{file}")).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        Self::parse(&read("stat")?, &read("status")?)
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The second field is a name in parentheses that may hold anything; count after it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = resident.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(Self {
            cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
            resident_bytes: kib * 1024,
        })
    }
}

/// One run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) workload: &'static str,
    pub(super) clients: usize,
    pub(super) conns: usize,
    pub(super) ops: u64,
    pub(super) errors: u64,
    /// How often each error came, by text.
    pub(super) error_texts: BTreeMap<String, u64>,
    pub(super) took: Duration,
    /// Microseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) server: Option<(Usage, Usage)>,
    pub(super) loader: Option<(Usage, Usage)>,
}

impl Report {
    /// Operations per second.
    pub(super) fn per_second(&self) -> f64 {
        self.ops as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Microseconds of the server's CPU time per operation, if it was looked at.
    pub(super) fn server_cpu_micros(&self) -> Option<f64> {
        self.cpu_micros_per_op(self.server)
    }

    fn cpu_micros_per_op(&self, usage: Option<(Usage, Usage)>) -> Option<f64> {
        let (before, after) = usage?;
        let spent = after.cpu.saturating_sub(before.cpu);
        Some(spent.as_micros() as f64 / self.ops.max(1) as f64)
    }

    /// Latency that this share of the operations stayed within.
    pub(super) fn quantile_millis(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// One line for a program to read.
    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "workload": self.workload,
            "clients": self.clients,
            "conns": self.conns,
            "ops": self.ops,
            "errors": self.errors,
            "seconds": self.took.as_secs_f64(),
            "per_second": self.per_second(),
            "p50_ms": self.quantile_millis(0.5),
            "p90_ms": self.quantile_millis(0.9),
            "p99_ms": self.quantile_millis(0.99),
            "max_ms": self.latency.max() as f64 / 1000.0,
            "server_cpu_us_per_op": self.server_cpu_micros(),
            "server_resident_bytes": self.server.map(|(_, after)| after.resident_bytes),
            "loader_cpu_us_per_op": self.cpu_micros_per_op(self.loader),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, clients, conns, ops, errors, .. } = self;
        let took = self.took.as_secs_f64();
        writeln!(f, "{workload}: {ops} in {took:.3} s by {clients} clients over {conns} conns")?;
        writeln!(f, "  throughput  {:.0}/s", self.per_second())?;
        writeln!(
            f,
            "  latency     p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms, max {:.3} ms",
            self.quantile_millis(0.5),
            self.quantile_millis(0.9),
            self.quantile_millis(0.99),
            self.latency.max() as f64 / 1000.0
        )?;
        writeln!(f, "  errors      {errors}")?;
        for (text, count) in &self.error_texts {
            writeln!(f, "              {count} x {text}")?;
        }
        if let (Some(micros), Some((_, after))) = (self.server_cpu_micros(), self.server) {
            let mib = after.resident_bytes as f64 / MIB;
            writeln!(f, "  server      {micros:.1} us CPU per operation, {mib:.1} MiB resident")?;
        }
        if let Some(micros) = self.cpu_micros_per_op(self.loader) {
            writeln!(f, "  loader      {micros:.1} us CPU per operation")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_survives_a_strange_process_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 9 0 1 2 3";
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n";
        let usage = Usage::parse(stat, status).expect("both files are well-formed");
        assert_eq!(usage.cpu, Duration::from_secs(3));
        assert_eq!(usage.resident_bytes, 2 * 1_048_576);
        assert_eq!(Usage::parse("", status), None);
        assert_eq!(Usage::parse(stat, ""), None);
    }
}
