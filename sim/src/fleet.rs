//! Simulations in processes of their own: this binary again, one seed each.
//!
//! A child prints one line, `report ` and JSON, as its last; what it prints otherwise is shown
//! only when something is wrong with it.

use std::{
    io,
    process::{Command, Stdio},
};

use serde::{Serialize, de::DeserializeOwned};

/// What marks the line with a child's report.
const REPORT: &str = "report ";

/// Prints a child's report to its parent.
///
/// # Panics
/// If the report cannot be JSON.
pub fn report<T: Serialize>(report: &T) {
    println!("{REPORT}{}", serde_json::to_string(report).expect("reports are plain data"));
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
    let output = Command::new(std::env::current_exe()?).args(args).stdin(Stdio::null()).output()?;
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
    Ok(Child { report, said })
}
