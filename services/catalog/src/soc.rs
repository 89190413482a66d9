//! The security operations centre: alerts, cases, investigations, detections, behaviour, decoys, playbooks.

use crate::{Attribute::Severity, EventType, event_type::Origin};

pub(crate) fn event_types() -> Vec<EventType> {
    vec![
        EventType::open("alert.created", Origin::Change, &[Severity], "A new alert was ingested."),
        EventType::open(
            "alert.updated",
            Origin::Change,
            &[Severity],
            "Status or severity of an alert changed.",
        ),
        EventType::open(
            "alert.assigned",
            Origin::Change,
            &[Severity],
            "An alert was assigned to an analyst.",
        ),
        EventType::open("case.created", Origin::Change, &[Severity], "A case was opened."),
        EventType::open("case.updated", Origin::Change, &[Severity], "Fields of a case changed."),
        EventType::open("case.closed", Origin::Change, &[Severity], "A case was closed."),
        EventType::open("case.comment", Origin::Occurrence, &[], "A comment was added to a case."),
        EventType::open("investigation.started", Origin::Change, &[], "An agent began to investigate."),
        EventType::open("investigation.step", Origin::Change, &[], "An intermediate step of reasoning."),
        EventType::open("investigation.finding", Origin::Change, &[], "A finding was added to the case."),
        EventType::open("investigation.completed", Origin::Change, &[], "An investigation ended."),
        EventType::open("investigation.error", Origin::Change, &[], "An investigation failed."),
        EventType::open("detection.triggered", Origin::Occurrence, &[Severity], "A rule fired."),
        EventType::open(
            "detection.suppressed",
            Origin::Occurrence,
            &[Severity],
            "A detection was suppressed by a rule.",
        ),
        EventType::open(
            "ueba.anomaly",
            Origin::Occurrence,
            &[Severity],
            "Someone or something behaved unlike itself.",
        ),
        EventType::open(
            "ueba.baseline_updated",
            Origin::Occurrence,
            &[],
            "What counts as usual behaviour was computed anew.",
        ),
        EventType::open(
            "honeytoken.touched",
            Origin::Occurrence,
            &[Severity],
            "A decoy credential was used.",
        ),
        EventType::open("playbook.started", Origin::Change, &[], "The execution of a playbook began."),
        EventType::open("playbook.step", Origin::Change, &[], "A step of a playbook was completed."),
        EventType::open("playbook.completed", Origin::Change, &[], "A playbook ended."),
        EventType::open("playbook.failed", Origin::Change, &[], "A playbook failed."),
    ]
}
