//! Histories made by hand: one that is good, and each way in which one can be bad.

use serde_json::{Value, json};

use super::{Promise, check, figures};
use crate::record::{Entry, Logged, Record};

/// Makes histories entry by entry.
#[derive(Default)]
struct Story(Vec<Entry>);

impl Story {
    fn tell(&mut self, record: Record) -> &mut Self {
        let at_ms = i64::try_from(self.0.len()).unwrap();
        self.0.push(Entry { at_ms, record });
        self
    }

    /// Logs an event that is a change of its own.
    fn logs(&mut self, revision: u64, event_type: &str, agent: &str, data: Value) -> &mut Self {
        self.logs_part(revision, revision, event_type, agent, data)
    }

    fn logs_part(
        &mut self,
        revision: u64,
        change_end: u64,
        event_type: &str,
        agent: &str,
        data: Value,
    ) -> &mut Self {
        let subject = data["command_id"].as_str().unwrap_or(agent).to_owned();
        self.tell(Record::Logged(Logged {
            revision,
            change_end,
            event_type: event_type.into(),
            subject,
            agent: agent.into(),
            data,
        }))
    }

    /// Logs a numbered event.
    fn logs_number(&mut self, revision: u64, by: &str, run: u32, number: u64) -> &mut Self {
        let details = json!({"by": by, "run": run, "number": number});
        self.logs(revision, "rule.triggered", by, json!({"details": details}))
    }

    fn logs_session(&mut self, revision: u64, agent: &str, epoch: u64, word: &str) -> &mut Self {
        let data = json!({"new_connectivity": word, "session_epoch": epoch});
        self.logs(revision, "agent.connectivity_change", agent, data)
    }

    fn logs_issue(&mut self, revision: u64, agent: &str, number: u64) -> &mut Self {
        let data =
            json!({"command_id": format!("c-{number}"), "command": "work", "parameters": {"number": number}});
        self.logs(revision, "command.issued", agent, data)
    }

    fn logs_step(&mut self, revision: u64, agent: &str, number: u64, old: &str, new: &str) -> &mut Self {
        let data = json!({"command_id": format!("c-{number}"), "old_state": old, "new_state": new});
        self.logs(revision, "command.updated", agent, data)
    }

    fn began(&mut self, agent: &str, run: u32, number: u64) -> &mut Self {
        self.tell(Record::Began { agent: agent.into(), run, number })
    }

    fn ended(&mut self, agent: &str, run: u32, number: u64) -> &mut Self {
        self.tell(Record::Ended { agent: agent.into(), run, number })
    }

    fn reader(&mut self, whole: bool) -> &mut Self {
        let types = vec!["*".to_owned()];
        self.tell(Record::Reader { reader: "watcher-1".into(), types, after: 0, whole })
    }

    fn received(&mut self, revisions: &[u64]) -> &mut Self {
        self.tell(Record::Received { reader: "watcher-1".into(), revisions: revisions.into() })
    }

    fn bookmark(&mut self, revision: u64) -> &mut Self {
        self.tell(Record::Bookmark { reader: "watcher-1".into(), revision })
    }

    fn curtain(&mut self, revision: u64) -> &mut Self {
        self.tell(Record::Curtain { revision })
    }

    /// The promises that it breaks, in the order in which they are found.
    fn broken(&self) -> Vec<Promise> {
        check(&self.0).into_iter().map(|violation| violation.promise).collect()
    }
}

/// Three numbered events in one session, all acknowledged.
fn good() -> Story {
    let mut story = Story::default();
    story.logs_session(1, "w", 5, "connected");
    for number in 1..=3 {
        story.logs_number(number + 1, "w", 1, number);
    }
    story.tell(Record::Session { agent: "w".into(), run: 1, epoch: 5 });
    story.tell(Record::Acknowledged { agent: "w".into(), run: 1, number: 3 });
    story.curtain(4);
    story
}

