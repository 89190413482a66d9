//! Runs: agents work on them, people decide on some, and they end with their agent.

use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1::{self, resource_change::Change};
use signalbox_testbed::{
    AgentWire, Client, State, Watcher, change, data, database, fields, hello, resource_report,
};
use tonic::Code;

fn create(data: &Value) -> Change {
    Change::Create(data.to_string().into())
}

fn patch(data: &Value) -> Change {
    Change::MergePatch(data.to_string().into())
}

async fn incident(state: &State) -> Client {
    let operator = Client::new(state.channel(), Role::Operator);
    let data = json!({"type": "intrusion", "severity": "HIGH", "region": "north"});
    operator.create("incident", "inc_1", data).await.expect("the incident is new");
    operator
}

#[tokio::test]
async fn a_lost_agent_fails_what_it_was_at_work_on_and_nothing_else() {
    let state = State::start_with(&database().await, |config| config.lost_after_s = 1).await;
    let operator = incident(&state).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let other = AgentWire::open(state.channel(), hello("web-2")).await.unwrap();
    let analysis = json!({"incident_id": "inc_1"});
    let results = json!({"root_cause": "x", "confidence": 0.5});
    wire.report(resource_report(
        1,
        vec![
            change("analysis", "ana_1", create(&analysis)),
            change("analysis", "ana_2", create(&analysis)),
            change("analysis", "ana_2", patch(&json!({"status": "COMPLETED", "results": results}))),
            change("playbook", "pb_1", create(&json!({"name": "isolate"}))),
        ],
    ))
    .await;
    assert!(wire.acknowledged(1).await.is_empty());
    other.report(resource_report(1, vec![change("analysis", "ana_3", create(&analysis))])).await;
    drop(wire);

    let lost = loop {
        let event = watcher.next_of("agent.connectivity_change").await;
        if data(&event)["new_connectivity"] == "lost" {
            break event;
        }
    };
    let (failed, failed_too) = (watcher.next().await, watcher.next().await);
    assert_eq!(
        lost.change_end, failed_too.revision,
        "they end in the commit that says that the agent is lost"
    );
    assert_eq!((failed.r#type.as_str(), failed.subject.as_str()), ("analysis.failed", "ana_1"));
    assert_eq!((failed.agent_id.as_str(), failed.actor.as_str()), ("web-1", "system"));
    assert_eq!(data(&failed)["error"], "agent_lost");
    assert!(data(&failed)["duration_ms"].as_u64().unwrap() >= 1000);
    assert_eq!(failed.attributes["region"].values, ["north"]);
    assert_eq!((failed_too.r#type.as_str(), failed_too.subject.as_str()), ("playbook.failed", "pb_1"));
    assert_eq!(operator.get("analysis", "ana_1").await.unwrap().state, "FAILED");
    assert_eq!(operator.get("analysis", "ana_2").await.unwrap().state, "COMPLETED");
    assert_eq!(operator.get("analysis", "ana_3").await.unwrap().state, "RUNNING");
    drop(other);
    state.stop().await;
}

#[tokio::test]
async fn a_deleted_agent_fails_what_it_was_at_work_on() {
    let state = State::start(&database().await).await;
    let operator = incident(&state).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let new = v1::CreateAgentRequest { agent_id: "web-1".into(), ..v1::CreateAgentRequest::default() };
    admin.agents().create_agent(new).await.unwrap();
    operator.create("analysis", "ana_1", json!({"incident_id": "inc_1", "agent_id": "web-1"})).await.unwrap();
    let delete = v1::DeleteAgentRequest { agent_id: "web-1".into(), ..v1::DeleteAgentRequest::default() };
    admin.agents().delete_agent(delete).await.unwrap();
    let analysis = operator.get("analysis", "ana_1").await.unwrap();
    assert_eq!((analysis.state.as_str(), analysis.updated_by.as_str()), ("FAILED", "admin-1"));
    assert_eq!(fields(&analysis)["error"], "agent_deleted");
    state.stop().await;
}

#[tokio::test]
async fn a_remediation_waits_for_a_person_and_is_taken_up_by_an_agent() {
    let state = State::start(&database().await).await;
    let operator = incident(&state).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let mut planner = AgentWire::open(state.channel(), hello("planner")).await.unwrap();
    let asked = json!({"incident_id": "inc_1", "action": "block_ip", "requires_approval": true});
    planner
        .report(resource_report(
            1,
            vec![
                change("remediation", "rem_1", create(&asked)),
                change("remediation", "rem_1", patch(&json!({"status": "APPROVED"}))),
                change("remediation", "rem_1", patch(&json!({"status": "RUNNING"}))),
            ],
        ))
        .await;
    let refused = planner.acknowledged(1).await;
    let codes: Vec<_> = refused.iter().map(|r| (r.item.unwrap(), r.code.as_str())).collect();
    assert_eq!(codes, [(1, "PERMISSION_DENIED"), (2, "FAILED_PRECONDITION")]);
    // A token of an agent is no person either.
    let agent = Client::new(state.channel(), Role::Agent);
    let denied = agent.patch("remediation", "rem_1", json!({"status": "APPROVED"})).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let waiting = operator.get("remediation", "rem_1").await.unwrap();
    assert_eq!((waiting.state.as_str(), waiting.agent_id.as_str()), ("PENDING_APPROVAL", ""));

    let approved = json!({"status": "APPROVED", "comment": "go"});
    operator.patch("remediation", "rem_1", approved).await.unwrap();
    let mut worker = AgentWire::open(state.channel(), hello("worker")).await.unwrap();
    worker
        .report(resource_report(
            1,
            vec![
                change("remediation", "rem_1", patch(&json!({"status": "RUNNING"}))),
                change("remediation", "rem_1", patch(&json!({"progress": 60}))),
            ],
        ))
        .await;
    assert!(worker.acknowledged(1).await.is_empty());
    assert_eq!(operator.get("remediation", "rem_1").await.unwrap().agent_id, "worker");
    planner
        .report(resource_report(2, vec![change("remediation", "rem_1", patch(&json!({"progress": 90})))]))
        .await;
    assert_eq!(planner.acknowledged(2).await[0].code, "PERMISSION_DENIED", "it is another agent's run");
    worker
        .report(resource_report(
            2,
            vec![change(
                "remediation",
                "rem_1",
                patch(&json!({"status": "COMPLETED", "result": {"blocked": 1}})),
            )],
        ))
        .await;
    assert!(worker.acknowledged(2).await.is_empty());
    operator
        .patch("remediation", "rem_1", json!({"status": "ROLLED_BACK", "reason": "wrong host"}))
        .await
        .unwrap();

    let mut types = Vec::new();
    while types.last().is_none_or(|last| last != "remediation.rolled_back") {
        let event = watcher.next().await;
        if event.r#type.starts_with("remediation.") {
            assert_eq!(event.attributes["severity"].values, ["HIGH"], "{} inherits", event.r#type);
            types.push(event.r#type);
        }
    }
    let said = ["approval_required", "approved", "started", "progress", "completed", "rolled_back"];
    assert_eq!(types, said.map(|what| format!("remediation.{what}")));
    state.stop().await;
}

#[tokio::test]
async fn an_agent_is_at_work_on_a_bounded_number_of_runs() {
    let state = State::start(&database().await).await;
    incident(&state).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    for report in 0..10 {
        let analysis =
            |n| change("analysis", &format!("ana_{report}_{n}"), create(&json!({"incident_id": "inc_1"})));
        wire.report(resource_report(report + 1, (0..100).map(analysis).collect())).await;
    }
    assert!(wire.acknowledged(10).await.is_empty());
    let error = json!({"status": "FAILED", "error": "x"});
    let one = create(&json!({"incident_id": "inc_1"}));
    wire.report(resource_report(
        11,
        vec![
            change("analysis", "ana_a", one.clone()),
            change("analysis", "ana_0_0", patch(&error)),
            change("analysis", "ana_b", one.clone()),
            change("analysis", "ana_c", one),
        ],
    ))
    .await;
    let refused: Vec<_> =
        wire.acknowledged(11).await.into_iter().map(|r| (r.item.unwrap(), r.code, r.field)).collect();
    let full = |item: u32| (item, "RESOURCE_EXHAUSTED".to_owned(), format!("changes[{item}].data.agent_id"));
    assert_eq!(refused, [full(0), full(3)]);
    state.stop().await;
}
