//! `reseed serve`: runs one member from start to signal.
//!
//! Exit codes: 0 after a graceful stop and when the member was removed from its cluster, so that no
//! supervisor starts it again for that; 1 if it could not start or stopped by itself, 2 if the
//! command line could not be read.

use std::{
    future::Future,
    pin::{Pin, pin},
};

use reseed_rt::signal;
use reseed_server::{Cause, Config, Server};
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
    // One for all lives of the member: a signal between two of them is not lost.
    let mut signalled = pin!(signal::stop_requested());
    // A member that begins anew is the same process, and needs no supervisor for it.
    loop {
        if let Some(exit_code) = run_once(config.clone(), signalled.as_mut()).await {
            return exit_code;
        }
    }
}

/// From start to stop; the exit code, or `None` if the member is to be started again.
async fn run_once(
    config: Config,
    mut signalled: Pin<&mut impl Future<Output = &'static str>>,
) -> Option<u8> {
    let started = tokio::select! {
        biased;
        name = &mut signalled => {
            info!(signal = name, "stopping before it began");
            return Some(0);
        }
        started = Server::start(config) => started,
    };
    let server = match started {
        Ok(server) => server,
        Err(reason) => {
            error!(error = %reason, "the member could not start");
            return Some(1);
        }
    };
    for address in server.client_addresses() {
        info!(%address, "serving client traffic insecurely; this is strongly discouraged!");
    }
    let until_end = async {
        tokio::select! {
            biased;
            halted = server.halted() => Err(halted),
            name = signalled => Ok(name),
        }
    };
    let until_ready = async {
        server.ready().await;
        info!("ready to serve client requests");
        std::future::pending().await
    };
    let ended = tokio::select! {
        biased;
        ended = until_end => ended,
        never = until_ready => never,
    };
    let halted = match ended {
        Ok(name) => return Some(stop(server, name).await),
        Err(halted) => halted,
    };
    match halted.cause {
        // It has said so.
        Cause::Removed => Some(0),
        Cause::Broken => {
            error!(reason = %halted, "the member stopped by itself");
            Some(1)
        }
        Cause::Outvoted => {
            warn!(reason = %halted, "starting the member again");
            server.stop().await;
            None
        }
    }
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
