//! The seam to the world: clock, tasks, randomness, network, disk; real or simulated.
//!
//! Every other crate of reseed names time, sockets, files, threads and chance through this one, so
//! that the same program runs on a real machine and inside the simulator. Two files know which of
//! the two it is: `os.rs` stands on tokio and the operating system, `sim.rs` on madsim and on the
//! simulated disk, network and clock that crate `sim` plugs in. Everything else here is written
//! once, over the few names those two files share.
//!
//! This is the only place with `cfg(madsim)`. It holds no logic of a store: it does not know what
//! a key, a log or a member is.
//!
//! | module | gives |
//! |---|---|
//! | [`clock`] | monotonic and wall time, sleeping, timeouts, intervals |
//! | [`task`] | named tasks whose panic stops the process, threads, blocking work, [`task::Stop`] |
//! | [`rng`] | independent random streams by label |
//! | [`net`] | listeners, streams, an HTTP server and a gRPC channel over them |
//! | [`disk`] | files and directories, synchronous, with explicit durability |
//! | [`chan`] | bounded, named queues |
//! | [`wake`] | waking many tasks at once |
//! | [`buggify`] | points where the simulator may make life harder |
//! | [`probe`] | rare branches that tests should reach |
//! | [`signal`] | the request to stop |

pub mod buggify;
mod catalogue;
pub mod chan;
pub mod clock;
pub mod disk;
pub mod net;
pub mod probe;
pub mod process;
pub mod rng;
pub mod signal;
pub mod task;
pub mod wake;

#[cfg(not(madsim))]
mod disk_os;
#[cfg(not(madsim))]
mod os;
#[cfg(not(madsim))]
use os as imp;

#[cfg(madsim)]
pub mod sim;
#[cfg(madsim)]
use sim as imp;
