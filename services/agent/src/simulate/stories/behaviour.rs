//! Detections that fire or are suppressed, behaviour that is unusual, and decoys that somebody touches.

use serde_json::json;

use crate::simulate::{step::Who::Detection, tale::Tale};

const ENTITIES: [&str; 4] = ["user:mallory", "host:build-13", "user:svc-backup", "host:laptop-42"];

pub(super) fn tell(tale: &mut Tale) {
    let entity = *tale.pick(&ENTITIES);
    let logins = tale.between(40..=90);
    let baseline =
        json!({"entity": entity, "baseline": {"logins_per_day": logins, "hosts": 3}, "window_days": 30});
    tale.publish(Detection, "ueba.baseline_updated", baseline);
    tale.wait(1200..=2500);
    let seen = logins * tale.between(4..=9);
    let anomaly = json!({
        "entity": entity,
        "score": tale.share(75..=99),
        "title": "Far more logins than usual",
        "severity": "medium",
        "baseline": {"logins_per_day": logins},
        "observed": {"logins_per_day": seen},
        "details": {"hosts": 17},
    });
    tale.publish(Detection, "ueba.anomaly", anomaly);
    tale.wait(1000..=2000);
    let detection = json!({
        "rule_name": "Lateral movement",
        "title": "One account signs in everywhere",
        "severity": "high",
        "source": "identity",
        "entity": entity,
        "details": {"hosts": 17},
    });
    tale.publish(Detection, "detection.triggered", detection);
    tale.wait(1000..=2000);
    let suppressed = json!({
        "rule_name": "Port scan",
        "title": "Many ports tried from one host",
        "severity": "low",
        "source": "network",
        "entity": "host:scanner-1",
        "suppressed_by": "Known scanners",
        "reason": "The weekly scan of the network team",
    });
    tale.publish(Detection, "detection.suppressed", suppressed);
    tale.wait(1500..=3000);
    let (token, address) = (tale.id("token"), tale.address());
    let touched = json!({
        "token_id": token,
        "token_name": "aws-root-old",
        "severity": "critical",
        "source_ip": address,
        "actor": entity,
        "details": {"call": "sts:GetCallerIdentity"},
    });
    tale.publish(Detection, "honeytoken.touched", touched);
}
