//! Simulations in processes of their own: this binary again, one seed each.
//!
//! A child prints one line, `report ` and JSON, as its last; what it prints otherwise is shown
//! only when something is wrong with it.

use std::{
    io::{self, Read},
    os::unix::process::ExitStatusExt as _,
    process::{Command, Output, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread::ScopedJoinHandle,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::out;

/// What marks the line with a child's report.
const REPORT: &str = "report ";
/// Ends a process that has used up its processor time.
const SIGXCPU: i32 = 24;
/// Memory of one run, in KiB: one that loops must not take the machine with it.
const MEMORY_KIB_MAX: u64 = 8 << 20;
/// Processor time of one run, far more than any needs.
const CPU_MAX: Duration = Duration::from_secs(1800);

/// Runs its arguments within so much memory (`$0`) and processor time (`$1`); whoever has less
/// memory to give keeps to that.
const BOUNDED: &str =
    "ulimit -S -v \"$0\" 2>/dev/null; ulimit -S -t \"$1\" && shift && exec \"$@\"";

/// A child that is slow because of others gets so many times its processor time of real time.
const IDLE: u32 = 20;

/// Prints a child's report to its parent.
///
/// # Panics
/// If the report cannot be JSON.
pub fn report<T: Serialize>(report: &T) {
    let json = serde_json::to_string(report).expect("reports are plain data");
    out::line(format!("{REPORT}{json}"));
}

/// How a child ended.
#[derive(Clone, Debug)]
pub struct Child<T> {
    /// Its report, if it got that far.
    pub report: Option<T>,
    /// Everything else it said.
    pub said: String,
}

/// Runs this binary with `args` and waits for it.
///
/// # Errors
/// If no process can be started.
pub fn run_child<T: DeserializeOwned>(args: &[String]) -> io::Result<Child<T>> {
    Ok(read(&this_program(args, CPU_MAX)?.output()?))
}

/// The same, but ends the process after `limit` of processor time, or if it does not even use that;
/// then there is nothing to tell.
///
/// # Errors
/// If no process can be started or ended.
pub fn run_child_within<T: DeserializeOwned>(
    args: &[String],
    limit: Duration,
) -> io::Result<Option<Child<T>>> {
    let mut limited = this_program(args, limit)?;
    let mut child = limited.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (over, is_over) = mpsc::channel();
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut output = std::thread::scope(|scope| {
        let errors = scope.spawn(move || drain(stderr.as_mut()));
        let answers = scope.spawn(move || {
            let answers = drain(stdout.as_mut());
            // Whoever waited may have stopped.
            let _nobody_waits = over.send(());
            answers
        });
        let mut timely = is_over.recv_timeout(limit * IDLE) != Err(RecvTimeoutError::Timeout);
        if !timely {
            child.kill()?;
        }
        let status = child.wait()?;
        timely &= status.signal() != Some(SIGXCPU);
        let text = |reader: ScopedJoinHandle<'_, Vec<u8>>| reader.join().unwrap_or_default();
        let (stdout, stderr) = (text(answers), text(errors));
        Ok::<_, io::Error>(timely.then_some(Output { status, stdout, stderr }))
    })?;
    Ok(output.take().map(|output| read(&output)))
}

/// This binary again, with bounds. Where it panics is one line there; who called whom is for a
/// replay.
fn this_program(args: &[String], cpu: Duration) -> io::Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", BOUNDED]);
    command.args([MEMORY_KIB_MAX.to_string(), cpu.as_secs().to_string()]);
    command.arg(std::env::current_exe()?).args(args);
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    Ok(command)
}

fn drain(from: Option<&mut impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What could not be read is missing from what it said, as if it had not been said.
        drop(from.read_to_end(&mut bytes));
    }
    bytes
}

fn read<T: DeserializeOwned>(output: &Output) -> Child<T> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().rev().find_map(|line| line.strip_prefix(REPORT));
    let report = line.and_then(|line| serde_json::from_str(line).ok());
    let mut said: String = stdout
        .lines()
        .filter(|line| !line.starts_with(REPORT))
        .map(|line| format!("{line}\n"))
        .collect();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && report.is_none() {
        said.push_str(&format!("the child ended with {}\n", output.status));
    }
    Child { report, said }
}
