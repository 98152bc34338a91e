//! What this process uses of the machine, for its metrics.

use std::path::Path;

/// Memory, time and files of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Bytes in memory.
    pub resident_bytes: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Seconds of CPU, user and system.
    pub cpu_seconds: f64,
    /// Open file descriptors.
    pub open_files: u64,
    /// Most file descriptors that it may open.
    pub open_files_max: u64,
    /// When it began, seconds since 1970.
    pub began_unix_seconds: f64,
}

/// The usage of the process whose directory in `/proc` this is; `None` where there is no such
/// thing, as in simulation.
pub fn usage(proc_dir: &Path) -> Option<Usage> {
    if cfg!(madsim) {
        return None;
    }
    let status = std::fs::read_to_string(proc_dir.join("status")).ok()?;
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let limits = std::fs::read_to_string(proc_dir.join("limits")).ok()?;
    let files_max = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    // Or it is "unlimited".
    let files_max = files_max.split_whitespace().next()?.parse().unwrap_or(u64::MAX);
    let system = std::fs::read_to_string(proc_dir.join("../stat")).ok()?;
    let booted = system.lines().find_map(|line| line.strip_prefix("btime "))?;
    let stat = std::fs::read_to_string(proc_dir.join("stat")).ok()?;
    // Fields after the command in parentheses; user and system time are the 14th and 15th of all,
    // the start after boot the 22nd.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    let began_ticks = times.nth(6)?.ok()?;
    Some(Usage {
        resident_bytes: kilobytes("VmRSS:")? * 1024,
        virtual_bytes: kilobytes("VmSize:")? * 1024,
        cpu_seconds: ticks as f64 / ticks_per_second(),
        open_files_max: files_max,
        began_unix_seconds: booted.parse::<f64>().ok()? + began_ticks as f64 / ticks_per_second(),
        open_files: std::fs::read_dir(proc_dir.join("fd")).map_or(0, |dir| dir.count() as u64),
    })
}

#[cfg(not(madsim))]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[cfg(madsim)]
fn ticks_per_second() -> f64 {
    100.0
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_files() {
        let usage = usage(Path::new("/proc/self")).expect("Linux has /proc");
        assert!(usage.resident_bytes > 0 && usage.virtual_bytes >= usage.resident_bytes);
        assert!((1..=usage.open_files_max).contains(&usage.open_files));
        // This test runs some time after its process began, by a clock that counts ticks.
        let age = crate::clock::wall().as_secs_f64() - usage.began_unix_seconds;
        assert!((-1.0..3600.0).contains(&age), "{age}");
    }
}
