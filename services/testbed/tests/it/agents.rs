//! Agents: registered, changed, listed, forgotten.

use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{AgentWire, Client, State, Watcher, database, hello};
use tonic::Code;

fn create(agent_id: &str, team: &str) -> v1::CreateAgentRequest {
    v1::CreateAgentRequest {
        agent_id: agent_id.into(),
        labels: [("team".to_owned(), team.to_owned())].into(),
        ..v1::CreateAgentRequest::default()
    }
}

#[tokio::test]
async fn an_agent_is_registered_changed_and_forgotten_and_the_log_says_so() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let mut watcher = Watcher::start(state.channel()).await;

    let created = admin.agents().create_agent(create("web-1", "a")).await.unwrap().into_inner();
    assert_eq!(created.revision, 1);
    let agent = created.agent.unwrap();
    assert_eq!((agent.status(), agent.connectivity()), (v1::AgentStatus::Pending, v1::Connectivity::Never));
    assert_eq!((agent.name.as_str(), agent.created_by.as_str(), agent.version), ("web-1", "admin-1", 1));

    let again = admin.agents().create_agent(create("web-1", "a")).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);

    let rename = v1::UpdateAgentRequest {
        agent_id: "web-1".into(),
        expected_version: 1,
        name: Some("Web".into()),
        ..v1::UpdateAgentRequest::default()
    };
    let updated = admin.agents().update_agent(rename.clone()).await.unwrap().into_inner().agent.unwrap();
    assert_eq!((updated.name.as_str(), updated.version), ("Web", 2));
    assert_eq!(admin.agents().update_agent(rename).await.unwrap_err().code(), Code::Aborted);

    let delete = v1::DeleteAgentRequest { agent_id: "web-1".into(), ..v1::DeleteAgentRequest::default() };
    admin.agents().delete_agent(delete.clone()).await.unwrap();
    assert_eq!(admin.agents().delete_agent(delete).await.unwrap_err().code(), Code::NotFound);

    let created = watcher.next().await;
    assert_eq!((created.r#type.as_str(), created.subject.as_str()), ("agent.created", "web-1"));
    assert_eq!((created.source.as_str(), created.actor.as_str()), ("user/admin-1", "admin-1"));
    assert!(!created.traceparent.is_empty());
    let updated = watcher.next().await;
    let data: serde_json::Value = serde_json::from_slice(&updated.data).unwrap();
    assert_eq!(data["changes"], serde_json::json!({ "name": { "old": "web-1", "new": "Web" } }));
    assert_eq!(watcher.next().await.r#type, "agent.deleted");
    state.stop().await;
}

#[tokio::test]
async fn a_list_is_paged_selected_and_tells_its_cursor() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    for n in 0..5 {
        admin
            .agents()
            .create_agent(create(&format!("agent-{n}"), if n % 2 == 0 { "a" } else { "b" }))
            .await
            .unwrap();
    }
    let mut ids = Vec::new();
    let mut request = v1::ListAgentsRequest { page_size: 2, ..v1::ListAgentsRequest::default() };
    loop {
        let page = admin.agents().list_agents(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.cursor.unwrap().revision, 10, "five agents, and five calls that the audit tells of");
        ids.extend(page.agents.into_iter().map(|agent| agent.agent_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(ids, ["agent-0", "agent-1", "agent-2", "agent-3", "agent-4"]);

    let of_team_b = v1::ListAgentsRequest { selector: "team=b".into(), ..v1::ListAgentsRequest::default() };
    assert_eq!(admin.agents().list_agents(of_team_b).await.unwrap().into_inner().agents.len(), 2);
    state.stop().await;
}

#[tokio::test]
async fn an_agent_is_told_when_it_is_deleted() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let admin = Client::new(state.channel(), Role::Admin);
    let delete = v1::DeleteAgentRequest { agent_id: "web-1".into(), ..v1::DeleteAgentRequest::default() };
    admin.agents().delete_agent(delete).await.unwrap();
    assert_eq!(wire.ended().await.code(), Code::NotFound);
    state.stop().await;
}

#[tokio::test]
async fn a_desired_configuration_reaches_the_agent_and_its_word_on_it_is_kept() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let admin = Client::new(state.channel(), Role::Admin);
    let update = v1::UpdateAgentRequest {
        agent_id: "web-1".into(),
        config: Some(br#"{"level":3}"#.to_vec().into()),
        ..v1::UpdateAgentRequest::default()
    };
    admin.agents().update_agent(update).await.unwrap();
    let config = loop {
        if let Some(v1::connect_response::Message::RemoteConfig(config)) = wire.next().await.unwrap() {
            break config;
        }
    };
    assert_eq!((config.generation, &config.content[..]), (1, &br#"{"level":3}"#[..]));
    let applied = v1::RemoteConfigState {
        generation: 1,
        hash: config.hash,
        status: v1::ConfigStatus::Applied.into(),
        reason: String::new(),
    };
    let body = Some(v1::report::Body::Config(applied));
    wire.report(v1::Report { sequence: 1, body, ..v1::Report::default() }).await;
    assert!(wire.acknowledged(1).await.is_empty());
    let get = v1::GetAgentRequest { agent_id: "web-1".into() };
    let agent = admin.agents().get_agent(get).await.unwrap().into_inner().agent.unwrap();
    assert_eq!(agent.config.unwrap().status(), v1::ConfigStatus::Applied);
    state.stop().await;
}
