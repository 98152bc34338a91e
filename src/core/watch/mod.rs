//! Watch groups.
