//! Steps against the machine and the naive etcd.

use reseed_core::testing::pair::Pair;

/// Takes the steps that `data` describes, on both, and compares them in everything.
pub fn mvcc_ops(data: &[u8]) {
    // Each step costs at most a few bytes, and an audit grows with the square of the history.
    Pair::run(&data[..data.len().min(2048)]);
}
