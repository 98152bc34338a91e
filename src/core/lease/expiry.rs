//! Deadlines of leases.
