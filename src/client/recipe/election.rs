//! An election: the oldest of the candidates leads, and says something all can see.

use reseed_proto::mvccpb::KeyValue;

use super::{
    Observation, Session,
    queue::{self, Place, Seat},
};
use crate::{Client, Compare, Error, Get, Put, Txn};

/// A session's part in an election; one `Election` per session and election.
///
/// Dropping it does not end leadership: [`Election::resign`] does, or the end of the session.
#[derive(Debug)]
pub struct Election(Seat);

impl Election {
    /// The election `name`, for `session`.
    #[must_use]
    pub fn new(session: &Session, name: &str) -> Self {
        Self(Seat::new(session, name))
    }

    /// Stands for election with `value`, and waits to lead; its fencing token, which grows from
    /// leader to leader.
    ///
    /// Whoever stops waiting for it should [`resign`](Self::resign), or end the session.
    ///
    /// # Errors
    /// [`Error::SessionLost`], or any other [`Error`]; the candidature is given up then, as far as
    /// that is possible.
    pub async fn campaign(&mut self, value: &str) -> Result<i64, Error> {
        let entered = self.0.enter(value).await?;
        let waited = self.wait_to_lead(entered.is_new, value).await;
        self.0.keep_if_ok(waited).await?;
        Ok(entered.place.token)
    }

    async fn wait_to_lead(&mut self, is_new: bool, value: &str) -> Result<(), Error> {
        if !is_new {
            // The key may be from an earlier candidature, and so may its value be.
            self.proclaim(value).await?;
        }
        self.0.wait_for_turn().await
    }

    /// Says something else, without another election.
    ///
    /// # Errors
    /// [`Error::NotLeader`] if the candidature is over; any other [`Error`], after which what was
    /// proclaimed may still come to be seen.
    pub async fn proclaim(&mut self, value: &str) -> Result<(), Error> {
        let Some(place) = self.0.place().cloned() else { return Err(Error::NotLeader) };
        let session = self.0.session();
        let put = Put::new(place.key.clone(), value.to_owned()).lease(session.lease());
        let txn = Txn::new().when(self.0.fence()).then([put]);
        match session.guard(session.client().txn(txn)).await {
            Ok(answer) if answer.succeeded => Ok(()),
            Ok(_) => {
                self.0.forget();
                Err(Error::NotLeader)
            }
            Err(error) if error.may_have_happened() => self.read_back(&place, value, error).await,
            Err(error) => Err(error),
        }
    }

    async fn read_back(&mut self, place: &Place, value: &str, why: Error) -> Result<(), Error> {
        let session = self.0.session();
        let answer = session.guard(session.client().get(Get::key(place.key.clone()))).await?;
        let own = answer.kvs.first().filter(|kv| kv.create_revision == place.token);
        match own {
            Some(kv) if kv.value == value => Ok(()),
            Some(_) => Err(why),
            None => {
                self.0.forget();
                Err(Error::NotLeader)
            }
        }
    }

    /// Ends the candidature, or leadership. Nothing happens if there is none.
    ///
    /// # Errors
    /// Any [`Error`]; it may be asked again.
    pub async fn resign(&mut self) -> Result<(), Error> {
        self.0.leave().await
    }

    /// The key that stands for this candidate, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.place().map(|place| place.key.as_str())
    }

    /// A condition for transactions that holds only while this candidature does: what only a
    /// leader may write is to be written with it.
    #[must_use]
    pub fn fence(&self) -> Option<Compare> {
        self.0.fence()
    }

    /// The key of who leads the election `name` now, with what it proclaims.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn leader(client: &Client, name: &str) -> Result<Option<KeyValue>, Error> {
        let answer = client.get(queue::first(&queue::prefix(name))).await?;
        Ok(answer.kvs.into_iter().next())
    }

    /// Follows who leads the election `name` and what it proclaims.
    #[must_use]
    pub fn observe(client: &Client, name: &str) -> Observation {
        Observation::new(client.clone(), queue::prefix(name))
    }
}
