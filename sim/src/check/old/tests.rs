//! Each checker is shown a history that breaks its promise, and must say so; and a legal one.

use super::*;

/// Builds a history and its audit, time moving on by one per event.
#[derive(Default)]
struct Story {
    history: Vec<Event>,
    audit: Audit,
    now: u64,
}

fn version(value: &str, mod_revision: i64, create_revision: i64, version: i64) -> Version {
    Version { value: value.to_owned(), mod_revision, create_revision, version }
}

fn put(key: &str, value: &str) -> Request {
    Request::Put { key: key.to_owned(), value: value.to_owned() }
}

fn get(key: &str) -> Request {
    Request::Get { key: key.to_owned() }
}

fn wrote(revision: i64) -> Response {
    Response { revision, wrote: true, found: None }
}

fn read(revision: i64, found: Option<Version>) -> Response {
    Response { revision, wrote: false, found }
}

impl Story {
    fn event(&mut self, client: u32, what: What) {
        self.now += 1;
        self.history.push(Event { at: self.now, client, what });
    }

    fn invoke(&mut self, op: OpId, request: Request) {
        self.event(1, What::Invoke { op, request });
    }

    fn ok(&mut self, op: OpId, response: Response) {
        self.event(1, What::Ok { op, response });
    }

    /// An operation nobody overlaps.
    fn done(&mut self, op: OpId, request: Request, response: Response) {
        self.invoke(op, request);
        self.ok(op, response);
    }

    /// A write that is in the store.
    fn stored(&mut self, key: &str, now: Version) {
        self.audit.revision = self.audit.revision.max(now.mod_revision);
        let revision = now.mod_revision;
        self.audit.state.insert(key.to_owned(), now.clone());
        self.audit.changes.push(Change { key: key.to_owned(), revision, now: Some(now) });
    }

    fn deleted(&mut self, key: &str, revision: i64) {
        self.audit.revision = self.audit.revision.max(revision);
        self.audit.state.remove(key);
        self.audit.changes.push(Change { key: key.to_owned(), revision, now: None });
    }

    fn watched(&mut self, revisions: &[i64]) {
        let of = |revision: &i64| {
            self.audit.changes.iter().find(|change| change.revision == *revision).cloned()
        };
        let events: Vec<Change> = revisions.iter().filter_map(of).collect();
        assert_eq!(events.len(), revisions.len());
        let revision = revisions.iter().copied().max().unwrap_or_default();
        self.event(9, What::Watched { revision, events });
    }

    /// Two keys, a write each, a delete and a write again: revisions 2 to 5.
    fn legal() -> Self {
        let mut story = Self::default();
        story.done(1, put("a", "1"), wrote(2));
        story.stored("a", version("1", 2, 2, 1));
        story.done(2, put("b", "2"), wrote(3));
        story.stored("b", version("2", 3, 3, 1));
        story.done(3, Request::Delete { key: "a".to_owned() }, wrote(4));
        story.deleted("a", 4);
        story.invoke(4, put("a", "4"));
        story.event(1, What::Unknown { op: 4, error: "timeout".to_owned() });
        story.stored("a", version("4", 5, 5, 1));
        story
    }

    fn classes(&self) -> Vec<String> {
        check(&self.history, &self.audit).into_iter().map(|one| one.class).collect()
    }

    fn expect(&self, class: &str) {
        let found = self.classes();
        assert!(found.iter().any(|one| one == class), "{class} not in {found:?}");
    }
}

#[test]
fn a_legal_history_passes() {
    let mut story = Story::legal();
    story.done(5, get("a"), read(5, Some(version("4", 5, 5, 1))));
    let swap = Request::Swap { key: "a".to_owned(), expected: 5, value: "6".to_owned() };
    story.done(6, swap.clone(), wrote(6));
    story.stored("a", version("6", 6, 5, 2));
    story.done(7, swap, read(6, Some(version("6", 6, 5, 2))));
    story.done(8, Request::Delete { key: "c".to_owned() }, read(6, None));
    story.event(9, What::WatchOpen { start_revision: 1 });
    story.watched(&[2, 3]);
    story.event(9, What::WatchOpen { start_revision: 4 });
    story.watched(&[4, 5, 6]);
    assert_eq!(story.classes(), Vec::<String>::new());
}

#[test]
fn an_acknowledged_write_that_is_gone_is_lost() {
    let mut story = Story::legal();
    story.done(5, put("a", "5"), wrote(6));
    story.expect("durable.lost");
}

#[test]
fn an_acknowledged_write_whose_revision_is_another_write_is_lost() {
    let mut story = Story::legal();
    story.done(5, put("a", "5"), wrote(6));
    story.invoke(6, put("a", "6"));
    story.stored("a", version("6", 6, 5, 2));
    story.expect("durable.lost");
}

#[test]
fn an_acknowledged_delete_that_is_gone_is_lost() {
    let mut story = Story::legal();
    story.done(5, Request::Delete { key: "b".to_owned() }, wrote(6));
    story.expect("durable.lost");
}

#[test]
fn a_hole_in_the_revisions_is_seen() {
    let mut story = Story::legal();
    story.audit.changes.retain(|change| change.revision != 3);
    story.expect("timeline.gap");
}

