//! One member of a reseed cluster. The modules beside this file join as what they need appears.

mod config;

pub use config::{AutoCompaction, Config, ConfigError, InitialMember};
