//! Signals that leave no row: detections, unusual behaviour, decoys.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Number;

use super::Severity;
use crate::{Attribute::Severity as BySeverity, EventType, Object, event_data};

pub(super) fn event_types() -> Vec<EventType> {
    vec![
        EventType::occurrence::<Triggered>(&[BySeverity]),
        EventType::occurrence::<Suppressed>(&[BySeverity]),
        EventType::occurrence::<Anomaly>(&[BySeverity]),
        EventType::occurrence::<BaselineUpdated>(&[]),
        EventType::occurrence::<Touched>(&[BySeverity]),
    ]
}

/// A rule fired.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Triggered {
    /// The id of the rule.
    #[schemars(length(max = 128))]
    rule_id: Option<String>,
    /// What people call the rule.
    #[schemars(length(max = 256))]
    rule_name: Option<String>,
    /// A headline.
    #[schemars(length(min = 1, max = 512))]
    title: String,
    /// How grave it is.
    severity: Severity,
    /// The alert that was raised.
    #[schemars(length(max = 128))]
    alert_id: Option<String>,
    /// What observed it, such as `endpoint`.
    #[schemars(length(max = 128))]
    source: Option<String>,
    /// Who or what it is about, such as `host:build-13`.
    #[schemars(length(max = 256))]
    entity: Option<String>,
    /// Whatever else is known.
    details: Option<Object>,
}

/// A detection was suppressed by a rule.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suppressed {
    /// The id of the rule that fired.
    #[schemars(length(max = 128))]
    rule_id: Option<String>,
    /// What people call the rule that fired.
    #[schemars(length(max = 256))]
    rule_name: Option<String>,
    /// A headline.
    #[schemars(length(min = 1, max = 512))]
    title: String,
    /// How grave it would have been.
    severity: Severity,
    /// The alert that would have been raised.
    #[schemars(length(max = 128))]
    alert_id: Option<String>,
    /// What observed it.
    #[schemars(length(max = 128))]
    source: Option<String>,
    /// Who or what it is about.
    #[schemars(length(max = 256))]
    entity: Option<String>,
    /// The rule that suppressed it.
    #[schemars(length(min = 1, max = 256))]
    suppressed_by: String,
    /// Why.
    #[schemars(length(max = 4096))]
    reason: Option<String>,
    /// Whatever else is known.
    details: Option<Object>,
}

/// Someone or something behaved unlike itself.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Anomaly {
    /// Who or what, such as `user:svc-backup`.
    #[schemars(length(min = 1, max = 256))]
    entity: String,
    /// How unusual it is, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    score: Number,
    /// A headline.
    #[schemars(length(max = 512))]
    title: Option<String>,
    /// How grave it is.
    severity: Option<Severity>,
    /// What is usual.
    baseline: Option<Object>,
    /// What was seen.
    observed: Option<Object>,
    /// Whatever else is known.
    details: Option<Object>,
}

/// What counts as usual behaviour was computed anew.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaselineUpdated {
    /// Of whom or what.
    #[schemars(length(min = 1, max = 256))]
    entity: String,
    /// What is usual now.
    baseline: Object,
    /// How many days it was learned from.
    #[schemars(range(min = 0))]
    window_days: Option<Number>,
}

/// A decoy credential was used.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Touched {
    /// The id of the decoy.
    #[schemars(length(min = 1, max = 128))]
    token_id: String,
    /// What people call the decoy.
    #[schemars(length(max = 256))]
    token_name: Option<String>,
    /// How grave it is.
    severity: Option<Severity>,
    /// Where it was used from.
    #[schemars(length(max = 128))]
    source_ip: Option<String>,
    /// Who used it, as far as that is known.
    #[schemars(length(max = 256))]
    actor: Option<String>,
    /// Whatever else is known.
    details: Option<Object>,
}

event_data! {
    Triggered = "detection.triggered", r#"{"rule_id": "rule_2c9e", "rule_name": "Lateral movement", "title": "One account signs in everywhere", "severity": "high", "alert_id": "alert_51aa", "source": "identity", "entity": "user:svc-backup", "details": {"hosts": 17}}"#;
    Suppressed = "detection.suppressed", r#"{"rule_name": "Port scan", "title": "Many ports tried from one host", "severity": "low", "source": "network", "entity": "host:scanner-1", "suppressed_by": "Known scanners", "reason": "the weekly scan of the network team"}"#;
    Anomaly = "ueba.anomaly", r#"{"entity": "user:svc-backup", "score": 0.93, "title": "Far more logins than usual", "severity": "medium", "baseline": {"logins_per_day": 60}, "observed": {"logins_per_day": 420}, "details": {"hosts": 17}}"#;
    BaselineUpdated = "ueba.baseline_updated", r#"{"entity": "user:svc-backup", "baseline": {"logins_per_day": 60, "hosts": 3}, "window_days": 30}"#;
    Touched = "honeytoken.touched", r#"{"token_id": "token_8812", "token_name": "aws-root-old", "severity": "critical", "source_ip": "203.0.113.7", "actor": "user:mallory", "details": {"call": "sts:GetCallerIdentity"}}"#;
}