#[test]
fn a_good_history_breaks_no_promise() {
    let mut story = good();
    story.reader(true).received(&[1, 2]).bookmark(2).received(&[3, 4]).bookmark(4);
    story.logs_issue(5, "w", 1);
    let course = ["QUEUED", "DELIVERED", "ACKNOWLEDGED", "IN_PROGRESS", "SUCCEEDED"];
    for (revision, steps) in (6..).zip(course.windows(2)) {
        story.logs_step(revision, "w", 1, steps[0], steps[1]);
    }
    story.began("w", 1, 1).ended("w", 1, 1);
    assert_eq!(check(&story.0), []);
    let figures = figures(&story.0);
    assert_eq!(
        (figures.acknowledged, figures.commands, figures.started, figures.started_twice),
        (3, 1, 1, 0)
    );
    assert_eq!(figures.delivered["grpc"], [4, 0, 0, 0]);
}

#[test]
fn a_log_with_a_hole_or_a_repeat_is_not_ordered() {
    for revisions in [[1, 3], [1, 1], [2, 3]] {
        let mut story = Story::default();
        for revision in revisions {
            story.logs(revision, "x.y", "", json!({}));
        }
        assert_eq!(story.broken()[0], Promise::Ordered, "{revisions:?}");
    }
}

#[test]
fn a_change_whose_events_disagree_on_its_end_is_not_atomic() {
    let mut story = Story::default();
    story.logs_part(1, 2, "x.y", "", json!({})).logs_part(2, 3, "x.y", "", json!({}));
    assert!(story.broken().contains(&Promise::Atomic));
    let mut story = Story::default();
    story.logs_part(1, 2, "x.y", "", json!({}));
    assert_eq!(story.broken(), [Promise::Atomic], "a log that ends in the midst of a change");
}

#[test]
fn what_was_acknowledged_and_is_not_there_is_lost() {
    let mut story = good();
    story.tell(Record::Acknowledged { agent: "w".into(), run: 1, number: 4 });
    let violations = check(&story.0);
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].promise, Promise::ReportedOnce);
    assert_eq!(violations[0].what, "number 4 of w, run 1, was acknowledged and is not in the log (1 in all)");
}

#[test]
fn a_number_that_is_there_twice_or_too_late_is_found() {
    let mut story = good();
    story.logs_number(5, "w", 1, 2);
    let violations = check(&story.0);
    assert_eq!(violations[0].promise, Promise::ReportedOnce);
    assert_eq!(violations[0].evidence.len(), 2, "the two events, and nothing else");
    let mut story = Story::default();
    story.logs_number(1, "w", 1, 2).logs_number(2, "w", 1, 1);
    assert_eq!(story.broken(), [Promise::ReportedInOrder]);
}

#[test]
fn a_published_event_is_where_the_answer_said() {
    let mut story = good();
    let published = |first| Record::Published { publisher: "p".into(), first, revisions: vec![5] };
    story.logs_number(5, "p", 0, 1).tell(published(1));
    assert_eq!(story.broken(), []);
    story.tell(published(2));
    assert_eq!(story.broken(), [Promise::ReportedOnce]);
}

#[test]
fn a_former_run_that_writes_in_a_newer_session_is_not_fenced() {
    let mut story = good();
    story.tell(Record::Session { agent: "w".into(), run: 2, epoch: 9 });
    story.logs_session(5, "w", 9, "connected").logs_number(6, "w", 2, 1);
    assert_eq!(story.broken(), []);
    story.logs_number(7, "w", 1, 4);
    assert_eq!(story.broken(), [Promise::Fenced]);
}

