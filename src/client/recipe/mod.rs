//! Recipes: what can be built from leases, transactions and watches, as etcd's `concurrency`
//! package builds it, key by key, so that both can be used on the same lock.
//!
//! ```text
//!   Session   a lease, kept alive in the background by a `Keeper`
//!     └ queue     a key per session under a prefix; the oldest one has its turn
//!         ├ Mutex     has the lock while it has its turn
//!         └ Election  leads while it has its turn; its key's value is what it proclaims
//! ```
//!
//! No client can *know* that it holds a lock: its lease may end while it looks (etcd #11456). What
//! can be relied on is the fencing token, the create revision of the holder's key: it only grows
//! from holder to holder, and a write that compares it ([`Mutex::fence`], [`Election::fence`]) is
//! refused once the lock has passed on.
//!
//! A mutation whose outcome is unknown is never sent again. Entering a queue and leaving it have
//! an effect that can be seen, so there the own key is read back; if that does not tell, the error
//! is the caller's to see. Whatever a lost request may still do hangs on the session's lease, and
//! goes with it.

mod belief;
mod election;
mod keeper;
mod mutex;
mod observation;
mod queue;
mod session;

pub use self::{
    election::Election,
    keeper::Keeper,
    mutex::Mutex,
    observation::{Leader, Observation},
    session::{Session, SessionOptions},
};
