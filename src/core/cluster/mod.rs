//! Who the members are, how that changes, and which version they speak.
//!
//! When a change is wise (enough members run, a learner has caught up) is the server's to judge;
//! what a change may do at all is decided here, at apply, the same on every member.

mod change;
pub mod members;
#[cfg(test)]
mod tests;

pub use members::Members;
