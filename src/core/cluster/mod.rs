//! Who the members are and which version they speak.
//!
//! Rules for changing the membership come with the second member.

pub mod members;
#[cfg(test)]
mod tests;

pub use members::Members;
