//! Which fields of which requests were given which classes of values: input coverage.
//!
//! A cell is `request.field/class`. [`cells`] lists all there are, so that a table can say which
//! were never hit; [`of`] counts those of a history. Calls that a history has no words for are
//! counted where they are sent, and their cells are listed there.

use std::collections::BTreeMap;

use super::explorer;
use crate::history::{
    Event, Request, WatchStep, What,
    request::{Compare, Range, Step, Target, Txn},
};

/// Kinds of fields, each with its classes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Text,
    Number,
    Flag,
    Count,
    Choice(&'static [&'static str]),
}

const TEXT: &[&str] = &["empty", "one_byte", "usual", "odd", "long"];
const NUMBER: &[&str] = &["zero", "one", "usual", "negative", "huge"];
const FLAG: &[&str] = &["no", "yes"];
const COUNT: &[&str] = &["none", "one", "some", "too_many"];
/// Text longer than this is long.
const LONG: usize = 1000;
/// A number from here on is huge.
const HUGE: i64 = 1 << 53;
/// More operations than this are too many for etcd's default.
const TOO_MANY: usize = 128;

const RELATIONS: &[&str] = &["equal", "not_equal", "greater", "less"];
const TARGETS: &[&str] = &["version", "create", "mod", "value", "lease"];
const SORTS: &[&str] = &["key", "version", "create", "mod", "value"];
const ORDERS: &[&str] = &["none", "ascend", "descend"];
const STEPS: &[&str] = &["range", "put", "delete", "txn"];
const ACTIONS: &[&str] = &["get", "activate", "deactivate"];
const ALARMS: &[&str] = &["none", "nospace", "corrupt"];

/// Every field that the history has a word for.
const FIELDS: &[(&str, Kind)] = &[
    ("range.key", Kind::Text),
    ("range.end", Kind::Text),
    ("range.revision", Kind::Number),
    ("range.limit", Kind::Number),
    ("range.sort_by", Kind::Choice(SORTS)),
    ("range.sort_order", Kind::Choice(ORDERS)),
    ("range.serializable", Kind::Flag),
    ("range.keys_only", Kind::Flag),
    ("range.count_only", Kind::Flag),
    ("range.min_mod", Kind::Number),
    ("range.max_mod", Kind::Number),
    ("range.min_create", Kind::Number),
    ("range.max_create", Kind::Number),
    ("put.key", Kind::Text),
    ("put.value", Kind::Text),
    ("put.lease", Kind::Number),
    ("put.prev_kv", Kind::Flag),
    ("put.ignore_value", Kind::Flag),
    ("put.ignore_lease", Kind::Flag),
    ("delete.key", Kind::Text),
    ("delete.end", Kind::Text),
    ("delete.prev_kv", Kind::Flag),
    ("txn.compare", Kind::Count),
    ("txn.then", Kind::Count),
    ("txn.else", Kind::Count),
    ("txn.step", Kind::Choice(STEPS)),
    ("compare.key", Kind::Text),
    ("compare.end", Kind::Text),
    ("compare.is", Kind::Choice(RELATIONS)),
    ("compare.target", Kind::Choice(TARGETS)),
    ("compare.number", Kind::Number),
    ("compare.value", Kind::Text),
    ("compact.revision", Kind::Number),
    ("compact.physical", Kind::Flag),
    ("grant.id", Kind::Number),
    ("grant.ttl", Kind::Number),
    ("revoke.id", Kind::Number),
    ("keep_alive.id", Kind::Number),
    ("time_to_live.id", Kind::Number),
    ("time_to_live.keys", Kind::Flag),
    ("hash_kv.revision", Kind::Number),
    ("alarm.action", Kind::Choice(ACTIONS)),
    ("alarm.alarm", Kind::Choice(ALARMS)),
    ("alarm.member", Kind::Number),
    ("watch.key", Kind::Text),
    ("watch.end", Kind::Text),
    ("watch.start_revision", Kind::Number),
    ("watch.prev_kv", Kind::Flag),
    ("watch.progress_notify", Kind::Flag),
    ("watch.no_put", Kind::Flag),
    ("watch.no_delete", Kind::Flag),
    ("watch.fragment", Kind::Flag),
    (WATCH_ID, Kind::Number),
];

/// The number a watch is given on its stream, which is the client's own business and not in the
/// history.
const WATCH_ID: &str = "watch.watch_id";
/// A question how far a stream is: the history has only the answers.
pub(super) const PROGRESS_REQUEST: &str = "watch.progress_request/sent";

