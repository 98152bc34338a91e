//! Debian's etcdctl as a child process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use super::{Node, wait};

fn command(node: &Node, args: &[&str]) -> Command {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &node.address().to_string()]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end: what it printed on both streams and whether it succeeded.
pub(crate) fn run(node: &Node, args: &[&str], input: &str) -> String {
    let mut child = command(node, args).spawn().expect("etcdctl");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("etcdctl reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("etcdctl");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (out, err) = (text(output.stdout), text(output.stderr));
    // What the client library logs (time, target) is not what etcdctl answers.
    let err: String =
        err.lines().filter(|l| !l.starts_with('{')).map(|l| format!("{l}\n")).collect();
    format!("{out}{err}[{}]", if output.status.success() { "ok" } else { "failed" })
}

/// A command that goes on until it is dropped, its output line by line.
pub(crate) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(node: &Node, args: &[&str]) -> Self {
        let mut child = command(node, args).spawn().expect("etcdctl");
        let out = child.stdout.take().expect("a pipe");
        let (sender, lines) = mpsc::sync_channel(1_000);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Its next line, if it has printed one.
    pub(crate) fn try_line(&self) -> Option<String> {
        self.lines.try_recv().ok().map(|line| line + "\n")
    }

    /// Its next `count` lines.
    pub(crate) fn lines(&self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            let line = self.lines.recv_timeout(wait::PATIENCE);
            text += &line.unwrap_or_else(|_| panic!("waited for a line after:\n{text}"));
            text.push('\n');
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
