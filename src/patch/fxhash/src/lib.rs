//! The one type raft 0.7.0 takes from `fxhash`, from the maintained `rustc-hash`.
//!
//! raft keeps its progress map, its votes and its pending reads in std maps over
//! `BuildHasherDefault<FxHasher>`. The published `fxhash` is unmaintained (RUSTSEC-2025-0057);
//! `rustc-hash` is its successor by the compiler's authors. What we rely on is that the hasher
//! has **no random state**: two runs that insert the same keys in the same order iterate in the
//! same order, so a simulation replays. The order may change with a release of `rustc-hash` or
//! of std; fingerprints of seeds are therefore compared within one build only.
//!
//! It deliberately has no map and set aliases and no free functions. It does not resist keys
//! chosen to collide: raft hashes member ids and the read contexts that we generate ourselves,
//! never bytes chosen by a client.

pub use rustc_hash::FxHasher;

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "the map raft builds over this hasher")]
mod tests {
    use std::collections::HashMap;
    use std::hash::BuildHasherDefault;

    use super::FxHasher;

    type Map = HashMap<u64, (), BuildHasherDefault<FxHasher>>;

    #[test]
    fn equal_insertions_iterate_in_equal_order() {
        let ids = (0..1000_u64).map(|id| (id.wrapping_mul(0x9E37_79B9_7F4A_7C15), ()));
        let first: Map = ids.clone().collect();
        let second: Map = ids.collect();
        assert_eq!(first.len(), 1000);
        assert!(first.keys().eq(second.keys()));
    }
}
