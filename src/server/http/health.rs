//! `/health`, `/livez` and `/readyz`, as probes of etcd know them.
//!
//! Liveness asks whether restarting would help, readiness whether to send requests here. Alarms
//! are no reason to restart, so liveness does not look at them.

use http::{Response, StatusCode};
use reseed_proto::etcdserverpb::{AlarmType, RangeRequest};
use tonic::body::Body;

use super::text;
use crate::rpc::Services;

/// The checks of each probe, in the order in which they are reported.
const LIVEZ: [Check; 1] = [Check::SerializableRead];
const READYZ: [Check; 4] =
    [Check::DataCorruption, Check::SerializableRead, Check::LinearizableRead, Check::NonLearner];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    async fn run(self, services: &Services) -> Result<(), String> {
        match self {
            Self::DataCorruption => {
                if services.state.machine.read().alarms.is_active(AlarmType::Corrupt) {
                    return Err("alarm activated: CORRUPT".into());
                }
                Ok(())
            }
            Self::SerializableRead => read(services),
            Self::LinearizableRead => {
                services.read_index.wait().await.map_err(|error| error.to_string())?;
                read(services)
            }
            Self::NonLearner => {
                if services.state.is_learner() {
                    return Err("not supported for learner".into());
                }
                Ok(())
            }
        }
    }
}

fn read(services: &Services) -> Result<(), String> {
    let any_key = RangeRequest {
        key: bytes::Bytes::from_static(b"\0"),
        range_end: bytes::Bytes::from_static(b"\0"),
        limit: 1,
        keys_only: true,
        ..RangeRequest::default()
    };
    services.state.probe_backend().map_err(|error| error.to_string())?;
    services.state.range(&any_key).map(drop).map_err(|error| error.to_string())
}

fn parameters<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

/// `/health`: alarms, then a leader, then a read.
pub(super) async fn health(services: &Services, query: &str) -> Response<Body> {
    let serializable = parameters(query, "serializable").any(|value| value == "true");
    let reason = unhealthy(services, query, serializable).await;
    let metrics = &services.state.metrics;
    let (status, body) = match reason {
        None => {
            metrics.health_success.inc();
            (StatusCode::OK, serde_json::json!({"health": "true", "reason": ""}))
        }
        Some(reason) => {
            metrics.health_failures.inc();
            let body = serde_json::json!({"health": "false", "reason": reason});
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
    };
    // Go finds out by itself that this is text.
    text(status, body.to_string())
}

async fn unhealthy(services: &Services, query: &str, serializable: bool) -> Option<String> {
    for alarm in [AlarmType::Nospace, AlarmType::Corrupt] {
        let excluded = parameters(query, "exclude").any(|name| name == alarm.as_str_name());
        if !excluded && services.state.machine.read().alarms.is_active(alarm) {
            return Some(format!("ALARM {}", alarm.as_str_name()));
        }
    }
    if !serializable && services.state.progress.leader() == 0 {
        return Some("RAFT NO LEADER".into());
    }
    let check = if serializable { Check::SerializableRead } else { Check::LinearizableRead };
    check.run(services).await.err().map(|error| format!("RANGE ERROR:{error}"))
}

/// `/livez` and `/readyz`, whole or one check of it.
pub(super) async fn probe(
    services: &Services,
    kind: &'static str,
    path: &str,
    query: &str,
) -> Response<Body> {
    let checks: &[Check] = if kind == "livez" { &LIVEZ } else { &READYZ };
    let single = path.trim_start_matches('/').split_once('/').map(|(_, name)| name);
    if let Some(name) = single.filter(|name| !name.is_empty()) {
        let Some(check) = checks.iter().find(|check| check.name() == name) else {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        return report(services, kind, &[*check], query).await;
    }
    report(services, kind, checks, query).await
}

async fn report(
    services: &Services,
    kind: &'static str,
    checks: &[Check],
    query: &str,
) -> Response<Body> {
    let metrics = &services.state.metrics;
    let mut lines = String::new();
    let mut failed = false;
    for check in checks {
        let name = check.name();
        if parameters(query, "exclude").any(|excluded| excluded == name) {
            continue;
        }
        let result = check.run(services).await;
        let status = if result.is_ok() { "success" } else { "error" };
        metrics.healthcheck.with_label_values(&[kind, name]).set(i64::from(result.is_ok()));
        metrics.healthchecks.with_label_values(&[kind, name, status]).inc();
        match result {
            Ok(()) => lines += &format!("[+]{name} ok\n"),
            Err(reason) => {
                failed = true;
                lines += &format!("[-]{name} failed: {reason}\n");
            }
        }
    }
    let verbose = parameters(query, "verbose").next().is_some();
    match (failed, verbose) {
        (false, false) => text(StatusCode::OK, "ok\n"),
        (false, true) => text(StatusCode::OK, lines + "ok\n"),
        (true, _) => text(StatusCode::SERVICE_UNAVAILABLE, lines),
    }
}
