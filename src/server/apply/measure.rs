//! How long requests take to apply, by kind, as etcd counts it.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec};
use reseed_core::error::Error;
use reseed_proto::log::log_entry::Request;

/// Times by operation and success. A label is looked up once; apply is the member's busiest loop.
#[derive(Debug)]
pub(crate) struct Times {
    all: HistogramVec,
    known: BTreeMap<(&'static str, bool), Histogram>,
}

impl Times {
    pub(crate) fn new(all: HistogramVec) -> Self {
        Self { all, known: BTreeMap::new() }
    }

    pub(super) fn observe(
        &mut self,
        request: Option<&Request>,
        refused: Option<&Error>,
        took: Duration,
    ) {
        let Some(operation) = operation(request) else { return };
        // etcd takes a read of what is compacted for a success.
        let success = refused.is_none_or(|error| *error == Error::Compacted);
        let histogram = self.known.entry((operation, success)).or_insert_with(|| {
            let success = if success { "true" } else { "false" };
            self.all.with_label_values(&["v3", operation, success])
        });
        histogram.observe(took.as_secs_f64());
    }
}

/// etcd's name for it; changes of the members are no requests there.
fn operation(request: Option<&Request>) -> Option<&'static str> {
    Some(match request? {
        Request::Put(_) => "Put",
        Request::DeleteRange(_) => "DeleteRange",
        Request::Txn(_) => "Txn",
        Request::Compaction(_) => "Compaction",
        Request::LeaseGrant(_) => "LeaseGrant",
        Request::LeaseRevoke(_) => "LeaseRevoke",
        Request::LeaseCheckpoint(_) => "LeaseCheckpoint",
        Request::Alarm(_) => "Alarm",
        Request::MemberAttributes(_) => "ClusterMemberAttrSet",
        Request::ClusterVersion(_) => "ClusterVersionSet",
        Request::MemberChange(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn times_are_told_by_operation_and_success() {
        let metrics = Metrics::new();
        let mut times = Times::new(metrics.apply.clone());
        let put = Request::Put(reseed_proto::etcdserverpb::PutRequest::default());
        for (refused, took) in [(None, 1), (Some(Error::Compacted), 2), (Some(Error::NoSpace), 4)] {
            times.observe(Some(&put), refused.as_ref(), Duration::from_secs(took));
        }
        let text = metrics.render();
        for line in [
            r#"etcd_server_apply_duration_seconds_sum{op="Put",success="true",version="v3"} 3"#,
            r#"etcd_server_apply_duration_seconds_sum{op="Put",success="false",version="v3"} 4"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
