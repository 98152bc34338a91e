//! Reads serializably, at past revisions, page by page, sorted and filtered.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    Part, say,
    values::{pick_weighted, prefix_end},
};
use crate::history::{
    Body, Request, Response,
    request::{Range, Sort, SortBy, SortOrder},
};

/// The prefixes that other roles write under.
const PREFIXES: [&str; 6] = ["reg/", "list/", "bank/", "k8s/", "lease/", "lock/"];

/// What a reader of the past knows.
#[derive(Clone, Debug)]
pub(super) struct PastReader {
    /// The highest revision it has heard of.
    revision: i64,
    /// The rest of a listing: where it goes on, and as of when.
    rest: Option<Range>,
}

impl PastReader {
    pub(super) fn new() -> Self {
        Self { revision: 1, rest: None }
    }

    fn range(&self, rng: &mut ChaCha8Rng) -> Range {
        let prefix = PREFIXES[rng.random_range(0..PREFIXES.len())];
        let mut range = match pick_weighted(&[4, 3, 3, 1], rng) {
            0 => say::list(prefix),
            1 => say::get(&format!("{prefix}{:03}", rng.random_range(0..4))),
            2 => Range { key: "\0".to_owned(), end: "\0".to_owned(), ..Range::default() },
            _ => Range { key: prefix.to_owned(), end: prefix_end("reg/"), ..Range::default() },
        };
        range.revision = match pick_weighted(&[5, 6, 1, 1], rng) {
            0 => 0,
            1 => rng.random_range(1..=self.revision),
            2 => self.revision,
            _ => self.revision + rng.random_range(0..30),
        };
        range.serializable = rng.random();
        range
    }

    /// Makes a range less plain.
    fn adorn(&self, mut range: Range, rng: &mut ChaCha8Rng) -> Range {
        if rng.random_ratio(1, 3) {
            range.limit = rng.random_range(1..6);
        }
        if rng.random_ratio(1, 3) {
            let by = [SortBy::Key, SortBy::Version, SortBy::Create, SortBy::Mod, SortBy::Value];
            let order = [SortOrder::None, SortOrder::Ascend, SortOrder::Descend];
            range.sort = Sort {
                by: by[rng.random_range(0..by.len())],
                order: order[rng.random_range(0..order.len())],
            };
        }
        let mut bound = |one_in| {
            if rng.random_ratio(1, one_in) { rng.random_range(1..=self.revision) } else { 0 }
        };
        (range.min_mod, range.max_mod) = (bound(6), bound(6));
        (range.min_create, range.max_create) = (bound(8), bound(8));
        range.keys_only = rng.random_ratio(1, 6);
        range.count_only = rng.random_ratio(1, 8);
        range
    }
}

impl Part for PastReader {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> Request {
        if let Some(rest) = self.rest.take()
            && rng.random_ratio(3, 4)
        {
            return rest.into();
        }
        let range = self.range(rng);
        if rng.random_ratio(1, 2) { self.adorn(range, rng).into() } else { range.into() }
    }

    fn learn(&mut self, request: &Request, response: &Response) {
        self.revision = self.revision.max(response.revision);
        if let (Request::Range(range), Body::Range { kvs, more: true, .. }) =
            (request, &response.body)
            && range.sort == Sort::default()
            && let Some(last) = kvs.last()
        {
            // As Kubernetes pages: from the next key, at the revision of the first page.
            let revision = if range.revision == 0 { response.revision } else { range.revision };
            let key = format!("{}\0", last.key);
            self.rest = Some(Range { key, revision, ..range.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::history::request::{Pair, Version};

    #[test]
    fn the_next_page_begins_after_the_last_key_at_the_same_revision() {
        let mut reader = PastReader::new();
        let page = Range { limit: 1, ..say::list("reg/") };
        let version = Version {
            value: String::new(),
            mod_revision: 3,
            create_revision: 3,
            version: 1,
            lease: 0,
        };
        let kvs = vec![Pair { key: "reg/001".to_owned(), version }];
        let response = Response { revision: 9, body: Body::Range { kvs, count: 4, more: true } };
        reader.learn(&page.into(), &response);
        let rest = reader.rest.clone().expect("there is more");
        assert_eq!((rest.key.as_str(), rest.end.as_str()), ("reg/001\0", "reg0"));
        assert_eq!((rest.revision, rest.limit), (9, 1));
    }

    #[test]
    fn every_adornment_is_drawn() {
        let reader = PastReader { revision: 50, rest: None };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let ranges: Vec<Range> =
            (0..300).map(|_| reader.adorn(say::list("reg/"), &mut rng)).collect();
        let some = |holds: fn(&Range) -> bool| ranges.iter().any(holds);
        assert!(some(|range| range.limit > 0) && some(|range| range.sort.by == SortBy::Value));
        assert!(some(|range| range.min_mod > 0 && range.max_mod > 0));
        assert!(some(|range| range.max_create > 0) && some(|range| range.count_only));
        assert!(some(|range| range.keys_only) && some(|range| *range == say::list("reg/")));
    }
}
