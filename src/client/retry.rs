//! Again, or not: the only place that sends a request a second time.
//!
//! | failure | a read | anything else |
//! |---|---|---|
//! | never sent (no connection) | again, next endpoint | again, next endpoint |
//! | connection broke, or `Unavailable` | again, next endpoint | **no**: it may have happened |
//! | any other status | no | no |
//!
//! That is etcd's client (retry.go), save that etcd also repeats lease grants and revokes; a
//! repeated grant can leave a lease behind and a repeated revoke report a false error, so here
//! they count as mutations. One pause per round over all endpoints, doubling up to a bound, with
//! jitter so that many clients do not return at the same instant. The request's deadline bounds
//! it all and travels in `grpc-timeout`, so that the server stops when the client has.

use std::{any::Any, future::Future, time::Duration};

use reseed_planted::{self as planted, Bug};
use reseed_rt::{clock, rng};
use tonic::{Code, Request, Response, Status};

use crate::{Client, Connection, Error, error::Fault};

/// Pause after the first round without success (etcd: 25 ms).
const PAUSE_MIN: Duration = Duration::from_millis(25);
/// Pauses double up to this.
const PAUSE_MAX: Duration = Duration::from_millis(400);
/// `grpc-timeout` carries at most eight digits.
const GRPC_TIMEOUT_MILLIS_MAX: u128 = 99_999_999;

/// What sending a request twice would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twice {
    /// The same as sending it once: it reads.
    Harmless,
    /// Possibly two effects.
    Harmful,
}

impl Client {
    /// Carries out one unary request under the client's limits.
    pub(crate) async fn unary<Req, Res, F, Fut>(
        &self,
        twice: Twice,
        message: Req,
        call: F,
    ) -> Result<Res, Error>
    where
        Req: Clone + 'static,
        Res: 'static,
        F: Fn(Connection, Request<Req>) -> Fut,
        Fut: Future<Output = Result<Response<Res>, Status>>,
    {
        let Some(observer) = &self.observer else {
            return self.in_time(twice, message, call).await;
        };
        let name = observer.asked(&message);
        let outcome = self.in_time(twice, message, call).await;
        observer.answered(name, outcome.as_ref().map(|answer| answer as &dyn Any));
        outcome
    }

    async fn in_time<Req, Res, F, Fut>(
        &self,
        twice: Twice,
        message: Req,
        call: F,
    ) -> Result<Res, Error>
    where
        Req: Clone,
        F: Fn(Connection, Request<Req>) -> Fut,
        Fut: Future<Output = Result<Response<Res>, Status>>,
    {
        match self.request_timeout {
            None => self.attempts(twice, message, call, None).await,
            Some(limit) => {
                let deadline = clock::Instant::now() + limit;
                let work = self.attempts(twice, message, call, Some(deadline));
                clock::timeout(limit, work).await.unwrap_or_else(|_| {
                    // Nobody answers on a connection whose peer lost power, and nothing breaks it
                    // either: ask elsewhere next time, or at least over another one.
                    let silent = self.channel.pick();
                    silent.forget();
                    self.channel.avoid(&silent);
                    Err(Error::Timeout)
                })
            }
        }
    }

    async fn attempts<Req, Res, F, Fut>(
        &self,
        twice: Twice,
        message: Req,
        call: F,
        deadline: Option<clock::Instant>,
    ) -> Result<Res, Error>
    where
        Req: Clone,
        F: Fn(Connection, Request<Req>) -> Fut,
        Fut: Future<Output = Result<Response<Res>, Status>>,
    {
        let mut backoff = Backoff::new(self.channel.len());
        loop {
            let connection = self.channel.pick();
            let request = with_deadline(message.clone(), deadline);
            let status = match call(connection.clone(), request).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            if is_this_endpoints_fault(&status) {
                self.channel.avoid(&connection);
            }
            if !may_repeat(twice, &status) || deadline.is_none() && backoff.is_exhausted() {
                return Err(status.into());
            }
            tracing::debug!(endpoint = connection.endpoint(), %status, "asking again");
            backoff.pause().await;
        }
    }
}

