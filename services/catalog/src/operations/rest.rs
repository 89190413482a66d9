//! Remediations and rules.

use crate::{
    Attribute::{Project, Region, Severity, Type},
    EventType,
    event_type::Origin,
};

pub(crate) fn event_types() -> Vec<EventType> {
    vec![
        EventType::open(
            "remediation.approval_required",
            Origin::Change,
            &[Severity, Type, Project, Region],
            "A remediation waits for an operator's approval.",
        ),
        EventType::open(
            "remediation.approved",
            Origin::Change,
            &[Severity, Type, Project, Region],
            "An operator approved a remediation.",
        ),
        EventType::open(
            "remediation.rejected",
            Origin::Change,
            &[Severity, Type, Project, Region],
            "An operator rejected a remediation.",
        ),
        EventType::open(
            "remediation.started",
            Origin::Change,
            &[Severity, Type, Project, Region],
            "A remediation began.",
        ),
        EventType::open(
            "remediation.progress",
            Origin::Change,
            &[Severity, Type, Project, Region],
            "A remediation got further.",
        ),
        EventType::open(
            "remediation.completed",
            Origin::Change,
            &[Severity, Type, Project, Region],
            "A remediation was carried out.",
        ),
        EventType::open(
            "remediation.failed",
            Origin::Change,
            &[Severity, Type, Project, Region],
            "A remediation failed.",
        ),
        EventType::open(
            "remediation.rolled_back",
            Origin::Change,
            &[Severity, Type, Project, Region],
            "A remediation was undone.",
        ),
        EventType::open("rule.created", Origin::Change, &[Severity], "A detection rule was created."),
        EventType::open("rule.updated", Origin::Change, &[Severity], "Fields of a detection rule changed."),
        EventType::open("rule.enabled", Origin::Change, &[Severity], "A detection rule was activated."),
        EventType::open("rule.disabled", Origin::Change, &[Severity], "A detection rule was deactivated."),
        EventType::open("rule.deleted", Origin::Change, &[Severity], "A detection rule was removed."),
        EventType::open("rule.triggered", Origin::Occurrence, &[Severity], "A detection rule matched."),
    ]
}
