//! Every RPC by its path, with its counters.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::IntCounter;

use crate::metrics::Metrics;

/// How a method talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One message each way.
    Unary,
    /// One request, many answers.
    ServerStream,
    /// Many both ways.
    BidiStream,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::BidiStream => "bidi_stream",
        }
    }
}

/// Which service serves a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Kv,
    Watch,
    Lease,
    Cluster,
    Maintenance,
    Auth,
    Health,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Kv => "etcdserverpb.KV",
            Self::Watch => "etcdserverpb.Watch",
            Self::Lease => "etcdserverpb.Lease",
            Self::Cluster => "etcdserverpb.Cluster",
            Self::Maintenance => "etcdserverpb.Maintenance",
            Self::Auth => "etcdserverpb.Auth",
            Self::Health => "grpc.health.v1.Health",
        }
    }

    const ALL: [Self; 7] = [
        Self::Kv,
        Self::Watch,
        Self::Lease,
        Self::Cluster,
        Self::Maintenance,
        Self::Auth,
        Self::Health,
    ];

    fn unary(self) -> &'static [&'static str] {
        match self {
            Self::Kv => &["Range", "Put", "DeleteRange", "Txn", "Compact"],
            Self::Watch => &[],
            Self::Lease => &["LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "LeaseLeases"],
            Self::Cluster => {
                &["MemberAdd", "MemberRemove", "MemberUpdate", "MemberList", "MemberPromote"]
            }
            Self::Maintenance => {
                &["Alarm", "Status", "Defragment", "Hash", "HashKV", "MoveLeader", "Downgrade"]
            }
            Self::Auth => &[
                "AuthEnable",
                "AuthDisable",
                "AuthStatus",
                "Authenticate",
                "UserAdd",
                "UserGet",
                "UserList",
                "UserDelete",
                "UserChangePassword",
                "UserGrantRole",
                "UserRevokeRole",
                "RoleAdd",
                "RoleGet",
                "RoleList",
                "RoleDelete",
                "RoleGrantPermission",
                "RoleRevokePermission",
            ],
            Self::Health => &["Check", "List"],
        }
    }

    fn streaming(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Kv => &[("RangeStream", Kind::ServerStream)],
            Self::Watch => &[("Watch", Kind::BidiStream)],
            Self::Lease => &[("LeaseKeepAlive", Kind::BidiStream)],
            Self::Maintenance => &[("Snapshot", Kind::ServerStream)],
            Self::Health => &[("Watch", Kind::ServerStream)],
            Self::Cluster | Self::Auth => &[],
        }
    }
}

/// One method with its counters.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) service: Service,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) started: IntCounter,
    handled_ok: IntCounter,
}

impl Method {
    /// Whether a learner serves it; of `Range` it serves the serializable ones.
    pub(crate) fn is_for_learners(&self) -> bool {
        matches!(
            (self.service, self.name),
            (Service::Maintenance, "Status" | "Snapshot") | (Service::Kv, "Range")
        )
    }

    /// Counts one that ended with `code`.
    pub(crate) fn handled(&self, metrics: &Metrics, code: tonic::Code) {
        if code == tonic::Code::Ok {
            self.handled_ok.inc();
            return;
        }
        // As grpc-go prints them: the Rust names are the same words.
        let code = format!("{code:?}").replace("Cancelled", "Canceled");
        metrics
            .grpc_handled
            .with_label_values(&[self.kind.label(), self.service.name(), self.name, &code])
            .inc();
    }
}

/// Every method, by path.
#[derive(Debug)]
pub(crate) struct Methods {
    by_path: BTreeMap<String, Arc<Method>>,
}

impl Methods {
    /// All methods, their counters at zero.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let mut by_path = BTreeMap::new();
        for service in Service::ALL {
            let unary = service.unary().iter().map(|name| (*name, Kind::Unary));
            for (name, kind) in unary.chain(service.streaming().iter().copied()) {
                let labels = [kind.label(), service.name(), name];
                let method = Method {
                    service,
                    name,
                    kind,
                    started: metrics.grpc_started.with_label_values(&labels),
                    handled_ok: metrics
                        .grpc_handled
                        .with_label_values(&[labels[0], labels[1], labels[2], "OK"]),
                };
                by_path.insert(format!("/{}/{name}", service.name()), Arc::new(method));
            }
        }
        Self { by_path }
    }

    /// The method at `path`, e.g. `/etcdserverpb.KV/Put`.
    pub(crate) fn get(&self, path: &str) -> Option<&Arc<Method>> {
        self.by_path.get(path)
    }

    /// What grpc-go says of a path that leads nowhere.
    pub(crate) fn unknown(&self, path: &str) -> tonic::Status {
        let text = match path.trim_start_matches('/').rsplit_once('/') {
            Some((service, method)) if Service::ALL.iter().any(|s| s.name() == service) => {
                format!("unknown method {method} for service {service}")
            }
            Some((service, _)) => format!("unknown service {service}"),
            None => format!("malformed method name: {path:?}"),
        };
        tonic::Status::unimplemented(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_path() {
        let methods = Methods::new(&Metrics::new());
        let put = methods.get("/etcdserverpb.KV/Put").expect("a method");
        assert_eq!((put.service, put.kind), (Service::Kv, Kind::Unary));
        let watch = methods.get("/etcdserverpb.Watch/Watch").expect("a method");
        assert_eq!((watch.service, watch.kind), (Service::Watch, Kind::BidiStream));
    }

    #[test]
    fn a_path_that_leads_nowhere_is_refused_in_grpc_gos_words() {
        let methods = Methods::new(&Metrics::new());
        let says = |path: &str| methods.unknown(path).message().to_owned();
        assert_eq!(says("/etcdserverpb.KV/Pat"), "unknown method Pat for service etcdserverpb.KV");
        assert_eq!(says("/a.B/C"), "unknown service a.B");
    }
}
