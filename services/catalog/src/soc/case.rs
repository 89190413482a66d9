//! Cases: alerts that belong together, worked on until they are closed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Severity;
use crate::{
    Attribute, EventType, Lifecycle, Stamp,
    change::{self, Change, Edit, Fields, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
};

/// Alerts that belong together, and the work on them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Case {
    /// A headline.
    #[schemars(length(min = 1, max = 512))]
    title: String,
    /// How grave it is.
    severity: Option<Severity>,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["open", "in_progress", "closed"]))]
    status: String,
    /// How urgent it is, such as `p2`.
    #[schemars(length(max = 64))]
    priority: Option<String>,
    /// What is known about it.
    #[schemars(length(max = 16_384))]
    description: Option<String>,
    /// Who works on it.
    #[schemars(length(max = 256))]
    assigned_to: Option<String>,
    /// The alerts that belong to it.
    #[serde(default)]
    #[schemars(length(max = 500), inner(length(max = 128)))]
    alert_ids: Vec<String>,
    /// How it ended.
    #[schemars(length(max = 4096))]
    resolution: Option<String>,
    /// Its number for people: dense for each tenant and year.
    #[schemars(extend("readOnly" = true))]
    case_number: Option<String>,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"title": "Stolen session of a finance account", "severity": "high",
        "priority": "p2", "alert_ids": ["alert_51aa"]}"#;
    let life = Lifecycle::new("status", "open")
        .step("open", &["in_progress", "closed"])
        .step("in_progress", &["open", "closed"])
        .step("closed", &["open"]);
    let deletion = Deletion { event: "case.deleted", id_field: "id", fields: &["title", "severity"] };
    declare::<Case>("case", "case", EXAMPLE, deletion)
        .lives(life)
        .numbered("case_number", "CASE")
        .filtered_by(&[Attribute::Severity])
        .refers("alert_ids", "alert")
        .emits::<Created>()
        .emits::<Updated>()
        .emits::<Closed>()
}

/// What people say about a case is an occurrence.
pub(super) fn comment() -> EventType {
    EventType::occurrence::<Comment>(&[]).refers("case_id", "case")
}

impl Resource for Case {
    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let new = &change.new;
        if change.old.is_none() {
            return log.emit(Created(change.created()));
        }
        log.emit(Updated { id: change.id(), fields: change.fields(), edit: change.edit() });
        if change.touches("status") && new.status == "closed" {
            log.emit(Closed {
                id: change.id(),
                title: new.title.clone(),
                resolution: new.resolution.clone(),
                closed_by: change.actor(),
                closed_at: change.at(),
            });
        }
    }
}

/// A new case was opened.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created(change::Created<Case>);

/// Fields of a case changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    id: String,
    #[serde(flatten)]
    fields: Fields<Case>,
    #[serde(flatten)]
    edit: Edit,
}

/// A case was closed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Closed {
    /// Its id.
    id: String,
    /// Its headline.
    title: String,
    /// How it ended.
    resolution: Option<String>,
    /// Who closed it.
    closed_by: String,
    /// When.
    closed_at: Stamp,
}

/// A comment was added to a case.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Comment {
    /// The case.
    #[schemars(length(min = 1, max = 128))]
    case_id: String,
    /// What was said.
    #[schemars(length(min = 1, max = 16_384))]
    comment: String,
    /// Who said it, where that is not who publishes it.
    #[schemars(length(max = 256))]
    author: Option<String>,
}

event_data! {
    Created = "case.created", r#"{"id": "case_90d2", "title": "Stolen session of a finance account", "severity": "high", "status": "open", "priority": "p2", "alert_ids": ["alert_51aa"], "case_number": "CASE-2026-001", "created_at": "2026-01-05T10:06:00Z", "created_by": "analyst-1"}"#;
    Updated = "case.updated", r#"{"id": "case_90d2", "title": "Stolen session of a finance account", "severity": "high", "status": "in_progress", "priority": "p1", "alert_ids": ["alert_51aa"], "case_number": "CASE-2026-001", "changes": {"status": {"old": "open", "new": "in_progress"}, "priority": {"old": "p2", "new": "p1"}}, "updated_by": "analyst-1", "updated_at": "2026-01-05T10:20:00Z"}"#;
    Closed = "case.closed", r#"{"id": "case_90d2", "title": "Stolen session of a finance account", "resolution": "sessions revoked, password reset", "closed_by": "analyst-1", "closed_at": "2026-01-05T12:00:00Z"}"#;
    Comment = "case.comment", r#"{"case_id": "case_90d2", "comment": "The user confirms that it was not them.", "author": "analyst-1"}"#;
}
