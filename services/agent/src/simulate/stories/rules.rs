//! A detection rule is drafted, sharpened, fires, is switched off and on, and is dropped in the end.

use serde_json::json;

use crate::simulate::{step::Who::Detection, tale::Tale};

/// Name, severity, type, condition.
const RULES: [(&str, &str, &str, &str); 3] = [
    ("Many failed logins", "MEDIUM", "authentication", "count(login.failed) by user > 20 within 5m"),
    ("Large upload at night", "HIGH", "exfiltration", "sum(bytes_out) by host > 5e9 and hour < 5"),
    ("New scheduled task", "LOW", "persistence", "task.created and not actor in administrators"),
];

pub(super) fn tell(tale: &mut Tale) {
    let (name, severity, kind, condition) = *tale.pick(&RULES);
    let rule = json!({
        "name": name,
        "description": "Drafted by the detection agent",
        "severity": severity,
        "type": kind,
        "condition": condition,
        "enabled": false,
        "tags": ["draft"],
    });
    let rule = tale.create(Detection, "rule", "rule", rule);
    tale.wait(800..=1600);
    tale.patch(Detection, "rule", &rule, json!({"tags": [kind], "description": "Reviewed"}));
    tale.wait(600..=1200);
    tale.patch(Detection, "rule", &rule, json!({"enabled": true}));
    for _ in 0..2 {
        tale.wait(1000..=2500);
        let matches = tale.between(1..=40);
        let message = format!("{name}: {matches} matches");
        let trigger = json!({
            "rule_id": rule,
            "rule_name": name,
            "severity": severity,
            "message": message,
            "matches": matches,
        });
        tale.publish_on(Detection, "rule.triggered", &rule, trigger);
    }
    tale.wait(1000..=2000);
    tale.patch(Detection, "rule", &rule, json!({"enabled": false}));
    tale.wait(1000..=2000);
    tale.delete(Detection, "rule", &rule);
}
