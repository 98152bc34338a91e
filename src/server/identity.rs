//! Who a member and its cluster are: ids derived from the configuration, as etcd derives them.
//!
//! Every member computes the same ids from the same flags, so nobody has to hand them out. SHA-1 is
//! used as a name here, not for security.

use reseed_core::cluster::members;
use reseed_core::id::MemberId;
use sha1::{Digest as _, Sha1};

use crate::config::{Config, InitialMember};

/// Id of a bootstrap member.
pub(crate) fn member_id(member: &InitialMember, token: &str) -> u64 {
    first_eight(&members::member_id_input(&member.peer_urls, token))
}

/// Id of a member that joins a running cluster at `unix_secs`.
pub(crate) fn added_id(peer_urls: &[String], unix_secs: u64) -> u64 {
    first_eight(&members::added_id_input(peer_urls, unix_secs))
}

/// Id of the cluster.
pub(crate) fn cluster_id(config: &Config) -> u64 {
    let ids: Vec<MemberId> = config
        .initial_cluster
        .iter()
        .map(|member| MemberId(member_id(member, &config.initial_cluster_token)))
        .collect();
    first_eight(&members::cluster_id_input(&ids))
}

/// The first eight bytes of the SHA-1 of `input`, big endian.
fn first_eight(input: &[u8]) -> u64 {
    Sha1::digest(input).iter().take(8).fold(0, |id, byte| (id << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_member_has_the_id_it_has_in_etcd() {
        let config = Config::default();
        let me = &config.initial_cluster[0];
        // etcd with default flags logs these two ids.
        assert_eq!(format!("{:x}", member_id(me, "etcd-cluster")), "8e9e05c52164694d");
        assert_eq!(format!("{:x}", cluster_id(&config)), "cdf818194e3a8c32");
    }
}
