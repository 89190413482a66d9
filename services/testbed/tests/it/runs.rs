//! Runs: agents work on them, people decide on some, and they end with their agent.

use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::{
    timestamp, to_time,
    v1::{self, resource_change::Change},
};
use signalbox_telemetry::now;
use signalbox_testbed::{
    AgentWire, Client, State, Watcher, change, data, database, fields, hello, resource_report,
};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::Code;

fn create(data: &Value) -> Change {
    Change::Create(data.to_string().into())
}

fn patch(data: &Value) -> Change {
    Change::MergePatch(data.to_string().into())
}

async fn delete_agent(state: &State, agent_id: &str) {
    let delete = v1::DeleteAgentRequest { agent_id: agent_id.into(), ..v1::DeleteAgentRequest::default() };
    Client::new(state.channel(), Role::Admin).agents().delete_agent(delete).await.expect("it is there");
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
    delete_agent(&state, "web-1").await;
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
    let operator = incident(&state).await;
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
    // Nor is it given what was meant for it before it had so many.
    let asked =
        json!({"incident_id": "inc_1", "action": "x", "requires_approval": true, "agent_id": "web-1"});
    operator.create("remediation", "rem_1", asked).await.unwrap();
    operator.patch("remediation", "rem_1", json!({"status": "APPROVED"})).await.unwrap();
    let refused = operator.patch("remediation", "rem_1", json!({"status": "RUNNING"})).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    state.stop().await;
}

#[tokio::test]
async fn a_run_that_is_as_large_as_may_be_does_not_keep_its_agent() {
    const LARGEST: usize = 64 * 1024;
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    drop(AgentWire::open(state.channel(), hello("web-1")).await.unwrap());
    let playbook =
        |padding: usize| json!({"name": "x", "agent_id": "web-1", "parameters": {"x": "x".repeat(padding)}});
    let small = operator.create("playbook", "pb_1", playbook(0)).await.unwrap();
    // The times of two rows may differ by some digits.
    let large = operator.create("playbook", "pb_2", playbook(LARGEST - small.data.len() - 8)).await.unwrap();
    assert!(large.data.len() > LARGEST - 16);
    delete_agent(&state, "web-1").await;
    let failed = operator.get("playbook", "pb_2").await.unwrap();
    assert_eq!((failed.state.as_str(), &fields(&failed)["error"]), ("failed", &json!("agent_deleted")));
    assert!(failed.data.len() > LARGEST);
    state.stop().await;
}

#[tokio::test]
async fn a_call_with_an_agents_token_changes_no_run_of_another() {
    let state = State::start(&database().await).await;
    let operator = incident(&state).await;
    drop(AgentWire::open(state.channel(), hello("web-1")).await.unwrap());
    let analysis = json!({"incident_id": "inc_1", "agent_id": "web-1"});
    operator.create("analysis", "ana_1", analysis.clone()).await.unwrap();
    let agent = Client::new(state.channel(), Role::Agent);
    for refused in [
        agent.patch("analysis", "ana_1", json!({"progress": 5})).await.map(drop),
        agent.delete("analysis", "ana_1").await.map(drop),
        agent.create("analysis", "ana_2", analysis).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    }
    // What is nobody's run it may change.
    agent.patch("incident", "inc_1", json!({"region": "south"})).await.unwrap();
    operator.patch("analysis", "ana_1", json!({"progress": 5})).await.unwrap();
    state.stop().await;
}

#[tokio::test]
async fn no_clock_of_an_agent_makes_a_run_end_before_it_began() {
    let state = State::start(&database().await).await;
    let operator = incident(&state).await;
    let before = now();
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let analysis = create(&json!({"incident_id": "inc_1"}));
    let failed = patch(&json!({"status": "FAILED", "error": "x"}));
    let changes = [
        (Duration::hours(12), vec![change("analysis", "ana_1", analysis.clone())]),
        (Duration::hours(-12), vec![change("analysis", "ana_1", failed.clone())]),
        (Duration::hours(-9), vec![change("analysis", "ana_2", analysis)]),
        (Duration::hours(-6), vec![change("analysis", "ana_2", failed)]),
    ];
    for (sequence, (ahead, changes)) in (1..).zip(changes) {
        let time = Some(timestamp(before + ahead));
        wire.report(v1::Report { time, ..resource_report(sequence, changes) }).await;
    }
    assert!(wire.acknowledged(4).await.is_empty());
    let run = operator.get("analysis", "ana_1").await.unwrap();
    let at = |field: &str| OffsetDateTime::parse(fields(&run)[field].as_str().unwrap(), &Rfc3339).unwrap();
    assert!(at("started_at") <= at("finished_at") && at("finished_at") <= now(), "{:?}", fields(&run));
    assert!(at("started_at") >= before - Duration::SECOND);
    let created = to_time(run.created_at.as_ref().unwrap()).unwrap();
    assert!(created <= to_time(run.updated_at.as_ref().unwrap()).unwrap());
    let run = operator.get("analysis", "ana_2").await.unwrap();
    assert_eq!(fields(&run)["duration_ms"], 3 * 3_600_000, "what can be believed is kept");
    state.stop().await;
}
