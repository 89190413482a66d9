//! An incident is found, analysed, and something is done about it; not always at the first attempt.

use serde_json::{Value, json};

use crate::simulate::{
    step::Who::{Analysis, Detection, Remediation},
    tale::Tale,
};

struct Trouble {
    kind: &'static str,
    severity: &'static str,
    title: &'static str,
    resource: &'static str,
    cause: &'static str,
    action: &'static str,
}

const TROUBLES: [Trouble; 4] = [
    Trouble {
        kind: "network_anomaly",
        severity: "HIGH",
        title: "Unusual outbound traffic from the payments cluster",
        resource: "payments-db-2",
        cause: "A compromised service account copies tables to an unknown host",
        action: "block_ip",
    },
    Trouble {
        kind: "suspicious_login",
        severity: "CRITICAL",
        title: "Administrator signed in from two continents within a minute",
        resource: "idp-eu-1",
        cause: "A session token was stolen and replayed",
        action: "revoke_sessions",
    },
    Trouble {
        kind: "resource_exhaustion",
        severity: "MEDIUM",
        title: "Checkout nodes run out of memory",
        resource: "checkout-7",
        cause: "A cache without a bound after the last rollout",
        action: "restart_service",
    },
    Trouble {
        kind: "malware_detected",
        severity: "HIGH",
        title: "Known malware on a build agent",
        resource: "build-13",
        cause: "A dependency of a build script was replaced",
        action: "isolate_host",
    },
];
const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-south-1"];
const PROJECTS: [&str; 3] = ["payments", "identity", "storefront"];
const PEOPLE: [&str; 3] = ["alice@example.com", "bob@example.com", "security-team"];

pub(super) fn tell(tale: &mut Tale) {
    let trouble = tale.pick(&TROUBLES);
    let incident = open(tale, trouble);
    tale.wait(600..=1200);
    tale.patch(
        Detection,
        "incident",
        &incident,
        json!({"status": "INVESTIGATING", "affected_resources": [trouble.resource, "edge-gateway"]}),
    );
    tale.wait(500..=1500);
    let assignee = *tale.pick(&PEOPLE);
    tale.decide("incident", &incident, json!({ "assigned_to": assignee }));
    match tale.telling() % 3 {
        0 => approved(tale, trouble, &incident),
        1 => rejected(tale, trouble, &incident),
        _ => merged(tale, trouble, &incident),
    }
}

fn open(tale: &mut Tale, trouble: &Trouble) -> String {
    let (region, project) = (*tale.pick(&REGIONS), *tale.pick(&PROJECTS));
    let data = json!({
        "type": trouble.kind,
        "severity": trouble.severity,
        "title": trouble.title,
        "description": format!("Reported by detection on {}", trouble.resource),
        "affected_resources": [trouble.resource],
        "project_id": project,
        "region": region,
    });
    tale.create(Detection, "incident", "inc", data)
}

/// What was found is done, once a person has approved it.
fn approved(tale: &mut Tale, trouble: &Trouble, incident: &str) {
    analyse(tale, trouble, incident);
    let remediation = propose(tale, trouble, incident);
    tale.with_people(|tale| {
        let approval = json!({"status": "APPROVED", "comment": "Go ahead, the impact is small"});
        tale.decide("remediation", &remediation, approval);
        tale.wait(500..=1000);
        tale.patch(
            Remediation,
            "remediation",
            &remediation,
            json!({"status": "RUNNING", "stage": "Preparing"}),
        );
        for (progress, stage) in [(30, "Taking a snapshot"), (70, "Applying"), (95, "Verifying")] {
            tale.wait(700..=1400);
            let step = json!({"progress": progress, "stage": stage});
            tale.patch(Remediation, "remediation", &remediation, step);
        }
        tale.wait(600..=1200);
        let done =
            json!({"status": "COMPLETED", "progress": 100, "result": {"changed": 3, "verified": true}});
        tale.patch(Remediation, "remediation", &remediation, done);
        resolve(tale, incident, "The remediation took effect");
        tale.wait(1500..=2500);
        let again = json!({"status": "INVESTIGATING", "reason": "The same traffic was seen once more"});
        tale.decide("incident", incident, again);
        resolve(tale, incident, "A second host was cleaned as well");
    });
}

