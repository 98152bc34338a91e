//! A lock between sessions.

use super::{Session, queue::Seat};
use crate::{Compare, Error};

/// A lock that one session at a time has; one `Mutex` per session and lock.
///
/// Dropping it does not give the lock back: [`Mutex::unlock`] does, or the end of the session.
#[derive(Debug)]
pub struct Mutex(Seat);

impl Mutex {
    /// The lock `name`, for `session`.
    #[must_use]
    pub fn new(session: &Session, name: &str) -> Self {
        Self(Seat::new(session, name))
    }

    /// Waits for the lock; its fencing token, which grows from holder to holder.
    ///
    /// Whoever stops waiting for it should [`unlock`](Self::unlock), or end the session: until
    /// then others wait behind its place.
    ///
    /// # Errors
    /// [`Error::SessionLost`], or any other [`Error`]; the place in the queue is given up then, as
    /// far as that is possible.
    pub async fn lock(&mut self) -> Result<i64, Error> {
        let token = self.0.enter("").await?.place.token;
        let waited = self.0.wait_for_turn().await;
        self.0.keep_if_ok(waited).await?;
        Ok(token)
    }

    /// Takes the lock if nobody has it: the fencing token, or `None`.
    ///
    /// # Errors
    /// As [`Mutex::lock`].
    pub async fn try_lock(&mut self) -> Result<Option<i64>, Error> {
        let entered = self.0.enter("").await?;
        if entered.is_first && self.0.session().is_alive() {
            return Ok(Some(entered.place.token));
        }
        self.0.leave().await?;
        Ok(None)
    }

    /// Gives the lock, or the place in its queue, back. Nothing happens if there is none.
    ///
    /// # Errors
    /// Any [`Error`]; it may be asked again.
    pub async fn unlock(&mut self) -> Result<(), Error> {
        self.0.leave().await
    }

    /// The key that stands for this session's place, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.place().map(|place| place.key.as_str())
    }

    /// A condition for transactions that holds only while this session has its place: what the
    /// lock protects is to be written with it.
    #[must_use]
    pub fn fence(&self) -> Option<Compare> {
        self.0.fence()
    }
}
