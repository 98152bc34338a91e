//! reseed for embedders.
