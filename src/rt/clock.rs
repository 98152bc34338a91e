//! Time: what the machine's clocks say, and waiting for them.
//!
//! In production these are the operating system's clocks. In simulation each node has its own:
//! offset from the others and running a little fast or slow, and a sleep lasts as long as that
//! node believes. Code that takes time from anywhere else escapes both, which is why clippy
//! refuses it. Core crates do not come here at all: they are handed `Millis`.

use std::{
    fmt,
    future::{Future, poll_fn},
    ops::{Add, AddAssign, Sub},
    pin::pin,
    task::Poll,
    time::Duration,
};

use crate::imp;

/// A point on this machine's monotonic clock, counted from an arbitrary origin.
///
/// Comparable within one run of one machine only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Instant(Duration);

impl Instant {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        Self(imp::mono())
    }

    /// Milliseconds since the origin.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Time since `self`; zero if that lies in the future.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(after))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, after: Duration) {
        *self = *self + after;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(before))
    }
}

/// Time since the Unix epoch by this machine's calendar clock, which may jump.
#[must_use]
pub fn wall() -> Duration {
    imp::wall()
}

/// Waits for `duration`, to the millisecond.
pub async fn sleep(duration: Duration) {
    imp::sleep(duration).await;
}

/// Waits until `deadline`; returns at once if it has passed.
pub async fn sleep_until(deadline: Instant) {
    imp::sleep(deadline.saturating_duration_since(Instant::now())).await;
}

/// Waits until `deadline`, or for ever if there is none.
pub async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A [`timeout`] ran out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("deadline has elapsed")]
pub struct Elapsed;

/// Waits for `work`, but not longer than `limit`. On expiry `work` is dropped.
///
/// # Errors
/// [`Elapsed`] if `limit` passed first.
pub async fn timeout<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    let mut sleep = pin!(imp::sleep(limit));
    poll_fn(|cx| {
        // The work first: a result that is there in time is never thrown away.
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

/// A steady beat, see [`interval`].
pub struct Interval {
    next: Instant,
    period: Duration,
}

/// A beat every `period` (at least a millisecond). The first tick is due at once; ticks missed
/// because the caller was late are skipped, not made up for.
#[must_use]
pub fn interval(period: Duration) -> Interval {
    Interval { next: Instant::now(), period: period.max(Duration::from_millis(1)) }
}

impl Interval {
    /// Waits for the next tick and returns when it was due. Cancel-safe.
    pub async fn tick(&mut self) -> Instant {
        sleep_until(self.next).await;
        let due = self.next;
        let late = due.elapsed();
        let missed = u32::try_from(late.as_nanos() / self.period.as_nanos()).unwrap_or(u32::MAX);
        self.next = due + self.period.saturating_mul(missed.saturating_add(1));
        due
    }

    /// Starts a full period anew from now.
    pub fn reset(&mut self) {
        self.next = Instant::now() + self.period;
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval").field("period", &self.period).finish_non_exhaustive()
    }
}
