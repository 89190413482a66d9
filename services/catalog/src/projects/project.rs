//! Projects that agents generate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, json};

use crate::{
    Attribute, By, Lifecycle, Violation,
    change::{Change, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
    run::{Times, zero},
};

/// A run that generates the files of a project.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Project {
    /// What people call it.
    #[schemars(length(min = 1, max = 256), extend("x-immutable" = true))]
    name: String,
    /// What it is generated from.
    #[schemars(length(max = 256), extend("x-immutable" = true))]
    template: Option<String>,
    /// What it is for.
    #[schemars(length(max = 16_384), extend("x-immutable" = true))]
    description: Option<String>,
    /// The agent that works on it.
    #[schemars(length(max = 128), extend("x-set-once" = true))]
    agent_id: Option<String>,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["running", "completed", "failed"]))]
    status: String,
    /// How far it is, in percent.
    #[serde(default = "zero")]
    #[schemars(range(min = 0, max = 100), extend("x-monotonic" = true))]
    progress: Number,
    /// What is generated at the moment.
    #[schemars(length(max = 256))]
    current_step: Option<String>,
    /// The files that were generated so far, in order.
    #[serde(default)]
    #[schemars(length(max = 10_000), inner(length(min = 1, max = 1024)), extend("x-append-only" = true))]
    files: Vec<String>,
    /// Why it failed.
    #[schemars(length(max = 4096))]
    error: Option<String>,
    /// Its own id: what it is filtered by, together with its validations.
    #[schemars(extend("readOnly" = true))]
    project_id: Option<String>,
    #[serde(flatten)]
    times: Times,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"name": "billing-api", "template": "rust-service",
        "description": "Issues invoices.", "current_step": "Reading the template"}"#;
    let life = Lifecycle::new("status", "running")
        .step("running", &["completed", "failed"])
        .requires("failed", "error");
    let deletion = Deletion { event: "project.deleted", id_field: "project_id", fields: &["name"] };
    declare::<Project>("project", "proj", EXAMPLE, deletion)
        .lives(life)
        .runs("running", |reason| json!({"status": "failed", "error": reason}))
        .filtered_by(&[Attribute::Project])
        .refers("agent_id", "agent")
        .emits::<Progress>()
        .emits::<Completed>()
        .emits::<Failed>()
}

impl Resource for Project {
    fn settle(&mut self, _: Option<&Self>, id: &str, by: &By<'_>) -> Result<(), Violation> {
        self.project_id = Some(id.into());
        self.times.keep(self.status == "running", by);
        Ok(())
    }

    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (project_id, new) = (change.id(), &change.new);
        let (files, duration_ms) = (new.files.clone(), new.times.took_ms());
        match new.status.as_str() {
            "completed" => log.emit(Completed { project_id, duration_ms, files }),
            "failed" => {
                let error = new.error.clone().unwrap_or_default();
                log.emit(Failed { project_id, error, duration_ms });
            }
            _ => log.emit(Progress {
                project_id,
                progress: new.progress.clone(),
                current_step: new.current_step.clone(),
                files_created: files,
            }),
        }
    }
}

/// The generation of a project began, or got further.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Progress {
    /// Its id.
    project_id: String,
    /// How far it is, in percent.
    progress: Number,
    /// What is generated at the moment.
    current_step: Option<String>,
    /// All files that were generated so far.
    files_created: Vec<String>,
}

/// The generation of a project ended.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Completed {
    /// Its id.
    project_id: String,
    /// How long it took, in milliseconds.
    duration_ms: u64,
    /// All files that were generated.
    files: Vec<String>,
}

/// The generation of a project failed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// Its id.
    project_id: String,
    /// Why: `agent_lost` when its agent was lost.
    error: String,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

event_data! {
    Progress = "project.progress", r#"{"project_id": "proj_c3a8", "progress": 45, "current_step": "Writing the code", "files_created": ["Cargo.toml", "src/main.rs"]}"#;
    Completed = "project.completed", r#"{"project_id": "proj_c3a8", "duration_ms": 8200, "files": ["Cargo.toml", "src/main.rs", "tests/it.rs"]}"#;
    Failed = "project.failed", r#"{"project_id": "proj_c3a8", "error": "the template asks for a name", "duration_ms": 900}"#;
}