/// Every cell there is, in order.
pub fn cells() -> impl Iterator<Item = String> {
    let fields = FIELDS.iter().flat_map(|(field, kind)| {
        let classes = match kind {
            Kind::Text => TEXT,
            Kind::Number => NUMBER,
            Kind::Flag => FLAG,
            Kind::Count => COUNT,
            Kind::Choice(classes) => classes,
        };
        classes.iter().map(move |class| format!("{field}/{class}"))
    });
    let silent = explorer::RAW_CELLS.iter().copied().chain([PROGRESS_REQUEST]);
    fields.chain(silent.map(str::to_owned))
}

/// The cell of a number that a watch is given on its stream.
pub(super) fn of_watch_id(number: i64) -> String {
    format!("{WATCH_ID}/{}", class_of(number))
}

/// How often a history hit each cell.
#[must_use]
pub fn of(history: &[Event]) -> BTreeMap<String, u64> {
    let mut counter = Counter::default();
    for event in history {
        match &event.what {
            What::Invoke { request, .. } => counter.request(request),
            What::Watch { step: WatchStep::Open { spec }, .. } => {
                counter.text("watch.key", &spec.key);
                counter.text("watch.end", &spec.end);
                counter.number("watch.start_revision", spec.start_revision);
                counter.flag("watch.prev_kv", spec.prev_kv);
                counter.flag("watch.progress_notify", spec.progress_notify);
                counter.flag("watch.no_put", spec.no_put);
                counter.flag("watch.no_delete", spec.no_delete);
                counter.flag("watch.fragment", spec.fragment);
            }
            _ => {}
        }
    }
    let name = |((field, class), count)| (format!("{field}/{class}"), count);
    counter.0.into_iter().map(name).collect()
}

/// What kind of request it is, in a word.
#[must_use]
pub fn kind(request: &Request) -> &'static str {
    match request {
        Request::Range(_) => "range",
        Request::Put(_) => "put",
        Request::Delete(_) => "delete",
        Request::Txn(_) => "txn",
        Request::Compact { .. } => "compact",
        Request::Grant { .. } => "grant",
        Request::Revoke { .. } => "revoke",
        Request::KeepAlive { .. } => "keep_alive",
        Request::TimeToLive { .. } => "time_to_live",
        Request::Leases => "leases",
        Request::Status => "status",
        Request::HashKv { .. } => "hash_kv",
        Request::Defragment => "defragment",
        Request::Snapshot => "snapshot",
        Request::Alarm { .. } => "alarm",
    }
}

fn class_of(number: i64) -> &'static str {
    match number {
        ..=-1 => "negative",
        0 => "zero",
        1 => "one",
        HUGE.. => "huge",
        _ => "usual",
    }
}

/// Counts by field and class, without making a string each time.
#[derive(Default)]
struct Counter(BTreeMap<(&'static str, &'static str), u64>);

impl Counter {
    fn hit(&mut self, field: &'static str, class: &'static str) {
        *self.0.entry((field, class)).or_default() += 1;
    }

    fn text(&mut self, field: &'static str, text: &str) {
        let is_odd = text.bytes().any(|byte| !byte.is_ascii_graphic());
        self.hit(
            field,
            match text.len() {
                0 => "empty",
                1 => "one_byte",
                LONG.. => "long",
                _ if is_odd => "odd",
                _ => "usual",
            },
        );
    }

    fn number(&mut self, field: &'static str, number: i64) {
        self.hit(field, class_of(number));
    }

    fn flag(&mut self, field: &'static str, flag: bool) {
        self.hit(field, if flag { "yes" } else { "no" });
    }

    fn count(&mut self, field: &'static str, count: usize) {
        self.hit(
            field,
            match count {
                0 => "none",
                1 => "one",
                2..=TOO_MANY => "some",
                _ => "too_many",
            },
        );
    }

