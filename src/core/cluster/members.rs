//! The members of the cluster, as the log knows them.
//!
//! Every member enters and leaves by an entry of the log ([`change`](super::change)), those of a
//! new cluster too; once it runs it tells its name and client addresses through the log. Who votes
//! follows from here and is kept nowhere else. How ids follow from addresses is written down in
//! [`member_id_input`], [`added_id_input`] and [`cluster_id_input`]; the SHA-1 is the caller's, so
//! that core carries no hash of its own.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;
use reseed_proto::etcdserverpb as pb;
use reseed_proto::log::{MemberAttributes, MemberRecord};

use crate::error::Error;
use crate::id::MemberId;
use crate::port::{Batch, Read, Table};

/// All members, by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    pub(super) records: BTreeMap<MemberId, MemberRecord>,
    /// Members that were, and may never be again.
    pub(super) removed: BTreeSet<MemberId>,
}

impl Members {
    /// The member `id`.
    pub fn get(&self, id: MemberId) -> Option<&MemberRecord> {
        self.records.get(&id)
    }

    /// All members, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &MemberRecord> {
        self.records.values()
    }

    /// Those whose votes count, by id.
    pub fn voters(&self) -> impl Iterator<Item = &MemberRecord> {
        self.iter().filter(|member| !member.is_learner)
    }

    /// Whether `id` was a member and was removed: it may never return.
    pub fn is_removed(&self, id: MemberId) -> bool {
        self.removed.contains(&id)
    }

    /// Everybody who was removed, by id.
    pub fn removed(&self) -> impl ExactSizeIterator<Item = MemberId> {
        self.removed.iter().copied()
    }

    /// All members as clients see them, by id.
    pub fn list(&self) -> Vec<pb::Member> {
        self.iter().map(to_client).collect()
    }

    /// Adds or replaces a member outside the log, as reseed 0.1 made clusters.
    pub fn bootstrap(&mut self, record: MemberRecord, batch: &mut Batch) {
        persist(&record, batch);
        self.records.insert(MemberId(record.id), record);
    }

    /// A member tells its name and client addresses; `false` if there is no such member or it said
    /// so before.
    pub(crate) fn set_attributes(
        &mut self,
        attributes: &MemberAttributes,
        batch: &mut Batch,
    ) -> bool {
        let Some(record) = self.records.get_mut(&MemberId(attributes.member_id)) else {
            return false;
        };
        if record.name == attributes.name && record.client_urls == attributes.client_urls {
            return false;
        }
        record.name.clone_from(&attributes.name);
        record.client_urls.clone_from(&attributes.client_urls);
        persist(record, batch);
        true
    }

    /// Reads the members.
    ///
    /// # Errors
    /// The backend cannot be read, or holds something that is no member.
    pub(crate) fn restore(read: &dyn Read) -> Result<Self, Error> {
        let mut members = Self::default();
        let mut damage = None;
        read.scan(Table::Members, &[], None, &mut |key, value| {
            match MemberRecord::decode(value.clone()) {
                Ok(record) if key == MemberId(record.id).to_key() => {
                    members.records.insert(MemberId(record.id), record);
                }
                _ => damage = Some(Error::Broken(alloc::format!("member record {key:02x?}"))),
            }
            damage.is_none()
        })?;
        read.scan(Table::MembersRemoved, &[], None, &mut |key, _| {
            match key.try_into() {
                Ok(id) => _ = members.removed.insert(MemberId(u64::from_be_bytes(id))),
                Err(_) => damage = Some(Error::Broken(alloc::format!("removed member {key:02x?}"))),
            }
            damage.is_none()
        })?;
        damage.map_or(Ok(members), Err)
    }
}

/// What is hashed with SHA-1 into a member id at bootstrap: the sorted peer addresses, then the
/// cluster token. The id is the digest's first eight bytes, big endian.
pub fn member_id_input(peer_urls: &[String], cluster_token: &str) -> Vec<u8> {
    let mut sorted: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut input = sorted.concat().into_bytes();
    input.extend_from_slice(cluster_token.as_bytes());
    input
}

/// What is hashed with SHA-1 into the id of a member that joins a running cluster: the sorted peer
/// addresses, then the Unix time in seconds, so that a member that left can return under another
/// id. The id is the digest's first eight bytes, big endian.
pub fn added_id_input(peer_urls: &[String], unix_secs: u64) -> Vec<u8> {
    member_id_input(peer_urls, &unix_secs.to_string())
}

/// What is hashed with SHA-1 into the cluster id: the bootstrap members' ids, sorted, eight bytes
/// each, big endian. The id is the digest's first eight bytes, big endian.
pub fn cluster_id_input(members: &[MemberId]) -> Vec<u8> {
    let mut sorted = members.to_vec();
    sorted.sort_unstable();
    sorted.iter().flat_map(|id| id.to_key()).collect()
}

fn to_client(record: &MemberRecord) -> pb::Member {
    pb::Member {
        id: record.id,
        name: record.name.clone(),
        peer_ur_ls: record.peer_urls.clone(),
        client_ur_ls: record.client_urls.clone(),
        is_learner: record.is_learner,
    }
}

pub(super) fn persist(record: &MemberRecord, batch: &mut Batch) {
    let key = Bytes::copy_from_slice(&MemberId(record.id).to_key());
    batch.put(Table::Members, key, record.encode_to_vec());
}
