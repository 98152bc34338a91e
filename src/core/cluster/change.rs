//! Changes of the membership, one entry of the log each.
//!
//! What is refused here is refused on every member alike, in the words and in the order in which
//! etcd asks (`ValidateConfigurationChange`): it depends on nothing but the members there are.

use bytes::Bytes;
use reseed_planted::{self as planted, Bug};
use reseed_proto::log::member_change::Change;
use reseed_proto::log::{MemberAdd, MemberChange, MemberUpdate};

use super::Members;
use super::members::persist;
use crate::error::Error;
use crate::id::MemberId;
use crate::port::{Batch, Table};

impl Members {
    /// Carries out one change; a refused one has changed nothing.
    ///
    /// # Errors
    /// `MemberNotFound` for who is no member, removed ones among them; `MemberExist`,
    /// `PeerUrlExist`, `TooManyLearners`, `MemberNotLearner`; `MemberNotEnoughStarted` if nobody
    /// would be left to vote.
    pub(crate) fn change(&mut self, change: &MemberChange, batch: &mut Batch) -> Result<(), Error> {
        match &change.change {
            Some(Change::Add(add)) => self.add(add, batch),
            Some(Change::Remove(id)) => self.remove(MemberId(*id), batch),
            Some(Change::Update(update)) => self.update(update, batch),
            Some(Change::Promote(id)) => self.promote(MemberId(*id), batch),
            // Nobody proposes it.
            None => Err(Error::MemberNotFound),
        }
    }

    fn add(&mut self, add: &MemberAdd, batch: &mut Batch) -> Result<(), Error> {
        let record = add.member.clone().unwrap_or_default();
        let id = MemberId(record.id);
        // 0 is nobody, in raft too.
        if id == MemberId::default() || self.is_removed(id) {
            return Err(Error::MemberNotFound);
        }
        if self.get(id).is_some() {
            return Err(Error::MemberExist);
        }
        self.check_urls(id, &record.peer_urls)?;
        let learners = self.iter().filter(|member| member.is_learner).count();
        if record.is_learner && learners >= add.learners_max as usize {
            return Err(Error::TooManyLearners);
        }
        persist(&record, batch);
        self.records.insert(id, record);
        Ok(())
    }

    fn remove(&mut self, id: MemberId, batch: &mut Batch) -> Result<(), Error> {
        let record = self.get(id).ok_or(Error::MemberNotFound)?;
        if !record.is_learner && self.voters().count() == 1 {
            return Err(Error::MemberNotEnoughStarted);
        }
        self.records.remove(&id);
        let is_new = self.removed.insert(id);
        assert!(is_new, "member {id} was removed before");
        let key = Bytes::copy_from_slice(&id.to_key());
        if !planted::on(Bug::RemovedIdReturns) {
            batch.delete(Table::Members, key.clone());
        }
        batch.put(Table::MembersRemoved, key, Bytes::new());
        Ok(())
    }

    /// Other addresses; whether it votes is not this change's business (etcd #21736).
    fn update(&mut self, update: &MemberUpdate, batch: &mut Batch) -> Result<(), Error> {
        let id = MemberId(update.id);
        self.get(id).ok_or(Error::MemberNotFound)?;
        self.check_urls(id, &update.peer_urls)?;
        let record = self.records.get_mut(&id).ok_or(Error::MemberNotFound)?;
        record.peer_urls.clone_from(&update.peer_urls);
        record.is_learner &= !planted::on(Bug::UpdatePromotes);
        persist(record, batch);
        Ok(())
    }

    fn promote(&mut self, id: MemberId, batch: &mut Batch) -> Result<(), Error> {
        let record = self.records.get_mut(&id).ok_or(Error::MemberNotFound)?;
        if !record.is_learner {
            return Err(Error::MemberNotLearner);
        }
        record.is_learner = false;
        if !planted::on(Bug::PromotionNotWritten) {
            persist(record, batch);
        }
        Ok(())
    }

    /// No two members are reached at the same address.
    fn check_urls(&self, id: MemberId, peer_urls: &[alloc::string::String]) -> Result<(), Error> {
        let others = self.iter().filter(|member| member.id != id.0);
        let taken = others.flat_map(|member| &member.peer_urls).any(|url| peer_urls.contains(url));
        if taken { Err(Error::PeerUrlExist) } else { Ok(()) }
    }
}
