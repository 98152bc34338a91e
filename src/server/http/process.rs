//! The gauges that are read when somebody asks: sizes, positions, and the process itself.

use std::path::Path;

use reseed_rt::process;

use crate::rpc::Services;

/// Brings every sampled gauge up to date.
pub(super) fn sample(services: &Services) {
    let state = &*services.state;
    let metrics = &*state.metrics;
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.proposals_committed.set(signed(state.progress.committed()));
    metrics.proposals_applied.set(signed(state.progress.applied()));
    metrics.proposals_pending.set(signed(services.proposer.pending() as u64));
    {
        let machine = state.machine.read();
        metrics.current_revision.set(machine.mvcc.revision());
        metrics.compact_revision.set(machine.mvcc.compact_revision());
        metrics.keys_total.set(signed(machine.mvcc.key_count() as u64));
    }
    let traffic = &state.client_traffic;
    for (counter, bytes) in [
        (&metrics.client_received_bytes, traffic.received()),
        (&metrics.client_sent_bytes, traffic.sent()),
    ] {
        // Should two sample at once and count twice, the next ones add nothing until it is true.
        counter.inc_by(bytes.saturating_sub(counter.get()));
    }
    let size = state.backend_size();
    metrics.db_size.set(signed(size.allocated));
    metrics.db_size_in_use.set(signed(size.in_use));
    if let Some(usage) = process::usage(Path::new("/proc/self")) {
        metrics.process_resident.set(signed(usage.resident_bytes));
        metrics.process_virtual.set(signed(usage.virtual_bytes));
        metrics.process_cpu.inc_by((usage.cpu_seconds - metrics.process_cpu.get()).max(0.0));
        metrics.process_start.set(usage.began_unix_seconds);
        for (gauge, files) in [
            (&metrics.process_fds, usage.open_files),
            (&metrics.fd_used, usage.open_files),
            (&metrics.process_fds_max, usage.open_files_max),
            (&metrics.fd_limit, usage.open_files_max),
        ] {
            gauge.set(signed(files));
        }
    }
}
