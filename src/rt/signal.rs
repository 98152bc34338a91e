//! The request to stop, from the operator or the simulator.

use crate::imp;

/// Waits until the process is asked to stop; returns `"SIGTERM"` or `"SIGINT"`.
pub async fn stop_requested() -> &'static str {
    imp::stop_requested().await
}
