//! Runs: who may decide, what stays on record, what the log tells of steps.

use serde_json::{Map, Value, json};
use signalbox_catalog::{self as catalog, By, Fault, Kind, Violation, Written};
use time::{Duration, OffsetDateTime, macros::datetime};

const BEGIN: OffsetDateTime = datetime!(2026-01-05 10:00:00 UTC);

/// A resource through its life, changed a second after the other.
struct Life {
    kind: &'static Kind,
    row: Map<String, Value>,
    told: Vec<String>,
    seconds: i64,
}

impl Life {
    fn begin(kind: &str, fields: &Value) -> Self {
        let kind = catalog::kind(kind).expect("a built-in kind");
        let by = By { actor: "agent-1", at: BEGIN, person: false };
        let fields = fields.as_object().expect("fields are an object").clone();
        let written = kind.create("id_1", fields, None, &by).expect("the kind allows it");
        let mut life = Self { kind, row: Map::new(), told: Vec::new(), seconds: 0 };
        life.keep(written);
        life
    }

    fn keep(&mut self, written: Written) {
        self.row = written.row;
        self.told.extend(written.events.into_iter().map(|event| event.event_type.into_owned()));
    }

    fn patch(&mut self, person: bool, patch: &Value) -> Result<(), Violation> {
        self.seconds += 1;
        let at = BEGIN + Duration::seconds(self.seconds);
        let by = By { actor: if person { "ann" } else { "agent-1" }, at, person };
        let written =
            self.kind.update("id_1", &self.row, patch.as_object().expect("a patch is an object"), &by)?;
        self.keep(written.expect("the patch changes something"));
        Ok(())
    }
}

fn remediation() -> Life {
    Life::begin(
        "remediation",
        &json!({"incident_id": "inc_1", "action": "block_ip", "requires_approval": true}),
    )
}

#[test]
fn what_people_decide_on_only_people_delete() {
    let life = remediation();
    let delete = |person| {
        let by = By { actor: "agent-1", at: BEGIN, person };
        life.kind.delete("id_1", &life.row, &by)
    };
    assert_eq!(delete(false).unwrap_err().fault, Fault::Denied);
    assert_eq!(delete(true).unwrap()[0].event_type, "remediation.deleted");
}

#[test]
fn only_a_person_approves_and_it_is_on_record() {
    let mut life = remediation();
    assert_eq!(life.row["status"], "PENDING_APPROVAL");
    assert!(!life.row.contains_key("started_at"));
    let refused = life.patch(false, &json!({"status": "APPROVED"})).unwrap_err();
    assert_eq!((refused.fault, refused.field.as_str()), (Fault::Denied, "status"));
    let early = life.patch(false, &json!({"progress": 10})).unwrap_err();
    assert_eq!((early.fault, early.message.as_str()), (Fault::Precondition, "the run has not begun"));
    life.patch(true, &json!({"status": "APPROVED", "comment": "go"})).unwrap();
    assert_eq!(
        (&life.row["approved_by"], &life.row["approved_at"]),
        (&json!("ann"), &json!("2026-01-05T10:00:03Z"))
    );
    life.patch(false, &json!({"status": "RUNNING"})).unwrap();
    life.patch(false, &json!({"status": "COMPLETED", "result": {"changed": 3}})).unwrap();
    assert_eq!((&life.row["initiated_by"], &life.row["duration_ms"]), (&json!("agent-1"), &json!(1000)));
    let rewritten = json!({"status": "ROLLED_BACK", "result": {"changed": 0}});
    assert_eq!(life.patch(true, &rewritten).unwrap_err().field, "result");
    life.patch(true, &json!({"status": "ROLLED_BACK", "reason": "too strict"})).unwrap();
    let told = ["approval_required", "approved", "started", "completed", "rolled_back"];
    assert_eq!(life.told, told.map(|what| format!("remediation.{what}")));
}

#[test]
fn what_was_rejected_has_ended() {
    let mut life = remediation();
    life.patch(true, &json!({"status": "REJECTED", "reason": "not now"})).unwrap();
    let late = life.patch(true, &json!({"comment": "or yes"})).unwrap_err();
    assert_eq!((late.fault, late.message.as_str()), (Fault::Precondition, "the run has ended"));
    assert!(!life.row.contains_key("duration_ms"), "it never began");
}

#[test]
fn each_new_step_is_told_and_none_is_taken_back() {
    let mut life = Life::begin("investigation", &json!({"question": "how?"}));
    let (one, two) = (json!({"title": "one", "detail": null, "hits": 1}), json!({"title": "two"}));
    life.patch(false, &json!({"steps": [one]})).unwrap();
    assert_eq!(life.row["steps"], json!([one]), "as it was sent");
    let lost = life.patch(false, &json!({"steps": [two]})).unwrap_err();
    assert_eq!((lost.fault, lost.field.as_str()), (Fault::Precondition, "steps"));
    let end = json!({"steps": [one, two], "findings": [{"title": "f"}], "status": "completed"});
    life.patch(false, &end).unwrap();
    let told = ["started", "step", "step", "finding", "completed"];
    assert_eq!(life.told, told.map(|what| format!("investigation.{what}")));
}

#[test]
fn an_agent_may_take_a_run_that_has_none_and_keeps_it() {
    let mut life = Life::begin("analysis", &json!({"incident_id": "inc_1"}));
    life.patch(false, &json!({"agent_id": "agent-1"})).unwrap();
    let other = life.patch(false, &json!({"agent_id": "agent-2"})).unwrap_err();
    assert_eq!((other.fault, other.field.as_str()), (Fault::Precondition, "agent_id"));
}

#[test]
fn no_more_checks_are_made_than_there_are() {
    let mut life = Life::begin("validation", &json!({"project_id": "proj_1", "checks_total": 3}));
    life.patch(false, &json!({"checks_completed": 3.0})).unwrap();
    let beyond = life.patch(false, &json!({"checks_completed": 4})).unwrap_err();
    assert_eq!(beyond.field, "checks_completed");
    assert_eq!(beyond.message, "expected at most 3, the checks_total, got 4");
}