/// The first proposal goes too far, and the small step that needs no approval does not work.
fn rejected(tale: &mut Tale, trouble: &Trouble, incident: &str) {
    analyse(tale, trouble, incident);
    let remediation = propose(tale, trouble, incident);
    let refusal = json!({"status": "REJECTED", "reason": "Too much would be cut off at this hour"});
    tale.decide("remediation", &remediation, refusal);
    tale.wait(500..=1500);
    let data = json!({
        "incident_id": incident,
        "action": "restart_service",
        "parameters": {"service": trouble.resource, "graceful": true},
    });
    let small = tale.create(Remediation, "remediation", "rem", data);
    tale.wait(800..=1500);
    tale.patch(Remediation, "remediation", &small, json!({"progress": 40, "stage": "Draining"}));
    tale.wait(800..=1500);
    let failure = json!({"status": "FAILED", "error": "the service did not come back within 30 s"});
    tale.patch(Remediation, "remediation", &small, failure);
    tale.wait(800..=1500);
    let undo = json!({"status": "ROLLED_BACK", "reason": "Back to the last good configuration"});
    tale.decide("remediation", &small, undo);
    tale.wait(500..=1000);
    resolve(tale, incident, "Fixed by hand");
}

/// The same trouble was reported twice, and the analysis of the second fails for lack of data.
fn merged(tale: &mut Tale, trouble: &Trouble, incident: &str) {
    let duplicate = open(tale, trouble);
    tale.wait(500..=1000);
    let analysis = begin_analysis(tale, &duplicate);
    tale.wait(600..=1200);
    tale.patch(Analysis, "analysis", &analysis, json!({"progress": 15, "stage": "Collecting logs"}));
    tale.wait(800..=1500);
    let failure = json!({"status": "FAILED", "error": "too few log lines to correlate"});
    tale.patch(Analysis, "analysis", &analysis, failure);
    tale.wait(500..=1000);
    let merge = json!({"status": "MERGED", "merged_into": incident, "reason": "Reported twice"});
    tale.patch(Detection, "incident", &duplicate, merge);
    analyse(tale, trouble, incident);
    resolve(tale, incident, "A false alarm after a planned change");
}

fn begin_analysis(tale: &mut Tale, incident: &str) -> String {
    let model = *tale.pick(&["triage-2", "triage-2-large"]);
    tale.create(Analysis, "analysis", "ana", json!({"incident_id": incident, "model": model}))
}

fn analyse(tale: &mut Tale, trouble: &Trouble, incident: &str) {
    tale.wait(400..=900);
    let analysis = begin_analysis(tale, incident);
    let stages = [(20, "Collecting logs"), (55, "Correlating events"), (85, "Weighing causes")];
    for (progress, stage) in stages {
        tale.wait(600..=1300);
        tale.patch(Analysis, "analysis", &analysis, json!({"progress": progress, "stage": stage}));
    }
    tale.wait(500..=1000);
    let results = results(tale, trouble);
    let done = json!({"status": "COMPLETED", "progress": 100, "results": results});
    tale.patch(Analysis, "analysis", &analysis, done);
}

fn results(tale: &mut Tale, trouble: &Trouble) -> Value {
    json!({
        "root_cause": trouble.cause,
        "confidence": tale.share(70..=98),
        "recommendations": [
            {"action": trouble.action, "priority": "high", "target": trouble.resource},
            {"action": "notify_owner", "priority": "low"},
        ],
    })
}

fn propose(tale: &mut Tale, trouble: &Trouble, incident: &str) -> String {
    tale.wait(500..=1000);
    let address = tale.address();
    let data = json!({
        "incident_id": incident,
        "action": trouble.action,
        "parameters": {"target": trouble.resource, "source_ip": address},
        "requires_approval": true,
    });
    let id = tale.create(Remediation, "remediation", "rem", data);
    tale.wait(1500..=3000);
    id
}

fn resolve(tale: &mut Tale, incident: &str, resolution: &str) {
    tale.wait(800..=1600);
    tale.decide("incident", incident, json!({"status": "RESOLVED", "resolution": resolution}));
}
