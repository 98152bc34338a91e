//! What a range must answer.

use std::cmp::Ordering;

use super::model::{Live, Model};
use crate::history::request::{Pair, Range, SortBy, SortOrder};

/// The fields of a range's answer.
#[derive(Clone, Copy)]
pub(super) struct Answer<'h> {
    pub(super) kvs: &'h [Pair],
    pub(super) count: i64,
    pub(super) more: bool,
}

/// A promise broken: its class and the story.
pub(super) type Wrong = (&'static str, String);

/// Compares an answer with the store as it is in `model`.
pub(super) fn check(model: &Model<'_>, range: &Range, answer: Answer<'_>) -> Option<Wrong> {
    if range.end.is_empty() && !has_filter(range) && !range.count_only {
        return check_one(model, range, answer);
    }
    let found: Vec<(&str, &Live<'_>)> = model.range(&range.key, &range.end).collect();
    if answer.count != found.len() as i64 {
        let story = format!("counted {} keys of {}", answer.count, found.len());
        return Some(("reads.count", story));
    }
    if range.count_only {
        let story = || ("reads.wrong", "keys came with a count only".to_owned());
        return (!answer.kvs.is_empty() || answer.more).then(story);
    }
    let matching: Vec<_> = found.into_iter().filter(|(_, live)| passes(range, live)).collect();
    let limit = usize::try_from(range.limit).unwrap_or(0);
    let is_cut = limit > 0 && matching.len() > limit;
    if answer.more != is_cut {
        let story = format!("more: {}, limit {limit} of {}", answer.more, matching.len());
        return Some(("reads.more", story));
    }
    let wanted = if is_cut { limit } else { matching.len() };
    if is_by_key(range) {
        let mut expected: Vec<_> = matching;
        if range.sort.order == SortOrder::Descend {
            expected.reverse();
        }
        expected.truncate(wanted);
        return check_list(range, &expected, answer.kvs);
    }
    check_sorted(range, &matching, wanted, answer.kvs)
}

/// The plain get, which most reads are.
fn check_one(model: &Model<'_>, range: &Range, answer: Answer<'_>) -> Option<Wrong> {
    let found = model.get(&range.key).map(|live| (range.key.as_str(), live));
    let expected = found.as_slice();
    if let Some(wrong) = check_list(range, expected, answer.kvs) {
        return Some(wrong);
    }
    if answer.count != expected.len() as i64 {
        let story = format!("counted {} keys of {}", answer.count, expected.len());
        return Some(("reads.count", story));
    }
    answer.more.then(|| ("reads.more", "more than one of a single key".to_owned()))
}

fn has_filter(range: &Range) -> bool {
    [range.min_mod, range.max_mod, range.min_create, range.max_create].iter().any(|at| *at != 0)
}

fn passes(range: &Range, live: &Live<'_>) -> bool {
    let (changed, created) = (live.mod_revision, live.create_revision);
    let above = |bound: i64, at: i64| bound == 0 || at >= bound;
    let below = |bound: i64, at: i64| bound == 0 || at <= bound;
    above(range.min_mod, changed)
        && below(range.max_mod, changed)
        && above(range.min_create, created)
        && below(range.max_create, created)
}

/// Whether the order is that of keys: any other property without a direction means ascending.
fn is_by_key(range: &Range) -> bool {
    range.sort.by == SortBy::Key
}

/// Exactly these, in this order.
fn check_list(range: &Range, expected: &[(&str, &Live<'_>)], got: &[Pair]) -> Option<Wrong> {
    for (index, (key, live)) in expected.iter().enumerate() {
        let Some(pair) = got.get(index) else {
            return Some(("reads.wrong", format!("{key} is missing; it is {live:?}")));
        };
        if pair.key != *key {
            let story = format!("{} where {key} = {live:?} belongs", pair.key);
            return Some(("reads.wrong", story));
        }
        if let Some(wrong) = check_pair(range, live, pair) {
            return Some(wrong);
        }
    }
    let extra = got.get(expected.len())?;
    Some(("reads.wrong", format!("{} = {:?} is not there", extra.key, extra.version)))
}

fn check_pair(range: &Range, live: &Live<'_>, pair: &Pair) -> Option<Wrong> {
    let value = if range.keys_only { "" } else { live.value };
    let expected = Live { value, ..*live };
    if expected.is(&pair.version) {
        return None;
    }
    let story = format!("{} read as {:?}; it is {expected:?}", pair.key, pair.version);
    Some(("reads.wrong", story))
}

/// Sorted by a property that several keys may share: their order among each other, and which of
/// them a limit cuts off, is not promised.
fn check_sorted(
    range: &Range,
    matching: &[(&str, &Live<'_>)],
    wanted: usize,
    got: &[Pair],
) -> Option<Wrong> {
    if got.len() != wanted {
        return Some(("reads.wrong", format!("{} keys instead of {wanted}", got.len())));
    }
    let mut rest = matching.to_vec();
    let mut last: Option<&Live<'_>> = None;
    for pair in got {
        let Ok(at) = rest.binary_search_by(|(key, _)| (*key).cmp(&pair.key)) else {
            let story = format!("{} = {:?} is not there, or twice", pair.key, pair.version);
            return Some(("reads.wrong", story));
        };
        let (_, live) = rest.remove(at);
        if let Some(wrong) = check_pair(range, live, pair) {
            return Some(wrong);
        }
        if last.is_some_and(|last| compare(range, last, live) == Ordering::Greater) {
            return Some(("reads.order", format!("{} comes too late", pair.key)));
        }
        last = Some(live);
    }
    let last = last?;
    let (key, _) = rest.iter().find(|(_, live)| compare(range, last, live) == Ordering::Greater)?;
    Some(("reads.order", format!("{key} was cut off though it comes before the last")))
}

fn compare(range: &Range, a: &Live<'_>, b: &Live<'_>) -> Ordering {
    let order = match range.sort.by {
        SortBy::Key => Ordering::Equal,
        SortBy::Version => a.version.cmp(&b.version),
        SortBy::Create => a.create_revision.cmp(&b.create_revision),
        SortBy::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortBy::Value => a.value.cmp(b.value),
    };
    if range.sort.order == SortOrder::Descend { order.reverse() } else { order }
}
