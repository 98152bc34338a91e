//! The clock over a log that applies at once, or when told.