#[test]
fn what_a_run_left_in_its_spool_is_owed_once_the_next_is_heard_and_may_come_in_its_session() {
    let mut story = good();
    story.tell(Record::Kept { agent: "w".into(), run: 1, number: 4 });
    assert_eq!(story.broken(), [], "nothing was heard since");
    story.tell(Record::Session { agent: "w".into(), run: 2, epoch: 9 });
    story.tell(Record::Acknowledged { agent: "w".into(), run: 2, number: 1 });
    story.logs_session(5, "w", 9, "connected");
    let mut lost = Story(story.0.clone());
    lost.logs_number(6, "w", 2, 1);
    assert_eq!(lost.broken(), [Promise::ReportedOnce]);
    story.logs_number(6, "w", 1, 4).logs_number(7, "w", 2, 1);
    assert_eq!((story.broken(), figures(&story.0).handed_over), (vec![], 1));
    story.logs_number(8, "w", 3, 1);
    assert_eq!(story.broken(), [Promise::Fenced]);
}

#[test]
fn the_end_of_an_older_session_after_a_newer_one_began_is_found() {
    let mut story = good();
    story.logs_session(5, "w", 9, "connected").logs_session(6, "w", 5, "disconnected");
    assert_eq!(story.broken(), [Promise::Fenced]);
    let mut story = good();
    story.logs_session(5, "w", 5, "connected");
    assert_eq!(story.broken(), [Promise::Fenced], "an epoch begins once");
}

#[test]
fn a_reader_that_misses_an_event_shows_where() {
    let mut story = good();
    story.reader(true).received(&[1]);
    story.tell(Record::Closed { reader: "watcher-1".into(), why: "cut".into() });
    story.tell(Record::Opened { reader: "watcher-1".into(), after: 1 });
    story.received(&[3, 4]);
    let violations = check(&story.0);
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].promise, Promise::Reliable);
    assert_eq!(violations[0].what, "watcher-1 never received revision 2 (1 in all)");
    let shown: Vec<_> = violations[0].evidence.iter().map(|entry| &entry.record).collect();
    assert!(
        matches!(
            shown[..],
            [
                Record::Logged(_),
                Record::Received { .. },
                Record::Closed { .. },
                Record::Opened { .. },
                Record::Received { .. }
            ]
        ),
        "{shown:?}"
    );
    assert_eq!(figures(&story.0).delivered["grpc"], [3, 1, 0, 0]);
}

#[test]
fn an_end_that_never_came_is_a_loss_too() {
    let mut story = good();
    story.reader(true).received(&[1, 2, 3]);
    assert_eq!(story.broken(), [Promise::Reliable]);
}

#[test]
fn what_comes_twice_or_out_of_order_or_unasked_is_found() {
    let mut story = good();
    story.reader(true).received(&[1, 2]).received(&[2, 3, 4]);
    assert_eq!(story.broken(), [Promise::Unique]);
    let mut story = good();
    story.reader(true).received(&[1, 3, 2, 4]);
    assert_eq!(story.broken(), [Promise::Ordered]);
    assert_eq!(figures(&story.0).delivered["grpc"], [4, 0, 0, 1]);
    let mut story = good();
    let types = vec!["agent.*".to_owned()];
    story.tell(Record::Reader { reader: "watcher-1".into(), types, after: 0, whole: false });
    story.received(&[1, 2]);
    assert_eq!(story.broken(), [Promise::Reliable], "it had not asked for revision 2");
    let mut story = good();
    story.reader(true).received(&[1, 2, 3, 4, 5]);
    assert_eq!(story.broken(), [], "revision 5 may have come after the log was read");
    let mut story = Story::default();
    story.curtain(9).tell(Record::Closed { reader: "nobody".into(), why: String::new() });
    story.reader(true).received(&[5]);
    assert_eq!(story.broken(), [Promise::Reliable], "the log has no revision 5");
}

#[test]
fn what_was_seen_before_a_resume_does_not_come_again() {
    let mut story = good();
    let types = vec!["*".to_owned()];
    story.tell(Record::Reader { reader: "watcher-1".into(), types, after: 2, whole: false });
    story.received(&[2]).received(&[3]).received(&[4]);
    assert_eq!(story.broken(), [Promise::Resumable]);
}

