//! Resources: written by the rules of their kinds, refused by field, listed at exactly the cursor that is told.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1::{self, resource_change::Change};
use signalbox_testbed::{
    AgentWire, Client, State, Watcher, change, data, database, fields, hello, resource_report,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn field_of(status: &Status) -> String {
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    violations.and_then(|violations| violations.into_iter().next()).map(|v| v.field).unwrap_or_default()
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("it is refused");
    assert!(!status.message().is_empty());
    (status.code(), field_of(&status))
}

fn incident() -> Value {
    json!({"type": "intrusion", "severity": "HIGH", "project_id": "web", "region": "north"})
}

fn asked(attributes: &[(&str, &[&str])]) -> BTreeMap<String, v1::AttributeValues> {
    let values =
        |values: &[&str]| v1::AttributeValues { values: values.iter().map(|v| (*v).into()).collect() };
    attributes.iter().map(|(name, of)| ((*name).to_owned(), values(of))).collect()
}

#[tokio::test]
async fn a_change_is_a_row_and_its_events_and_what_it_did() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    let mut watcher = Watcher::start(state.channel()).await;
    let created = operator.create("incident", "", incident()).await.unwrap();
    assert!(created.id.starts_with("inc_"), "{}", created.id);
    assert_eq!((created.version, created.state.as_str()), (1, "OPEN"));
    assert_eq!(created.created_by, "operator-1");
    assert_eq!(
        created.attributes,
        asked(&[
            ("severity", &["HIGH"]),
            ("type", &["intrusion"]),
            ("project", &["web"]),
            ("region", &["north"]),
        ])
    );
    let event = watcher.next().await;
    assert_eq!((event.r#type.as_str(), &event.subject), ("incident.created", &created.id));
    let delta = event.delta.clone().unwrap();
    assert_eq!((delta.kind.as_str(), delta.version, delta.deleted), ("incident", 1, false));
    assert_eq!(delta.fields, created.data);
    assert_eq!((event.time, event.actor.as_str()), (created.created_at, "operator-1"));

    let patch = json!({"severity": "CRITICAL", "assigned_to": "ann"});
    let changed = operator.patch("incident", &created.id, patch).await.unwrap();
    assert_eq!((changed.version, changed.created_at), (2, created.created_at));
    let (updated, assigned) = (watcher.next().await, watcher.next().await);
    assert_eq!(
        (updated.r#type.as_str(), assigned.r#type.as_str()),
        ("incident.updated", "incident.assigned")
    );
    assert_eq!((updated.change_end, assigned.change_end), (4, 4));
    assert_eq!(data(&updated)["changes"]["severity"], json!({"old": "HIGH", "new": "CRITICAL"}));
    // A filter on HIGH sees that it is no longer.
    assert_eq!(updated.attributes["severity"].values, ["CRITICAL", "HIGH"]);
    let fields: Value = serde_json::from_slice(&updated.delta.unwrap().fields).unwrap();
    assert_eq!(fields, json!({"severity": "CRITICAL", "assigned_to": "ann"}));
    assert_eq!(assigned.delta, None);

    let same = operator.patch("incident", &created.id, json!({"assigned_to": "ann"})).await.unwrap();
    assert_eq!(same, changed, "what changes nothing is no change");
    assert_eq!(operator.get("incident", &created.id).await.unwrap(), changed);
    let revision = operator.delete("incident", &created.id).await.unwrap();
    let deleted = watcher.next().await;
    assert_eq!((deleted.r#type.as_str(), deleted.revision), ("incident.deleted", revision));
    assert!(deleted.delta.unwrap().deleted);
    assert_eq!(refusal(operator.get("incident", &created.id).await), (Code::NotFound, "id".into()));
    state.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_field() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    operator.create("incident", "inc_1", incident()).await.unwrap();
    let with = |field: &str, value: Value| {
        let mut data = incident();
        data[field] = value;
        data
    };
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    let deep: Value = serde_json::from_str(&deep).unwrap();
    let analysis = |id: &str| json!({"incident_id": id});
    for answer in [operator.get("a\0b", "x").await, operator.create("a\0b", "", json!({})).await] {
        assert_eq!(refusal(answer), (Code::InvalidArgument, "kind".into()));
    }
    assert_eq!(refusal(operator.delete("incident", "a\0b").await), (Code::InvalidArgument, "id".into()));
    for (kind, id, data, code, field) in [
        ("incident", "inc_1", incident(), Code::AlreadyExists, "id"),
        ("incident", "a b", incident(), Code::InvalidArgument, "id"),
        ("incident", "", with("severity", 7.into()), Code::InvalidArgument, "data.severity"),
        ("incident", "", with("severity", "GRAVE".into()), Code::InvalidArgument, "data.severity"),
        ("incident", "", with("colour", "red".into()), Code::InvalidArgument, "data.colour"),
        ("incident", "", with("incident_id", "INC-1".into()), Code::InvalidArgument, "data.incident_id"),
        ("incident", "", with("title", "a\u{0}b".into()), Code::InvalidArgument, "data"),
        ("incident", "", with("title", deep), Code::InvalidArgument, "data"),
        ("incident", "", with("title", "x".repeat(70_000).into()), Code::InvalidArgument, "data"),
        ("incident", "", json!({"type": "x"}), Code::InvalidArgument, "data.severity"),
        ("incident", "", json!([]), Code::InvalidArgument, "data"),
        ("incident", "", with("status", "RESOLVED".into()), Code::FailedPrecondition, "data.status"),
        ("analysis", "", analysis("inc_none"), Code::NotFound, "data.incident_id"),
        (
            "analysis",
            "",
            json!({"incident_id": "inc_1", "agent_id": "nobody"}),
            Code::NotFound,
            "data.agent_id",
        ),
        ("spaceship", "", json!({}), Code::InvalidArgument, "kind"),
    ] {
        let refused = refusal(operator.create(kind, id, data.clone()).await);
        assert_eq!(refused, (code, field.to_owned()), "{kind} {id} {:.200}", data.to_string());
    }
    for (id, patch, code, field) in [
        ("inc_none", json!({}), Code::NotFound, "id"),
        ("inc_1", json!({"status": "MERGED"}), Code::InvalidArgument, "merge_patch.merged_into"),
        ("inc_1", json!({"severity": null}), Code::InvalidArgument, "merge_patch.severity"),
        (
            "inc_1",
            json!({"status": "MERGED", "merged_into": "inc_none"}),
            Code::NotFound,
            "merge_patch.merged_into",
        ),
    ] {
        let refused = refusal(operator.patch("incident", id, patch.clone()).await);
        assert_eq!(refused, (code, field.to_owned()), "{id} {patch}");
    }
    operator.create("analysis", "ana_1", analysis("inc_1")).await.unwrap();
    operator.patch("analysis", "ana_1", json!({"progress": 40})).await.unwrap();
    let back = operator.patch("analysis", "ana_1", json!({"progress": 30})).await;
    assert_eq!(refusal(back), (Code::FailedPrecondition, "merge_patch.progress".into()));

    let log = operator.watch().read(v1::ReadRequest::default()).await.unwrap().into_inner();
    let types: Vec<_> = log.events.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(
        types,
        ["incident.created", "analysis.started", "analysis.progress"],
        "a refusal leaves no trace"
    );
    state.stop().await;
}

#[tokio::test]
async fn a_stale_version_is_refused_and_a_right_one_is_not() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    operator.create("incident", "inc_1", incident()).await.unwrap();
    operator.patch("incident", "inc_1", json!({"title": "a"})).await.unwrap();
    let update = |expected_version| v1::UpdateResourceRequest {
        kind: "incident".into(),
        id: "inc_1".into(),
        merge_patch: r#"{"title": "b"}"#.into(),
        expected_version,
        idempotency_key: String::new(),
    };
    let stale = operator.resources().update_resource(update(1)).await;
    assert_eq!(refusal(stale), (Code::Aborted, "expected_version".into()));
    operator.resources().update_resource(update(2)).await.unwrap();
    let delete = |expected_version| v1::DeleteResourceRequest {
        kind: "incident".into(),
        id: "inc_1".into(),
        expected_version,
        idempotency_key: String::new(),
    };
    assert_eq!(refusal(operator.resources().delete_resource(delete(2)).await).0, Code::Aborted);
    operator.resources().delete_resource(delete(3)).await.unwrap();
    state.stop().await;
}

#[tokio::test]
async fn a_row_does_not_grow_past_its_bound_by_small_patches() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    operator.create("incident", "inc_1", incident()).await.unwrap();
    let many: Vec<_> = (0..120).map(|n| format!("{n}{}", "x".repeat(500))).collect();
    operator.patch("incident", "inc_1", json!({"affected_resources": many})).await.unwrap();
    let more = operator.patch("incident", "inc_1", json!({"description": "y".repeat(10_000)})).await;
    assert_eq!(refusal(more), (Code::InvalidArgument, "merge_patch".into()));
    state.stop().await;
}

#[tokio::test]
async fn a_repeated_call_is_answered_as_before_whatever_has_happened_since() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    let create = v1::CreateResourceRequest {
        kind: "incident".into(),
        id: String::new(),
        data: incident().to_string().into(),
        idempotency_key: "once".into(),
    };
    let first = operator.resources().create_resource(create.clone()).await.unwrap().into_inner();
    let id = first.resource.clone().unwrap().id;
    operator.patch("incident", &id, json!({"title": "a"})).await.unwrap();
    operator.delete("incident", &id).await.unwrap();
    let again = operator.resources().create_resource(create.clone()).await.unwrap().into_inner();
    assert_eq!(again, first);
    let other = v1::CreateResourceRequest { id: "inc_2".into(), ..create };
    assert_eq!(refusal(operator.resources().create_resource(other).await).0, Code::AlreadyExists);
    state.stop().await;
}

#[tokio::test]
async fn numbers_for_people_have_no_holes() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let callers = (0..8).map(|n| {
        let client = Client::new(if n % 2 == 0 { a.channel() } else { b.channel() }, Role::Operator);
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for call in 0..10 {
                // Every third call is refused, and uses no number.
                let data = if call % 3 == 0 { json!({"type": "x", "severity": "GRAVE"}) } else { incident() };
                if let Ok(created) = client.create("incident", "", data).await {
                    numbers.push(fields(&created)["incident_id"].as_str().unwrap().to_owned());
                }
            }
            numbers
        })
    });
    let mut numbers: Vec<String> = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        numbers.extend(caller.await.unwrap());
    }
    let counts: Vec<_> = numbers.iter().map(|number| number.rsplit_once('-').unwrap()).collect();
    assert!(counts.iter().all(|(prefix, _)| *prefix == counts[0].0 && prefix.starts_with("INC-20")));
    let mut counts: Vec<usize> = counts.iter().map(|(_, count)| count.parse().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=48).collect::<Vec<_>>());
    assert_eq!(numbers.iter().find(|number| number.ends_with("-7")), None, "three digits at least");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn in_a_report_each_change_is_refused_alone() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let create = |data: Value| Change::Create(data.to_string().into());
    let patch = |data: Value| Change::MergePatch(data.to_string().into());
    let changes = vec![
        change("incident", "inc_1", create(incident())),
        change("incident", "inc_1", create(incident())),
        change("incident", "inc_2", create(json!({"type": "x", "severity": 1}))),
        change("incident", "inc_3", Change::Create("{nonsense".into())),
        change("analysis", "ana_1", create(json!({"incident_id": "inc_1"}))),
        change("analysis", "ana_2", create(json!({"incident_id": "inc_2"}))),
        change("analysis", "ana_3", create(json!({"incident_id": "inc_1", "agent_id": "web-2"}))),
        change("analysis", "ana_1", patch(json!({"progress": 10}))),
        change("analysis", "ana_1", patch(json!({"progress": 5}))),
        change("incident", "", create(incident())),
        change("incident", "inc_9", Change::Delete(true)),
        change("spaceship", "s", create(json!({}))),
        v1::ResourceChange { kind: "incident".into(), id: "inc_1".into(), change: None },
        change("inci\0dent", "inc_1", create(incident())),
        change("incident", "inc\0_1", Change::Delete(true)),
        change("incident", "inc\0_1", patch(json!({"title": "a"}))),
    ];
    wire.report(resource_report(1, changes)).await;
    let refused = wire.acknowledged(1).await;
    let refused: Vec<_> =
        refused.iter().map(|r| (r.item.unwrap(), r.code.as_str(), r.field.as_str())).collect();
    assert_eq!(
        refused,
        [
            (1, "ALREADY_EXISTS", "changes[1].id"),
            (2, "INVALID_ARGUMENT", "changes[2].data.severity"),
            (3, "INVALID_ARGUMENT", "changes[3].data"),
            (5, "NOT_FOUND", "changes[5].data.incident_id"),
            (6, "PERMISSION_DENIED", "changes[6].data.agent_id"),
            (8, "FAILED_PRECONDITION", "changes[8].merge_patch.progress"),
            (9, "INVALID_ARGUMENT", "changes[9].id"),
            (10, "NOT_FOUND", "changes[10].id"),
            (11, "INVALID_ARGUMENT", "changes[11].kind"),
            (12, "INVALID_ARGUMENT", "changes[12].change"),
            (13, "INVALID_ARGUMENT", "changes[13].kind"),
            (14, "INVALID_ARGUMENT", "changes[14].id"),
            (15, "INVALID_ARGUMENT", "changes[15].id"),
        ]
    );
    let viewer = Client::new(state.channel(), Role::Viewer);
    let analysis = viewer.get("analysis", "ana_1").await.unwrap();
    assert_eq!((analysis.agent_id.as_str(), analysis.version), ("web-1", 2));
    assert_eq!(analysis.created_by, "web-1");
    let log = viewer.watch().read(v1::ReadRequest::default()).await.unwrap().into_inner();
    let of_report: Vec<_> = log.events.iter().filter(|event| event.delta.is_some()).collect();
    assert_eq!(of_report.len(), 3);
    assert!(of_report.iter().all(|event| event.source == "agent/web-1"));
    assert_eq!(of_report[1].agent_id, "web-1");
    state.stop().await;
}

#[tokio::test]
async fn only_those_may_write_or_read_whose_role_allows_it() {
    let state = State::start(&database().await).await;
    let viewer = Client::new(state.channel(), Role::Viewer);
    assert_eq!(refusal(viewer.create("incident", "", incident()).await).0, Code::PermissionDenied);
    let agent = Client::new(state.channel(), Role::Agent);
    let created = agent.create("incident", "", incident()).await.unwrap();
    assert_eq!(agent.get("incident", &created.id).await.unwrap(), created);
    assert_eq!(viewer.get("incident", &created.id).await.unwrap(), created);
    let stranger = Client::with_token(state.channel(), &signalbox_testbed::token("other", Role::Viewer));
    assert_eq!(refusal(stranger.get("incident", &created.id).await).0, Code::NotFound);
    state.stop().await;
}
