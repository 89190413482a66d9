//! Alerts: what the centre is told of, until somebody has judged it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Severity;
use crate::{
    Attribute, Lifecycle, Object,
    change::{self, Assignment, Change, Edit, Fields, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
};

/// Something that a person should look at.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Alert {
    /// A headline.
    #[schemars(length(min = 1, max = 512))]
    title: String,
    /// How grave it is.
    severity: Severity,
    /// Where it is in its life.
    #[schemars(extend("enum" = [
        "new", "acknowledged", "in_progress", "resolved", "closed", "false_positive",
    ]))]
    status: String,
    /// What is known about it.
    #[schemars(length(max = 16_384))]
    description: Option<String>,
    /// What raised it, such as `endpoint`.
    #[schemars(length(max = 128))]
    source: Option<String>,
    /// What sort of alert.
    #[schemars(length(max = 128))]
    r#type: Option<String>,
    /// The analyst who works on it.
    #[schemars(length(max = 256))]
    assigned_to: Option<String>,
    /// The case that it belongs to.
    #[schemars(length(max = 128))]
    case_id: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    #[schemars(length(max = 100), inner(length(max = 128)))]
    tags: Vec<String>,
    /// Whatever else is known.
    #[serde(default)]
    details: Object,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"title": "Impossible travel", "severity": "high", "source": "identity",
        "type": "detection", "tags": ["identity"], "details": {"user": "user@example.com"}}"#;
    let life = Lifecycle::new("status", "new")
        .step("new", &["acknowledged", "in_progress", "resolved", "closed", "false_positive"])
        .step("acknowledged", &["in_progress", "resolved", "closed", "false_positive"])
        .step("in_progress", &["acknowledged", "resolved", "closed", "false_positive"])
        .step("resolved", &["in_progress", "closed", "false_positive"])
        .step("closed", &["in_progress"])
        .step("false_positive", &["in_progress"]);
    let deletion = Deletion { event: "alert.deleted", id_field: "id", fields: &["title", "severity"] };
    declare::<Alert>("alert", "alert", EXAMPLE, deletion)
        .lives(life)
        .filtered_by(&[Attribute::Severity, Attribute::Type])
        .refers("case_id", "case")
        .emits::<Created>()
        .emits::<Updated>()
        .emits::<Assigned>()
}

impl Resource for Alert {
    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let new = &change.new;
        let Some(old) = &change.old else {
            return log.emit(Created(change.created()));
        };
        log.emit(Updated { id: change.id(), fields: change.fields(), edit: change.edit() });
        if change.touches("assigned_to") {
            log.emit(Assigned {
                id: change.id(),
                title: new.title.clone(),
                severity: new.severity,
                assignment: change.assignment(old.assigned_to.as_ref(), new.assigned_to.as_ref()),
            });
        }
    }
}

/// A new alert was ingested.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created(change::Created<Alert>);

/// Fields of an alert changed, such as its status or severity.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    id: String,
    #[serde(flatten)]
    fields: Fields<Alert>,
    #[serde(flatten)]
    edit: Edit,
}

/// An alert was assigned to an analyst, or to nobody.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Assigned {
    /// Its id.
    id: String,
    /// Its headline.
    title: String,
    /// How grave it is.
    severity: Severity,
    #[serde(flatten)]
    assignment: Assignment,
}

event_data! {
    Created = "alert.created", r#"{"id": "alert_51aa", "title": "Impossible travel", "severity": "high", "status": "new", "source": "identity", "type": "detection", "tags": ["identity"], "details": {"user": "user@example.com"}, "created_at": "2026-01-05T10:00:00Z", "created_by": "detection-agent"}"#;
    Updated = "alert.updated", r#"{"id": "alert_51aa", "title": "Impossible travel", "severity": "high", "status": "in_progress", "source": "identity", "type": "detection", "assigned_to": "analyst-1", "tags": ["identity"], "details": {"user": "user@example.com"}, "changes": {"status": {"old": "new", "new": "in_progress"}, "assigned_to": {"old": null, "new": "analyst-1"}}, "updated_by": "analyst-1", "updated_at": "2026-01-05T10:04:00Z"}"#;
    Assigned = "alert.assigned", r#"{"id": "alert_51aa", "title": "Impossible travel", "severity": "high", "assigned_to": "analyst-1", "assigned_by": "lead", "assigned_at": "2026-01-05T10:03:00Z"}"#;
}