    /// One of `classes`, by its place in the enum, which is theirs.
    fn choice(&mut self, field: &'static str, classes: &[&'static str], place: usize) {
        self.hit(field, classes.get(place).copied().unwrap_or("unknown"));
    }

    fn word(&mut self, field: &'static str, classes: &[&'static str], word: &str) {
        let place = classes.iter().position(|class| *class == word);
        self.choice(field, classes, place.unwrap_or(usize::MAX));
    }

    fn request(&mut self, request: &Request) {
        match request {
            Request::Range(range) => self.range(range),
            Request::Put(put) => self.step(&Step::Put(put.clone())),
            Request::Delete(delete) => self.step(&Step::Delete(delete.clone())),
            Request::Txn(txn) => self.txn(txn),
            Request::Compact { revision, physical } => {
                self.number("compact.revision", *revision);
                self.flag("compact.physical", *physical);
            }
            Request::Grant { id, ttl } => {
                self.number("grant.id", *id);
                self.number("grant.ttl", *ttl);
            }
            Request::Revoke { id } => self.number("revoke.id", *id),
            Request::KeepAlive { id } => self.number("keep_alive.id", *id),
            Request::TimeToLive { id, keys } => {
                self.number("time_to_live.id", *id);
                self.flag("time_to_live.keys", *keys);
            }
            Request::HashKv { revision } => self.number("hash_kv.revision", *revision),
            Request::Alarm { action, alarm, member } => {
                self.number("alarm.member", member.cast_signed());
                self.word("alarm.action", ACTIONS, action);
                self.word("alarm.alarm", ALARMS, alarm);
            }
            Request::Leases | Request::Status | Request::Defragment | Request::Snapshot => {}
        }
    }

    fn range(&mut self, range: &Range) {
        self.text("range.key", &range.key);
        self.text("range.end", &range.end);
        self.number("range.revision", range.revision);
        self.number("range.limit", range.limit);
        self.choice("range.sort_by", SORTS, range.sort.by as usize);
        self.choice("range.sort_order", ORDERS, range.sort.order as usize);
        self.flag("range.serializable", range.serializable);
        self.flag("range.keys_only", range.keys_only);
        self.flag("range.count_only", range.count_only);
        self.number("range.min_mod", range.min_mod);
        self.number("range.max_mod", range.max_mod);
        self.number("range.min_create", range.min_create);
        self.number("range.max_create", range.max_create);
    }

    fn txn(&mut self, txn: &Txn) {
        self.count("txn.compare", txn.compare.len());
        self.count("txn.then", txn.then.len());
        self.count("txn.else", txn.otherwise.len());
        for compare in &txn.compare {
            self.compare(compare);
        }
        for step in txn.then.iter().chain(&txn.otherwise) {
            self.hit(
                "txn.step",
                match step {
                    Step::Range(_) => "range",
                    Step::Put(_) => "put",
                    Step::Delete(_) => "delete",
                    Step::Txn(_) => "txn",
                },
            );
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Range(range) => self.range(range),
            Step::Put(put) => {
                self.text("put.key", &put.key);
                self.text("put.value", &put.value);
                self.number("put.lease", put.lease);
                self.flag("put.prev_kv", put.prev_kv);
                self.flag("put.ignore_value", put.ignore_value);
                self.flag("put.ignore_lease", put.ignore_lease);
            }
            Step::Delete(delete) => {
                self.text("delete.key", &delete.key);
                self.text("delete.end", &delete.end);
                self.flag("delete.prev_kv", delete.prev_kv);
            }
            Step::Txn(txn) => self.txn(txn),
        }
    }

    fn compare(&mut self, compare: &Compare) {
        self.text("compare.key", &compare.key);
        self.text("compare.end", &compare.end);
        self.choice("compare.is", RELATIONS, compare.is as usize);
        let (target, number) = match &compare.target {
            Target::Version(number) => ("version", Some(*number)),
            Target::Create(number) => ("create", Some(*number)),
            Target::Mod(number) => ("mod", Some(*number)),
            Target::Value(value) => {
                self.text("compare.value", value);
                ("value", None)
            }
            Target::Lease(number) => ("lease", Some(*number)),
        };
        self.hit("compare.target", target);
        if let Some(number) = number {
            self.number("compare.number", number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        history::{
            WatchSpec,
            request::{Delete, Put, Relation, Sort, SortBy, SortOrder},
        },
        workload::say,
    };

    fn event(what: What) -> Event {
        Event { at: 0, client: 0, what }
    }

    fn ask(request: Request) -> Event {
        event(What::Invoke { op: 1, member: 0, request })
    }

    #[test]
    fn every_cell_that_is_hit_is_one_of_all_cells() {
        let range = Range {
            limit: -1,
            revision: i64::MAX,
            sort: Sort { by: SortBy::Value, order: SortOrder::Descend },
            ..Range::default()
        };
        let compare = Compare {
            key: String::new(),
            end: "\u{7}b".to_owned(),
            is: Relation::Less,
            target: Target::Lease(1),
        };
        let txn = Txn {
            compare: vec![compare],
            then: vec![Step::Range(range), Step::Txn(Txn::default())],
            otherwise: vec![Step::Delete(Delete::default()); 129],
        };
        let alarm = say::alarm("get", "corrupt", 0);
        let spec = WatchSpec::default();
        let history = [
            ask(Request::Txn(txn)),
            ask(alarm),
            ask(Request::Put(Put::default())),
            event(What::Watch { watch: 1, member: 0, step: WatchStep::Open { spec } }),
        ];
        let hit = of(&history);
        let all: BTreeSet<String> = cells().collect();
        assert!(hit.keys().all(|cell| all.contains(cell)), "{hit:?}");
        for cell in [
            "range.limit/negative",
            "range.revision/huge",
            "range.sort_by/value",
            "range.sort_order/descend",
            "compare.is/less",
            "compare.end/odd",
            "txn.else/too_many",
            "alarm.alarm/corrupt",
            "watch.start_revision/zero",
        ] {
            assert_eq!(hit.get(cell), Some(&1), "{cell}");
        }
    }
}