/// A reader that received the first event and was then told that history is gone up to a revision.
fn told_of_a_gap(begins: &[u64], oldest: u64) -> Story {
    let mut story = good();
    story.reader(true).received(&[1]);
    for begin in begins {
        story.tell(Record::CutOff { oldest: *begin });
    }
    story.tell(Record::Gap { reader: "watcher-1".into(), message: "compacted".into(), after: 1, oldest });
    story
}

#[test]
fn what_was_cut_off_may_be_missing_for_those_who_were_told_so_and_for_nobody_else() {
    let mut story = told_of_a_gap(&[3, 4], 3);
    assert_eq!(story.received(&[4]).broken(), []);
    let counted = figures(&story.0);
    assert_eq!((counted.gaps, counted.cut_off, counted.delivered["grpc"]), (1, 2, [2, 0, 0, 0]));
    let mut story = told_of_a_gap(&[3], 2);
    assert_eq!(story.received(&[4]).broken(), [Promise::Reliable], "revision 3 is owed");
    let mut story = good();
    story.tell(Record::CutOff { oldest: 3 });
    assert_eq!(story.reader(true).received(&[1, 3, 4]).broken(), [Promise::Reliable], "nobody told it");
}

#[test]
fn who_is_told_that_history_is_gone_has_missed_some_and_it_is_gone() {
    assert_eq!(told_of_a_gap(&[], 3).received(&[4]).broken(), [Promise::Resumable], "none is gone");
    assert_eq!(told_of_a_gap(&[2], 3).received(&[4]).broken(), [Promise::Resumable], "it begins elsewhere");
    let needless = told_of_a_gap(&[2], 1).received(&[2, 3, 4]).broken();
    assert_eq!(needless, [Promise::Resumable], "it had everything that is gone");
}

#[test]
fn a_bookmark_ahead_of_the_events_or_behind_another_is_found() {
    let mut story = good();
    story.reader(true).received(&[1]).bookmark(3).received(&[2, 3, 4]);
    assert_eq!(story.broken(), [Promise::Bookmarked]);
    let mut story = good();
    story.reader(true).received(&[1, 2, 3, 4]).bookmark(4).bookmark(3);
    assert_eq!(story.broken(), [Promise::Bookmarked]);
}

#[test]
fn a_message_that_ends_within_a_change_is_not_atomic() {
    let mut story = Story::default();
    story.logs_part(1, 2, "x.y", "", json!({})).logs_part(2, 2, "x.y", "", json!({})).curtain(2);
    story.reader(true).received(&[1]).received(&[2]);
    assert_eq!(story.broken(), [Promise::Atomic]);
}

/// A command that was issued and went this way.
fn command(course: &[&str]) -> Story {
    let mut story = Story::default();
    story.logs_issue(1, "w", 1);
    for (revision, steps) in (2..).zip(course.windows(2)) {
        story.logs_step(revision, "w", 1, steps[0], steps[1]);
    }
    story
}

#[test]
fn a_command_that_is_started_twice_or_elsewhere_or_unissued_is_found() {
    let mut story = command(&["QUEUED", "DELIVERED", "UNKNOWN"]);
    story.began("w", 1, 1);
    assert_eq!(story.broken(), []);
    story.began("w", 2, 1);
    let violations = check(&story.0);
    assert_eq!((violations[0].promise, violations[0].evidence.len()), (Promise::StartedOnce, 2));
    assert_eq!(figures(&story.0).started_twice, 1);
    let mut story = command(&["QUEUED", "DELIVERED", "UNKNOWN"]);
    story.began("v", 1, 1);
    assert_eq!(story.broken(), [Promise::StartedOnce]);
    let mut story = Story::default();
    story.began("w", 1, 1);
    assert_eq!(story.broken(), [Promise::StartedOnce]);
}

