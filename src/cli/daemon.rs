//! `reseed serve`: runs one member from start to signal.
//!
//! Exit codes: 0 after a graceful stop and when the member was removed from its cluster, so that no
//! supervisor starts it again for that; 1 if it could not start or stopped by itself, 2 if the
//! command line could not be read. A member that is outvoted while it runs does not exit (`again`).

use std::{
    future::Future,
    pin::{Pin, pin},
};

use futures::FutureExt as _;
use reseed_rt::clock::{self, Instant};
use reseed_rt::signal;
use reseed_server::{BootError, Cause, Config, Halted, Server};
use tracing::{error, info, warn};

use super::{
    Invocation,
    again::Again,
    flags::{self, Request, Settings},
    log,
};

/// Runs the daemon; returns the exit code.
pub(crate) fn run(invocation: &Invocation) -> u8 {
    match flags::read(invocation) {
        Ok(Request::Run(settings)) => {
            let again = Again::of(invocation);
            super::block_on_threads(threads(), serve(*settings, again))
        }
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

async fn serve(settings: Settings, again: Again) -> u8 {
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
    // One for all of this life: a signal between two steps of it is not lost.
    let mut signalled = pin!(signal::stop_requested());
    tokio::select! {
        biased;
        name = &mut signalled => return stopped_early(name),
        () = clock::sleep(again.pause()) => {}
    }
    let began = Instant::now();
    match live(config, signalled.as_mut()).await {
        // It has said so.
        End::Halted(Halted { cause: Cause::Removed, .. }) => return 0,
        End::Halted(halted @ Halted { cause: Cause::Broken, .. }) => {
            error!(reason = %halted, "the member stopped by itself");
            return 1;
        }
        End::Halted(halted @ Halted { cause: Cause::Outvoted, .. }) => {
            warn!(reason = %halted, "starting the member again");
        }
        End::NotStarted(reason) => {
            error!(error = %reason, "the member could not start");
            // Who was outvoted while it ran has no supervisor who expects that it may not start.
            if again.is_first() || !may_pass(&reason) {
                return 1;
            }
        }
        End::Signalled(exit_code) => return exit_code,
    }
    if let Some(name) = signalled.now_or_never() {
        return stopped_early(name);
    }
    let error = again.begin(began.elapsed());
    error!(%error, "the program could not be executed again");
    1
}

fn stopped_early(signal: &str) -> u8 {
    info!(signal, "stopped before it served");
    0
}

/// Whether it depends on others that the member cannot start.
fn may_pass(reason: &BootError) -> bool {
    matches!(
        reason,
        BootError::Outvoted(_)
            | BootError::Inconsistent
            | BootError::Unrepaired(_)
            | BootError::Listen { .. }
    )
}

/// How a member's life ended.
enum End {
    NotStarted(BootError),
    Halted(Halted),
    /// With this exit code.
    Signalled(u8),
}

/// From start to stop.
async fn live(config: Config, mut signalled: Pin<&mut impl Future<Output = &'static str>>) -> End {
    let started = tokio::select! {
        biased;
        name = &mut signalled => return End::Signalled(stopped_early(name)),
        started = Server::start(config) => started,
    };
    let server = match started {
        Ok(server) => server,
        Err(reason) => return End::NotStarted(reason),
    };
    for address in server.client_addresses() {
        info!(%address, "serving client traffic insecurely; this is strongly discouraged!");
    }
    let until_ready = async {
        server.ready().await;
        info!("ready to serve client requests");
        std::future::pending().await
    };
    let halted = tokio::select! {
        biased;
        halted = server.halted() => halted,
        name = &mut signalled => return End::Signalled(stop(server, name).await),
        never = until_ready => never,
    };
    if halted.cause != Cause::Outvoted {
        return End::Halted(halted);
    }
    // It still runs, and may break meanwhile; whoever wants it to stop is heard.
    let mut stopping = pin!(server.stop());
    let name = tokio::select! {
        biased;
        name = &mut signalled => name,
        reason = &mut stopping => return End::Halted(reason.unwrap_or(halted)),
    };
    info!(signal = name, "stopping");
    End::Signalled(until_stopped(stopping).await)
}

/// Stops gracefully; a second signal stops at once.
async fn stop(server: Server, signal_name: &str) -> u8 {
    info!(signal = signal_name, "stopping");
    until_stopped(pin!(server.stop())).await
}

async fn until_stopped(stopping: Pin<&mut impl Future<Output = Option<Halted>>>) -> u8 {
    tokio::select! {
        biased;
        _reason = stopping => {
            info!("stopped");
            0
        }
        again = signal::stop_requested() => {
            warn!(signal = again, "stopping at once");
            1
        }
    }
}
