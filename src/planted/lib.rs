//! The bug bank: bugs on purpose, one switch each, to measure what the simulator finds.
//!
//! `if planted::on(Bug::AckBeforeSync) { … }` is constant `false` without the feature `armed`, so
//! that nothing of it is left in a release. Only the simulator's crate has that feature, and only a
//! run that asks for a bug switches it on, for the whole process. There is no hint anywhere that
//! would tell a scenario or a checker which bug is on.
//!
//! The catalogue is the one list there is: name, layer, the etcd issue it mirrors, and what it
//! does. A bug is planted where a tired engineer could have made it, in as few lines as possible.
#![no_std]

#[cfg(feature = "armed")]
use core::sync::atomic::{AtomicBool, Ordering};

/// Defines [`Bug`] and what is known of each.
macro_rules! catalogue {
    ($($name:ident: $layer:literal, $etcd:expr, $story:literal;)*) => {
        /// A bug on purpose.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug {
            $(#[doc = $story] $name,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on the command line and in scenarios.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Where it is planted.
            #[must_use]
            pub const fn layer(self) -> &'static str {
                match self { $(Self::$name => $layer,)* }
            }

            /// The etcd issue it mirrors, if any.
            #[must_use]
            pub const fn etcd_issue(self) -> Option<u32> {
                match self { $(Self::$name => $etcd,)* }
            }

            /// What it does, in one line.
            #[must_use]
            pub const fn story(self) -> &'static str {
                match self { $(Self::$name => $story,)* }
            }
        }
    };
}

catalogue! {
    AckBeforeSync: "wal", Some(14370), "Answers before the log is synced.";
}

#[cfg(feature = "armed")]
static ARMED: [AtomicBool; Bug::ALL.len()] = [const { AtomicBool::new(false) }; Bug::ALL.len()];

/// Is this bug switched on?
#[cfg(feature = "armed")]
#[must_use]
pub fn on(bug: Bug) -> bool {
    ARMED[bug as usize].load(Ordering::Relaxed)
}

/// Is this bug switched on? Never, in this build.
#[cfg(not(feature = "armed"))]
#[inline(always)]
#[must_use]
pub const fn on(_: Bug) -> bool {
    false
}

/// Switches a bug on for the rest of the process.
#[cfg(feature = "armed")]
pub fn arm(bug: Bug) {
    ARMED[bug as usize].store(true, Ordering::Relaxed);
}

impl Bug {
    /// The bug of this name, in any spelling of its words: `AckBeforeSync`, `ack-before-sync`,
    /// `ack_before_sync`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let plain = |text: &'static str| text.chars().map(|c| c.to_ascii_lowercase());
        let wanted = || name.chars().filter(|c| !matches!(c, '-' | '_'));
        let wanted = || wanted().map(|c| c.to_ascii_lowercase());
        Self::ALL.iter().copied().find(|bug| plain(bug.name()).eq(wanted()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_found_by_its_name_however_it_is_spelt() {
        for name in ["AckBeforeSync", "ack-before-sync", "ack_before_sync"] {
            assert_eq!(Bug::named(name), Some(Bug::AckBeforeSync));
        }
        assert_eq!(Bug::named("ack"), None);
    }

    #[test]
    fn no_bug_is_on_unless_somebody_switched_it_on() {
        assert!(Bug::ALL.iter().all(|bug| !on(*bug)));
    }
}
