//! Detection rules, and what they match.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::Severity;
use crate::{
    Attribute, Object, Stamp,
    change::{self, Change, Edit, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
};

/// A rule that says which observations are suspicious.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Rule {
    /// What people call it.
    #[schemars(length(min = 1, max = 256))]
    name: String,
    /// What it is for.
    #[schemars(length(max = 16_384))]
    description: Option<String>,
    /// How grave it is when it matches.
    severity: Option<Severity>,
    /// What sort of incident it finds.
    #[schemars(length(max = 128))]
    r#type: Option<String>,
    /// What it matches, in the language of whatever evaluates it.
    #[schemars(length(max = 16_384))]
    condition: Option<String>,
    /// Whether it is evaluated.
    #[serde(default = "enabled")]
    enabled: bool,
    /// Words to find it by.
    #[serde(default)]
    #[schemars(length(max = 100), inner(length(max = 128)))]
    tags: Vec<String>,
}

const fn enabled() -> bool {
    true
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"name": "Many failed logins", "severity": "MEDIUM", "type": "suspicious_login",
        "condition": "count(login.failed) by user > 20 within 5m", "tags": ["identity"]}"#;
    let deletion = Deletion { event: "rule.deleted", id_field: "rule_id", fields: &["name"] };
    declare::<Rule>("rule", "rule", EXAMPLE, deletion)
        .filtered_by(&[Attribute::Severity, Attribute::Type])
        .emits::<Created>()
        .emits::<Updated>()
        .emits::<Enabled>()
        .emits::<Disabled>()
}

impl Resource for Rule {
    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (rule_id, at, by) = (change.id(), change.at(), change.actor());
        if change.old.is_none() {
            return log.emit(Created { rule: change.created() });
        }
        log.emit(Updated { rule_id: rule_id.clone(), edit: change.edit() });
        let name = change.new.name.clone();
        match change.new.enabled {
            _ if !change.touches("enabled") => {}
            true => log.emit(Enabled { rule_id, name, enabled_by: by, enabled_at: at }),
            false => log.emit(Disabled { rule_id, name, disabled_by: by, disabled_at: at }),
        }
    }
}

/// A detection rule was created.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    /// The rule, with all its fields.
    rule: change::Created<Rule>,
}

/// Fields of a detection rule changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    rule_id: String,
    #[serde(flatten)]
    edit: Edit,
}

/// A detection rule was activated.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Enabled {
    /// Its id.
    rule_id: String,
    /// What people call it.
    name: String,
    /// Who activated it.
    enabled_by: String,
    /// When.
    enabled_at: Stamp,
}

/// A detection rule was deactivated.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Disabled {
    /// Its id.
    rule_id: String,
    /// What people call it.
    name: String,
    /// Who deactivated it.
    disabled_by: String,
    /// When.
    disabled_at: Stamp,
}

/// A detection rule matched.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Triggered {
    /// The id of the rule, which may be one that is kept elsewhere.
    #[schemars(length(min = 1, max = 128))]
    rule_id: String,
    /// What people call the rule.
    #[schemars(length(max = 256))]
    rule_name: Option<String>,
    /// How grave it is.
    severity: Option<Severity>,
    /// What was seen.
    #[schemars(length(max = 4096))]
    message: Option<String>,
    /// How many observations matched.
    #[schemars(with = "Option<u64>")]
    matches: Option<Number>,
    /// Whatever else is known.
    details: Option<Object>,
}

event_data! {
    Created = "rule.created", r#"{"rule": {"id": "rule_2c9e", "name": "Many failed logins", "severity": "MEDIUM", "type": "suspicious_login", "condition": "count(login.failed) by user > 20 within 5m", "enabled": true, "tags": ["identity"], "created_at": "2026-01-05T09:00:00Z", "created_by": "lead"}}"#;
    Updated = "rule.updated", r#"{"rule_id": "rule_2c9e", "changes": {"severity": {"old": "MEDIUM", "new": "HIGH"}}, "updated_by": "lead", "updated_at": "2026-01-06T09:00:00Z"}"#;
    Enabled = "rule.enabled", r#"{"rule_id": "rule_2c9e", "name": "Many failed logins", "enabled_by": "lead", "enabled_at": "2026-01-07T09:00:00Z"}"#;
    Disabled = "rule.disabled", r#"{"rule_id": "rule_2c9e", "name": "Many failed logins", "disabled_by": "lead", "disabled_at": "2026-01-06T18:00:00Z"}"#;
    Triggered = "rule.triggered", r#"{"rule_id": "rule_2c9e", "rule_name": "Many failed logins", "severity": "HIGH", "message": "31 failed logins of user@example.com", "matches": 31, "details": {"source_ip": "203.0.113.7"}}"#;
}
