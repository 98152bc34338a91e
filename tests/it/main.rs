//! Tests on real sockets and disks.
