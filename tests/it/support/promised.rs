//! What clients were promised, kept outside the daemon: it must be there afterwards, whatever the
//! daemon thinks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::Api;

/// Acknowledged puts: key → value and revision. Nothing is ever overwritten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promised(Arc<Mutex<BTreeMap<String, (String, i64)>>>);

impl Promised {
    pub(crate) fn keep(&self, key: String, value: String, revision: i64) {
        self.0.lock().expect("no panics").insert(key, (value, revision));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().expect("no panics").len()
    }

    /// Checks that the member behind `api` keeps every promise; its revision.
    pub(crate) async fn check(&self, api: &Api) -> i64 {
        // What is acknowledged meanwhile may be missing from the answer.
        let promised = self.0.lock().expect("no panics").clone();
        let all = api.everything().await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found = all.kvs.iter().map(|kv| (text(&kv.key), (text(&kv.value), kv.mod_revision)));
        let found: BTreeMap<String, (String, i64)> = found.collect();
        for (key, promise) in &promised {
            assert_eq!(found.get(key), Some(promise), "acknowledged and lost: {key}");
        }
        let revision = all.header.expect("a header").revision;
        let newest = promised.values().map(|(_, revision)| *revision).max().unwrap_or(1);
        assert!(revision >= newest, "revision {revision} after {newest} was acknowledged");
        revision
    }
}
