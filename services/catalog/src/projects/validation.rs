//! Validations of projects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, json};

use crate::{
    Attribute, By, Lifecycle, Object, Violation,
    change::{Change, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
    run::{Times, zero},
};

/// A run that checks a project.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Validation {
    /// The project.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    project_id: String,
    /// The agent that works on it.
    #[schemars(length(max = 128), extend("x-set-once" = true))]
    agent_id: Option<String>,
    /// How many checks there are.
    #[schemars(with = "u64", range(max = 10_000), extend("x-immutable" = true))]
    checks_total: Number,
    /// How many of them were made.
    #[serde(default = "zero")]
    #[schemars(with = "u64", range(max = 10_000), extend("x-monotonic" = true))]
    checks_completed: Number,
    /// The check that is made at the moment.
    #[schemars(length(max = 256))]
    current_check: Option<String>,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["running", "passed", "failed", "error"]))]
    status: String,
    /// What came of it.
    summary: Option<Summary>,
    /// Why it could not be carried out.
    #[schemars(length(max = 4096))]
    error: Option<String>,
    #[serde(flatten)]
    times: Times,
}

/// What came of a validation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Summary {
    /// How many tests passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    tests_passed: Option<Number>,
    /// How many tests failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    tests_failed: Option<Number>,
    /// How much of the code is covered, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    coverage: Option<Number>,
    /// Whatever else there is to say.
    #[serde(flatten)]
    further: Object,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"project_id": "proj_c3a8", "checks_total": 4, "current_check": "Format"}"#;
    let life = Lifecycle::new("status", "running")
        .step("running", &["passed", "failed", "error"])
        .requires("error", "error");
    let deletion =
        Deletion { event: "validation.deleted", id_field: "validation_id", fields: &["project_id"] };
    declare::<Validation>("validation", "val", EXAMPLE, deletion)
        .lives(life)
        .runs("running", |reason| json!({"status": "error", "error": reason}))
        .filtered_by(&[Attribute::Project])
        .refers("project_id", "project")
        .refers("agent_id", "agent")
        .emits::<Progress>()
        .emits::<Completed>()
}

impl Resource for Validation {
    fn settle(&mut self, _: Option<&Self>, _: &str, by: &By<'_>) -> Result<(), Violation> {
        if self.checks_completed.as_f64() > self.checks_total.as_f64() {
            let (most, given) = (&self.checks_total, &self.checks_completed);
            let message = format!("expected at most {most}, the checks_total, got {given}");
            return Err(Violation::invalid("checks_completed", message));
        }
        self.times.keep(self.status == "running", by);
        Ok(())
    }

    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (validation_id, new) = (change.id(), &change.new);
        let project_id = new.project_id.clone();
        if new.status == "running" {
            return log.emit(Progress {
                validation_id,
                project_id,
                current_check: new.current_check.clone(),
                checks_completed: new.checks_completed.clone(),
                checks_total: new.checks_total.clone(),
            });
        }
        log.emit(Completed {
            validation_id,
            project_id,
            status: new.status.clone(),
            summary: new.summary.clone(),
            error: new.error.clone(),
            duration_ms: new.times.took_ms(),
        });
    }
}

/// The validation of a project began, or got further.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Progress {
    /// Its id.
    validation_id: String,
    /// The project.
    project_id: String,
    /// The check that is made at the moment.
    current_check: Option<String>,
    /// How many checks were made.
    #[schemars(with = "u64")]
    checks_completed: Number,
    /// How many checks there are.
    #[schemars(with = "u64")]
    checks_total: Number,
}

/// The validation of a project ended.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Completed {
    /// Its id.
    validation_id: String,
    /// The project.
    project_id: String,
    /// How: `passed`, `failed`, or `error` when it could not be carried out.
    #[schemars(extend("enum" = ["passed", "failed", "error"]))]
    status: String,
    /// What came of it.
    summary: Option<Summary>,
    /// Why it could not be carried out: `agent_lost` when its agent was lost.
    error: Option<String>,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

event_data! {
    Progress = "validation.progress", r#"{"validation_id": "val_1f09", "project_id": "proj_c3a8", "current_check": "Lints", "checks_completed": 1, "checks_total": 4}"#;
    Completed = "validation.completed", r#"{"validation_id": "val_1f09", "project_id": "proj_c3a8", "status": "passed", "summary": {"tests_passed": 42, "tests_failed": 0, "coverage": 88.5}, "duration_ms": 12400}"#;
}
