//! An alert becomes a case. An agent investigates, a playbook runs, people comment, and the case is closed.

use serde_json::json;

use crate::simulate::{
    step::Who::{Analysis, Detection, Remediation},
    tale::Tale,
};

/// Title, severity, source.
const ALERTS: [(&str, &str, &str); 4] = [
    ("Impossible travel", "high", "identity"),
    ("Beaconing to a young domain", "critical", "dns"),
    ("Credential dump tool executed", "high", "endpoint"),
    ("Mass download from the wiki", "medium", "saas"),
];
const ANALYSTS: [&str; 2] = ["carol@example.com", "dave@example.com"];

pub(super) fn tell(tale: &mut Tale) {
    let (title, severity, source) = *tale.pick(&ALERTS);
    let address = tale.address();
    let alert = json!({
        "title": title,
        "severity": severity,
        "source": source,
        "type": "detection",
        "tags": [source],
        "details": {"source_ip": address, "user": "svc-backup"},
    });
    let alert = tale.create(Detection, "alert", "alert", alert);
    tale.wait(800..=1500);
    let analyst = *tale.pick(&ANALYSTS);
    tale.decide("alert", &alert, json!({"assigned_to": analyst, "status": "acknowledged"}));
    tale.wait(600..=1200);
    let case = json!({
        "title": format!("Case: {title}"),
        "severity": severity,
        "priority": "p2",
        "description": "Opened from an alert",
        "alert_ids": [alert],
    });
    let case = tale.create(Detection, "case", "case", case);
    tale.wait(400..=800);
    tale.patch(Detection, "alert", &alert, json!({"status": "in_progress", "case_id": case}));
    let fails = tale.telling() % 2 == 1;
    investigate(tale, &case, &alert, fails);
    run_playbook(tale, &case, &alert, fails);
    close(tale, &case, &alert, analyst);
}

fn investigate(tale: &mut Tale, case: &str, alert: &str, fails: bool) {
    tale.wait(600..=1200);
    let question = "How did they get in, and what did they reach?";
    let data = json!({"question": question, "case_id": case, "alert_id": alert});
    let investigation = tale.create(Analysis, "investigation", "inv", data);
    let mut steps = Vec::new();
    for (title, tool) in [("Read the sign-in log", "siem_search"), ("Look the address up", "threat_intel")] {
        tale.wait(900..=1800);
        steps.push(
            json!({"title": title, "tool": tool, "detail": format!("{} records", tale.between(3..=400))}),
        );
        tale.patch(Analysis, "investigation", &investigation, json!({ "steps": steps }));
    }
    tale.wait(800..=1500);
    if fails {
        let failure = json!({"status": "failed", "error": "the log archive did not answer"});
        return tale.patch(Analysis, "investigation", &investigation, failure);
    }
    let findings = json!([
        {"title": "A password was reused", "severity": "high", "detail": "The same one was leaked last month"},
    ]);
    tale.patch(Analysis, "investigation", &investigation, json!({ "findings": findings }));
    tale.wait(800..=1500);
    let summary = "Entry by a reused password; no data left the network";
    tale.patch(Analysis, "investigation", &investigation, json!({"status": "completed", "summary": summary}));
}

fn run_playbook(tale: &mut Tale, case: &str, alert: &str, fails: bool) {
    tale.wait(500..=1000);
    let data = json!({
        "name": "Contain an account",
        "case_id": case,
        "alert_id": alert,
        "parameters": {"user": "svc-backup"},
        "steps_total": 3,
    });
    let playbook = tale.create(Remediation, "playbook", "pb", data);
    let mut steps = Vec::new();
    let names = ["Disable the account", "End its sessions", "Tell its owner"];
    for name in &names[..if fails { 1 } else { 3 }] {
        tale.wait(700..=1400);
        steps.push(json!({"name": name, "status": "completed"}));
        tale.patch(Remediation, "playbook", &playbook, json!({ "steps": steps }));
    }
    tale.wait(600..=1200);
    let end = if fails {
        json!({"status": "failed", "error": "the identity provider refused to end the sessions"})
    } else {
        json!({"status": "completed", "output": {"accounts_disabled": 1}})
    };
    tale.patch(Remediation, "playbook", &playbook, end);
}

fn close(tale: &mut Tale, case: &str, alert: &str, analyst: &str) {
    tale.wait(500..=1000);
    let comment = json!({"case_id": case, "comment": "The user confirms it was not them", "author": analyst});
    tale.publish_on(Detection, "case.comment", case, comment);
    tale.wait(500..=1000);
    tale.patch(Detection, "case", case, json!({"status": "in_progress", "priority": "p3"}));
    tale.wait(1000..=2000);
    tale.patch(
        Detection,
        "case",
        case,
        json!({"status": "closed", "resolution": "Contained; password reset"}),
    );
    tale.wait(300..=600);
    tale.patch(Detection, "alert", alert, json!({"status": "resolved"}));
}
