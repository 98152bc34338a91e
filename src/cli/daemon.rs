//! `reseed serve`: runs one member from start to signal.
//!
//! Exit codes: 0 after a graceful stop and when the member was removed from its cluster, so that no
//! supervisor starts it again for that; 1 if it could not start or stopped by itself, 2 if the
//! command line could not be read.

use reseed_rt::signal;
use reseed_server::Server;
use tracing::{error, info, warn};

use super::{
    Invocation,
    flags::{self, Request, Settings},
    log,
};

/// Runs the daemon; returns the exit code.
pub(crate) fn run(invocation: &Invocation) -> u8 {
    match flags::read(invocation) {
        Ok(Request::Run(settings)) => super::block_on_threads(threads(), serve(*settings)),
        Ok(Request::Version) => {
            super::say(&super::version());
            0
        }
        Ok(Request::Help) => {
            super::say(&flags::help());
            0
        }
        Err(refused) => {
            super::complain(&format!("{}\nSee 'reseed serve --help'.\n", refused.text));
            refused.exit_code
        }
    }
}

/// One for each core.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

async fn serve(settings: Settings) -> u8 {
    log::start(settings.log);
    for warning in settings.warnings {
        warn!("{warning}");
    }
    let config = settings.config;
    info!(
        name = config.name,
        data_dir = %config.data_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        etcd_version = reseed_core::ETCD_VERSION,
        "starting"
    );
    let server = match Server::start(config).await {
        Ok(server) => server,
        Err(reason) => {
            error!(error = %reason, "the member could not start");
            return 1;
        }
    };
    for address in server.client_addresses() {
        info!(%address, "serving client traffic insecurely; this is strongly discouraged!");
    }
    tokio::select! {
        biased;
        halted = server.halted() => return report_halt(&halted),
        name = signal::stop_requested() => return stop(server, name).await,
        () = server.ready() => info!("ready to serve client requests"),
    }
    tokio::select! {
        biased;
        halted = server.halted() => report_halt(&halted),
        name = signal::stop_requested() => stop(server, name).await,
    }
}

fn report_halt(halted: &reseed_server::Halted) -> u8 {
    if halted.has_left {
        // It has said so.
        return 0;
    }
    error!(reason = %halted, "the member stopped by itself");
    1
}

/// Stops gracefully; a second signal stops at once.
async fn stop(server: Server, signal_name: &str) -> u8 {
    info!(signal = signal_name, "stopping");
    tokio::select! {
        biased;
        () = server.stop() => {
            info!("stopped");
            0
        }
        again = signal::stop_requested() => {
            warn!(signal = again, "stopping at once");
            1
        }
    }
}