#[test]
fn a_state_that_is_not_what_happened_is_found() {
    let dishonest: [(&[&str], bool, bool); 7] = [
        (&["QUEUED", "DELIVERED", "SUCCEEDED"], true, false),
        (&["QUEUED", "DELIVERED", "REJECTED"], true, false),
        (&["QUEUED", "EXPIRED"], true, false),
        (&["QUEUED", "CANCELED"], true, false),
        (&["QUEUED", "DELIVERED", "CANCELED"], true, true),
        (&["QUEUED", "DELIVERED", "TIMED_OUT"], true, true),
        (&["QUEUED", "DELIVERED"], false, false),
    ];
    for (course, began, ended) in dishonest {
        let mut story = command(course);
        if began {
            story.began("w", 1, 1);
        }
        if ended {
            story.ended("w", 1, 1);
        }
        assert_eq!(story.broken(), [Promise::Honest], "{course:?}");
    }
    let mut elsewhere = command(&["QUEUED", "DELIVERED", "SUCCEEDED"]);
    elsewhere.began("w", 1, 1).ended("w", 2, 1);
    assert_eq!(elsewhere.broken(), [Promise::Honest], "no run has carried it out");
    let mut honest = command(&["QUEUED", "DELIVERED", "CANCELED"]);
    assert_eq!(honest.began("w", 1, 1).broken(), [], "taken back while it ran");
}

#[test]
fn a_course_that_jumps_back_or_goes_on_after_its_end_is_found() {
    for course in
        [&["QUEUED", "DELIVERED", "EXPIRED", "FAILED"][..], &["QUEUED", "IN_PROGRESS", "DELIVERED", "FAILED"]]
    {
        assert!(command(course).broken().contains(&Promise::Honest), "{course:?}");
    }
    let settled = command(&["QUEUED", "DELIVERED", "UNKNOWN", "FAILED"]);
    assert_eq!(settled.broken(), [], "what was unknown may be settled");
    let mut story = command(&["QUEUED", "DELIVERED", "FAILED"]);
    let row =
        |state: &str| Record::Execution { command_id: "c-1".into(), agent: "w".into(), state: state.into() };
    assert_eq!(story.tell(row("FAILED")).broken(), []);
    let mut story = command(&["QUEUED", "DELIVERED", "FAILED"]);
    assert_eq!(
        story.tell(row("DELIVERED")).broken(),
        [Promise::Honest],
        "the row says otherwise than the log"
    );
}

#[test]
fn a_command_that_was_answered_and_is_not_there_or_there_twice_is_found() {
    let mut story = command(&["QUEUED", "EXPIRED"]);
    let answered = |command_id: &str| Record::Issued { number: 1, command_id: command_id.into() };
    assert_eq!(story.tell(answered("c-1")).broken(), []);
    assert_eq!(story.tell(answered("c-9")).broken(), [Promise::IssuedOnce]);
    let mut story = command(&["QUEUED", "EXPIRED"]);
    story.logs_issue(3, "w", 1);
    assert_eq!(story.broken(), [Promise::IssuedOnce]);
}

#[test]
fn commands_that_start_in_another_order_are_found() {
    let mut story = Story::default();
    for number in [1, 2] {
        story.logs_issue(number, "w", number);
    }
    for number in [1, 2] {
        story.logs_step(2 + number, "w", number, "QUEUED", "UNKNOWN");
    }
    story.began("w", 1, 2).began("w", 2, 1);
    assert_eq!(story.broken(), [], "two runs know nothing of each other");
    story.0.pop();
    story.began("w", 1, 1);
    assert_eq!(story.broken(), [Promise::CommandOrder]);
}

#[test]
fn a_server_that_dies_and_a_sound_thing_refused_are_told() {
    let mut story = good();
    let died = |server| Record::Died { process: "edge-1".into(), status: "signal: 6".into(), server };
    assert_eq!(story.tell(died(false)).broken(), []);
    assert_eq!(story.tell(died(true)).broken(), [Promise::Conduct]);
    story = good();
    story.tell(Record::Refused { who: "w".into(), message: "INTERNAL".into() });
    story.tell(Record::Behind { who: "w".into(), what: "all".into() });
    assert_eq!(story.broken(), [Promise::Conduct, Promise::Reliable]);
}
