//! Sockets, and HTTP over them: an accept loop that serves gRPC and plain HTTP on one port, and
//! the gRPC client channel. A connection may go on as another protocol where both sides agree.
//!
//! Real tonic, hyper and h2 run in both modes; only the bytes underneath travel differently. That
//! is why frames, flow control, limits and resets are the same in simulation as in production.
//! TLS will wrap [`Stream`] here.

mod authority;
mod channel;
mod deadline;
mod gather;
mod io;
mod lanes;
mod opened;
mod serve;
mod upgrade;

pub use channel::{ChannelOptions, channel};
pub use io::{Exec, Listener, Stream, Timer, connect};
pub use opened::Traffic;
pub use serve::{ServeBody, ServeOptions, serve};
pub use upgrade::{UpgradeAnswer, UpgradeRequest, Upgraded, upgrade};