#[test]
fn a_write_nobody_asked_for_is_a_phantom() {
    let mut story = Story::legal();
    story.stored("a", version("ghost", 6, 5, 2));
    story.expect("timeline.phantom");
}

#[test]
fn a_write_applied_twice_is_seen() {
    let mut story = Story::legal();
    story.stored("b", version("2", 6, 3, 2));
    story.expect("timeline.twice");
}

#[test]
fn a_refused_write_must_not_take_effect() {
    let mut story = Story::legal();
    story.invoke(5, put("b", "5"));
    story.event(1, What::Fail { op: 5, error: "refused".to_owned() });
    story.stored("b", version("5", 6, 3, 2));
    story.expect("timeline.refused");
}

#[test]
fn counters_of_a_key_must_continue() {
    let mut story = Story::legal();
    story.invoke(5, put("b", "5"));
    story.stored("b", version("5", 6, 6, 1));
    story.expect("timeline.counters");
}

#[test]
fn the_final_state_is_what_the_changes_add_up_to() {
    let mut story = Story::legal();
    story.audit.state.remove("b");
    story.expect("timeline.final");
}

#[test]
fn a_read_that_misses_an_earlier_answer_is_stale() {
    let mut story = Story::legal();
    story.done(5, get("b"), read(5, Some(version("2", 3, 3, 1))));
    story.done(6, get("a"), read(4, None));
    assert_eq!(story.classes(), ["order.stale"]);
}

#[test]
fn overlapping_reads_may_see_either() {
    let mut story = Story::legal();
    story.invoke(6, get("a"));
    story.done(5, get("b"), read(5, Some(version("2", 3, 3, 1))));
    story.ok(6, read(4, None));
    assert_eq!(story.classes(), Vec::<String>::new());
}

#[test]
fn a_write_must_be_newer_than_what_was_answered_before() {
    let mut story = Story::default();
    story.done(1, put("a", "1"), wrote(3));
    story.done(2, put("b", "2"), wrote(2));
    story.stored("b", version("2", 2, 2, 1));
    story.stored("a", version("1", 3, 3, 1));
    story.expect("order.write");
}

#[test]
fn an_unanswered_write_must_not_act_before_it_was_asked_for() {
    let mut story = Story::default();
    story.done(1, put("a", "1"), wrote(3));
    story.invoke(2, put("b", "2"));
    story.stored("b", version("2", 2, 2, 1));
    story.stored("a", version("1", 3, 3, 1));
    story.expect("order.write");
}

#[test]
fn a_read_of_the_wrong_value_is_seen() {
    let mut story = Story::legal();
    story.done(5, get("a"), read(5, Some(version("1", 2, 2, 1))));
    story.expect("reads.wrong");
}

#[test]
fn a_read_beyond_the_end_is_seen() {
    let mut story = Story::legal();
    story.done(5, get("a"), read(9, Some(version("4", 5, 5, 1))));
    story.expect("reads.wrong");
}

#[test]
fn a_swap_that_took_the_wrong_branch_is_seen() {
    for (expected, answer) in [(2, wrote(6)), (5, read(5, Some(version("4", 5, 5, 1))))] {
        let mut story = Story::legal();
        let swap = Request::Swap { key: "a".to_owned(), expected, value: "5".to_owned() };
        if answer.wrote {
            story.stored("a", version("5", 6, 5, 2));
        }
        story.done(5, swap, answer);
        story.expect("reads.wrong");
    }
}

#[test]
fn a_delete_that_overlooked_its_key_is_seen() {
    let mut story = Story::legal();
    story.done(5, Request::Delete { key: "b".to_owned() }, read(5, None));
    story.expect("reads.wrong");
}

#[test]
fn watchers_must_not_miss_repeat_or_invent() {
    let cases: [(&[&[i64]], &str); 4] = [
        (&[&[2, 4]], "watch.gap"),
        (&[&[2, 3], &[3]], "watch.order"),
        (&[&[3, 2]], "watch.gap"),
        (&[&[2, 3, 5]], "watch.gap"),
    ];
    for (batches, class) in cases {
        let mut story = Story::legal();
        story.event(9, What::WatchOpen { start_revision: 1 });
        for batch in batches {
            story.watched(batch);
        }
        story.expect(class);
    }
    let mut story = Story::legal();
    story.event(9, What::WatchOpen { start_revision: 2 });
    let now = Some(version("other", 2, 2, 1));
    let events = vec![Change { key: "a".to_owned(), revision: 2, now }];
    story.event(9, What::Watched { revision: 2, events });
    story.expect("watch.wrong");
}

#[test]
fn a_watcher_that_resumes_must_not_lose_what_came_in_between() {
    let mut story = Story::legal();
    story.event(9, What::WatchOpen { start_revision: 1 });
    story.watched(&[2]);
    story.event(9, What::WatchOpen { start_revision: 3 });
    story.watched(&[4]);
    story.expect("watch.gap");
}

#[test]
fn a_watch_header_is_no_older_than_its_events() {
    let mut story = Story::legal();
    story.event(9, What::WatchOpen { start_revision: 1 });
    let events = story.audit.changes[..1].to_vec();
    story.event(9, What::Watched { revision: 1, events });
    story.expect("watch.header");
}
