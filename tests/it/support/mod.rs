//! What the tests of sockets and processes stand on.
//!
//! `node` runs a daemon and never leaves one behind, `cluster` several; `api` speaks gRPC to it,
//! `ctl` is Debian's etcdctl, `cut_net` a network that can be cut; `http` speaks plain HTTP and raw
//! bytes; `wait` is the only place that waits for something to come true.

pub(crate) mod api;
pub(crate) mod cluster;
pub(crate) mod ctl;
pub(crate) mod cut_net;
pub(crate) mod http;
pub(crate) mod node;
pub(crate) mod promised;
pub(crate) mod small_disk;
pub(crate) mod tools;
pub(crate) mod wait;

pub(crate) use api::Api;
pub(crate) use cluster::Cluster;
pub(crate) use cut_net::CutNet;
pub(crate) use node::{Node, Options};
pub(crate) use promised::Promised;
pub(crate) use small_disk::SmallDisk;
