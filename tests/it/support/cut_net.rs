//! Machines of their own on one network, as network namespaces: what goes between them can be cut.
//!
//! Each has an address on a bridge where this process has one too, so clients reach all of them
//! whatever is cut between them. It takes root and iproute2; where they are missing, nothing can be
//! cut, and the test that wanted to says so.

use std::net::Ipv4Addr;
use std::process::{Command, id};
use std::sync::atomic::{AtomicU8, Ordering};

/// Networks that this process has made.
static MADE: AtomicU8 = AtomicU8::new(0);

/// A bridge and the namespaces on it; gone when dropped.
#[derive(Debug)]
pub(crate) struct CutNet {
    name: String,
    subnet: [u8; 3],
    machines: u8,
}

impl CutNet {
    /// A network of `machines` machines, or what this machine does not allow.
    pub(crate) fn new(machines: u8) -> Result<Self, String> {
        // Other tests may do the same at the same time: neither name nor subnet is shared.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let [.., low] = id().to_be_bytes();
        let name = format!("rs{:x}{number}", id());
        let net = Self { name, subnet: [10, 128 + number % 128, low], machines };
        net.set_up().map(|()| net)
    }

    fn set_up(&self) -> Result<(), String> {
        let bridge = &self.name;
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add {}/24 dev {bridge}", self.address_of(254)))?;
        ip(&format!("link set {bridge} up"))?;
        for n in 0..self.machines {
            let (space, near, far) = (self.space(n), format!("{bridge}n{n}"), format!("f{n}"));
            ip(&format!("netns add {space}"))?;
            ip(&format!("link add {near} type veth peer name {far} netns {space}"))?;
            ip(&format!("link set {near} master {bridge} up"))?;
            ip(&format!("-n {space} addr add {}/24 dev {far}", self.address(n)))?;
            ip(&format!("-n {space} link set {far} up"))?;
            ip(&format!("-n {space} link set lo up"))?;
        }
        Ok(())
    }

    /// The namespace that is machine `n`.
    pub(crate) fn space(&self, n: u8) -> String {
        format!("{}m{n}", self.name)
    }

    /// Where machine `n` is.
    pub(crate) fn address(&self, n: u8) -> Ipv4Addr {
        self.address_of(n + 1)
    }

    fn address_of(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.subnet;
        Ipv4Addr::new(a, b, c, last)
    }

    /// Nothing gets from one of the machines to the other any more, either way.
    pub(crate) fn cut(&self, one: u8, other: u8) {
        self.each_way(one, other, "add");
    }

    /// Everything gets there again.
    pub(crate) fn join(&self, one: u8, other: u8) {
        self.each_way(one, other, "del");
    }

    fn each_way(&self, one: u8, other: u8, what: &str) {
        for (from, to) in [(one, other), (other, one)] {
            let (space, address) = (self.space(from), self.address(to));
            ip(&format!("-n {space} route {what} blackhole {address}/32")).expect("a route");
        }
    }
}

impl Drop for CutNet {
    fn drop(&mut self) {
        // What was never made is not there to remove.
        for n in 0..self.machines {
            ip(&format!("netns del {}", self.space(n))).ok();
        }
        ip(&format!("link del {}", self.name)).ok();
    }
}

fn ip(args: &str) -> Result<(), String> {
    let output = Command::new("ip").args(args.split(' ')).output();
    let output = output.map_err(|error| format!("ip cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {args}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