fn with_deadline<Req>(message: Req, deadline: Option<clock::Instant>) -> Request<Req> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        let left = deadline.saturating_duration_since(clock::Instant::now());
        let millis = left.as_millis().clamp(1, GRPC_TIMEOUT_MILLIS_MAX);
        let value = format!("{millis}m").parse().expect("digits and a letter are valid metadata");
        request.metadata_mut().insert("grpc-timeout", value);
    }
    request
}

fn is_this_endpoints_fault(status: &Status) -> bool {
    status.code() == Code::Unavailable
}

fn may_repeat(twice: Twice, status: &Status) -> bool {
    match Fault::of(status) {
        Some(fault) if !fault.sent => true,
        _ => {
            let harmless = twice == Twice::Harmless || planted::on(Bug::ClientRepeatsMutation);
            harmless && status.code() == Code::Unavailable
        }
    }
}

/// Paces attempts: all endpoints in turn, then a pause, longer each round.
#[derive(Debug)]
pub(crate) struct Backoff {
    endpoints: usize,
    tried: usize,
    next: Duration,
}

impl Backoff {
    /// Rounds before a request without a deadline gives up (etcd: 100 attempts).
    const ATTEMPTS_MAX: usize = 100;

    pub(crate) fn new(endpoints: usize) -> Self {
        Self { endpoints, tried: 0, next: PAUSE_MIN }
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.tried >= Self::ATTEMPTS_MAX
    }

    /// How many endpoints make a round.
    pub(crate) fn endpoints(&self) -> usize {
        self.endpoints
    }

    /// Returns when the next attempt is due: at once while endpoints are left in this round.
    pub(crate) async fn pause(&mut self) {
        let pause = self.next_pause();
        if !pause.is_zero() {
            clock::sleep(pause).await;
        }
    }

    /// How long to wait before the next attempt.
    pub(crate) fn next_pause(&mut self) -> Duration {
        self.tried += 1;
        if !self.tried.is_multiple_of(self.endpoints) {
            return Duration::ZERO;
        }
        let percent = u32::try_from(rng::u64() % 21).unwrap_or(0) + 90;
        let pause = self.next * percent / 100;
        self.next = (self.next * 2).min(PAUSE_MAX);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(sent: bool) -> Status {
        Fault { endpoint: "a:1".into(), reason: "test".into(), sent }.into_status()
    }

    #[test]
    fn a_mutation_is_repeated_only_if_it_was_never_sent() {
        assert!(may_repeat(Twice::Harmful, &fault(false)));
        assert!(!may_repeat(Twice::Harmful, &fault(true)));
        assert!(!may_repeat(Twice::Harmful, &Status::unavailable("etcdserver: no leader")));
    }

    #[test]
    fn a_read_is_repeated_while_nobody_answers() {
        assert!(may_repeat(Twice::Harmless, &fault(true)));
        assert!(may_repeat(Twice::Harmless, &Status::unavailable("etcdserver: no leader")));
        assert!(!may_repeat(Twice::Harmless, &Status::out_of_range("compacted")));
        assert!(!may_repeat(Twice::Harmless, &Status::unknown("etcdserver: too many requests")));
    }

    #[test]
    fn a_failure_keeps_what_it_knows_on_its_way_to_the_caller() {
        assert!(matches!(Error::from(fault(true)), Error::Broken { .. }));
        assert!(matches!(Error::from(fault(false)), Error::Unreachable { .. }));
        assert!(Error::from(fault(true)).may_have_happened());
        assert!(!Error::from(fault(false)).may_have_happened());
        assert!(Error::from(Status::unavailable("gone")).may_have_happened());
        assert!(!Error::from(Status::invalid_argument("no")).may_have_happened());
    }
}
