//! A small model of the state service: it knows the lives of the kinds, panics at what is not lawful, and says
//! which types of events a step implies.

use std::collections::HashMap;

use serde_json::Value;
use signalbox_agent::JsonObject;

use crate::simulate::step::{Act, Ask, Condition, Deed, Step, Who};

/// The resources, by kind and id.
#[derive(Default)]
pub(crate) struct World {
    rows: HashMap<(&'static str, String), JsonObject>,
    states: HashMap<Who, Condition>,
}

/// What may follow which state, and how a kind begins.
fn life(kind: &str) -> (&'static str, &'static [(&'static str, &'static [&'static str])]) {
    match kind {
        "incident" => (
            "OPEN",
            &[
                ("OPEN", &["INVESTIGATING", "RESOLVED", "MERGED"]),
                ("INVESTIGATING", &["OPEN", "RESOLVED", "MERGED"]),
                ("RESOLVED", &["OPEN", "INVESTIGATING", "MERGED"]),
            ],
        ),
        "analysis" => ("RUNNING", &[("RUNNING", &["COMPLETED", "FAILED"])]),
        "remediation" => (
            "RUNNING",
            &[
                ("PENDING_APPROVAL", &["APPROVED", "REJECTED"]),
                ("APPROVED", &["RUNNING", "FAILED"]),
                ("RUNNING", &["COMPLETED", "FAILED"]),
                ("COMPLETED", &["ROLLED_BACK"]),
                ("FAILED", &["ROLLED_BACK"]),
            ],
        ),
        "alert" => (
            "new",
            &[
                ("new", &["acknowledged", "in_progress", "resolved", "closed", "false_positive"]),
                ("acknowledged", &["in_progress", "resolved", "closed", "false_positive"]),
                ("in_progress", &["acknowledged", "resolved", "closed", "false_positive"]),
            ],
        ),
        "case" => ("open", &[("open", &["in_progress", "closed"]), ("in_progress", &["open", "closed"])]),
        "validation" => ("running", &[("running", &["passed", "failed", "error"])]),
        "investigation" | "playbook" | "inference" | "project" => {
            ("running", &[("running", &["completed", "failed"])])
        }
        "rule" | "entity" | "relationship" => ("", &[]),
        other => panic!("there is no kind {other}"),
    }
}

/// Fields that name other resources.
const REFERENCES: [(&str, &str); 9] = [
    ("incident_id", "incident"),
    ("merged_into", "incident"),
    ("case_id", "case"),
    ("alert_id", "alert"),
    ("alert_ids", "alert"),
    ("project_id", "project"),
    ("source_id", "entity"),
    ("target_id", "entity"),
    ("rule_id", "rule"),
];

impl World {
    /// Plays a step.
    pub(crate) fn play(&mut self, step: &Step) -> Vec<String> {
        match &step.deed {
            Deed::Agent { who, act } => self.act(*who, act),
            Deed::Person(ask) => {
                assert!(step.needs_people);
                self.ask(ask)
            }
        }
    }

    fn act(&mut self, who: Who, act: &Act) -> Vec<String> {
        match act {
            Act::Create { kind, id, data } => self.create(kind, id, data),
            Act::Patch { kind, id, patch } => self.patch(kind, id, patch, false),
            Act::Delete { kind, id } => {
                self.rows.remove(&(*kind, id.clone())).expect("it is there");
                let refers = |row: &JsonObject| row.values().any(|value| value == id);
                assert!(!self.rows.values().any(refers), "{id} is referred to");
                vec![format!("{kind}.deleted")]
            }
            Act::Publish { event_type, data, .. } => {
                self.check_references("", data);
                vec![(*event_type).to_owned()]
            }
            Act::Log { .. } => vec!["log.line".into()],
            Act::Status { status, .. } => {
                let before = self.states.insert(who, *status).unwrap_or(Condition::Active);
                if before == *status {
                    return Vec::new();
                }
                let mut events = vec!["agent.status_change".to_owned()];
                events.extend((*status == Condition::Failed).then(|| "agent.error".to_owned()));
                events
            }
        }
    }

    fn ask(&mut self, ask: &Ask) -> Vec<String> {
        let events: &[&str] = match ask {
            Ask::Patch { kind, id, patch } => return self.patch(kind, id, patch, true),
            Ask::CreateAgent { .. } => &["agent.created"],
            Ask::RenameAgent { .. } => &["agent.updated"],
            Ask::DeleteAgent { .. } => &["agent.deleted"],
            Ask::Command { .. } => &["command.issued", "command.updated"],
            Ask::CancelCommand { .. } => &["command.cancel_requested", "command.updated"],
        };
        events.iter().map(|event| (*event).to_owned()).collect()
    }

    fn create(&mut self, kind: &'static str, id: &str, data: &JsonObject) -> Vec<String> {
        self.check_references(kind, data);
        let mut row = data.clone();
        let asks = row.get("requires_approval") == Some(&Value::Bool(true));
        let initial = if asks { "PENDING_APPROVAL" } else { life(kind).0 };
        assert!(!row.contains_key("status"), "a {kind} begins by itself");
        row.insert("status".into(), initial.into());
        assert!(self.rows.insert((kind, id.to_owned()), row).is_none(), "{id} is there already");
        let event = match kind {
            "remediation" if asks => "approval_required",
            "analysis" | "remediation" | "investigation" | "playbook" | "inference" => "started",
            "project" | "validation" => "progress",
            _ => "created",
        };
        vec![format!("{kind}.{event}")]
    }

    fn patch(&mut self, kind: &'static str, id: &str, patch: &JsonObject, person: bool) -> Vec<String> {
        self.check_references(kind, patch);
        let old = self.rows.get(&(kind, id.to_owned())).unwrap_or_else(|| panic!("{kind} {id} is not there"));
        let old = old.clone();
        let mut new = old.clone();
        new.extend(patch.clone());
        assert_ne!(old, new, "a patch of {kind} that changes nothing");
        check_growth(kind, &old, &new);
        let (from, to) = (text(&old, "status"), text(&new, "status"));
        if from != to {
            let next = life(kind).1.iter().find(|(state, _)| *state == from).map(|(_, next)| *next);
            assert!(next.is_some_and(|next| next.contains(&to)), "{kind} {id}: {from} to {to}");
            assert!(person || !["APPROVED", "REJECTED", "ROLLED_BACK"].contains(&to), "{to} by an agent");
            let needs = match to {
                "MERGED" => "merged_into",
                "COMPLETED" if kind == "analysis" => "results",
                "FAILED" => "error",
                _ => "status",
            };
            assert!(new.contains_key(needs), "{kind} {to} without {needs}");
        } else if life(kind).1.iter().all(|(state, _)| *state != from) {
            assert!(life(kind).0.is_empty(), "{kind} {id} is {from} and changes no more");
        }
        let events = implied(kind, &old, &new);
        self.rows.insert((kind, id.to_owned()), new);
        events.into_iter().map(|event| format!("{kind}.{event}")).collect()
    }

    fn check_references(&self, kind: &str, data: &JsonObject) {
        for (field, to) in REFERENCES {
            let list = match data.get(field) {
                // A label for filters, and no reference.
                Some(_) if (kind, field) == ("incident", "project_id") => continue,
                // Published of something outside.
                Some(_) if kind.is_empty() && field == "alert_id" => continue,
                Some(Value::Array(ids)) => ids.clone(),
                Some(id) => vec![id.clone()],
                None => continue,
            };
            for id in list {
                let id = id.as_str().expect("ids are texts").to_owned();
                assert!(self.rows.contains_key(&(to, id.clone())), "{kind}.{field}: no {to} {id}");
            }
        }
    }
}

/// Progress grows, and lists only at their end.
fn check_growth(kind: &str, old: &JsonObject, new: &JsonObject) {
    for field in ["progress", "checks_completed"] {
        let number = |row: &JsonObject| row.get(field).and_then(Value::as_f64).unwrap_or(0.0);
        assert!(number(new) >= number(old), "{kind}.{field} goes back");
    }
    for field in ["steps", "findings", "files"] {
        let items = |row: &JsonObject| row.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
        assert!(items(new).starts_with(&items(old)), "{kind}.{field} is rewritten");
    }
}

/// The events of a change.
fn implied(kind: &str, old: &JsonObject, new: &JsonObject) -> Vec<&'static str> {
    let (from, to) = (text(old, "status"), text(new, "status"));
    let touches = |field: &str| old.get(field) != new.get(field);
    let mut events = Vec::new();
    let mut note = |holds: bool, event| events.extend(holds.then_some(event));
    match kind {
        "analysis" | "remediation" | "inference" | "project" | "validation" => {
            note(from == to || kind == "validation" && touches("checks_completed"), "progress");
            note(from != to && to == "RUNNING", "started");
            note(from != to && to.eq_ignore_ascii_case("completed"), "completed");
            note(from != to && to.eq_ignore_ascii_case("failed") && kind != "validation", "failed");
            note(from != to && kind == "validation", "completed");
            note(from != to && to == "APPROVED", "approved");
            note(from != to && to == "REJECTED", "rejected");
            note(from != to && to == "ROLLED_BACK", "rolled_back");
        }
        "investigation" | "playbook" => {
            note(touches("steps"), "step");
            note(touches("findings"), "finding");
            note(from != to && to == "completed", "completed");
            note(from != to && to == "failed" && kind == "investigation", "error");
            note(from != to && to == "failed" && kind == "playbook", "failed");
        }
        _ => {
            note(true, "updated");
            note(touches("assigned_to"), "assigned");
            note(kind == "incident" && from != to && to == "RESOLVED", "resolved");
            note(
                kind == "incident" && from == "RESOLVED" && ["OPEN", "INVESTIGATING"].contains(&to),
                "reopened",
            );
            note(kind == "incident" && from != to && to == "MERGED", "merged");
            note(kind == "case" && from != to && to == "closed", "closed");
            let enabled = new.get("enabled") == Some(&Value::Bool(true));
            note(touches("enabled"), if enabled { "enabled" } else { "disabled" });
        }
    }
    events
}

fn text<'a>(row: &'a JsonObject, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}
