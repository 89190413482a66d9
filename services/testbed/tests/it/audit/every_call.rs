//! Every method that changes something, called well: each leaves exactly one event that names it.

use serde_json::json;
use signalbox_identity::{RULES, Role};
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, database};
use tokio_stream::once;

use super::{new_agent, told_after};

#[tokio::test]
async fn each_leaves_exactly_one_event_that_names_it_and_what_it_was_about() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    for rule in RULES.iter().filter(|rule| rule.mutates && !rule.platform) {
        let method = rule.method();
        let service = Ready::make(&admin, &method).await;
        let (_, begin) = told_after(&state, 0).await;
        let targets = service.call(&admin, &method).await;
        let (calls, _) = told_after(&state, begin).await;
        assert_eq!(calls.len(), 1, "{method}: {calls:?}");
        let listed = calls[0]["targets"].as_array().expect("a call is about something");
        let listed: Vec<_> = listed
            .iter()
            .map(|target| format!("{} {}", target["kind"].as_str().unwrap(), target["id"].as_str().unwrap()))
            .collect();
        assert_eq!(
            (calls[0]["method"].as_str(), calls[0]["outcome"].as_str()),
            (Some(&*method), Some("done"))
        );
        assert_eq!(listed, targets, "{method}");
        assert_eq!(calls[0]["trace_id"].as_str().map(str::len), Some(32), "{method}");
    }
    state.stop().await;
}

/// What a call needs to be there.
struct Ready {
    id: String,
}

impl Ready {
    /// Makes what a method needs, by other calls.
    async fn make(admin: &Client, method: &str) -> Self {
        let id = match method {
            "AccessService.RevokeApiKey" => create_key(admin).await,
            "AccessService.RotateAgentKey" => create_agents_key(admin).await,
            "AccessService.RevokeEnrolmentToken" => create_enrolment(admin).await.0,
            "AccessService.Enrol" => create_enrolment(admin).await.1,
            "AgentService.DeleteAgent" | "AgentService.UpdateAgent" | "CommandService.IssueCommand" => {
                create_agent(admin).await
            }
            "CommandService.CancelCommand" => {
                let agent_id = create_agent(admin).await;
                issue(admin, &agent_id).await
            }
            "CatalogService.DeleteKind" => apply(admin).await,
            "ResourceService.DeleteResource" | "ResourceService.UpdateResource" => {
                admin.create("entity", "", entity()).await.expect("an entity is created").id
            }
            _ => String::new(),
        };
        Self { id }
    }

    /// Calls a method so that it succeeds, and says what it was about.
    async fn call(&self, admin: &Client, method: &str) -> Vec<String> {
        let id = &self.id;
        match method {
            "AccessService.CreateApiKey" => vec![format!("key {}", create_key(admin).await)],
            "AccessService.IssueToken" => {
                let (subject, role) = ("ben".to_owned(), v1::Role::Viewer.into());
                let request = v1::IssueTokenRequest { subject, role, ..v1::IssueTokenRequest::default() };
                admin.access().issue_token(request).await.expect("a token is issued");
                vec!["token ben".into()]
            }
            "AccessService.RevokeApiKey" => {
                let request = v1::RevokeApiKeyRequest { key_id: id.clone() };
                admin.access().revoke_api_key(request).await.expect("the key is revoked");
                vec![format!("key {id}")]
            }
            "AccessService.CreateEnrolmentToken" => {
                vec![format!("enrolment_token {}", create_enrolment(admin).await.0)]
            }
            "AccessService.RevokeEnrolmentToken" => {
                let request = v1::RevokeEnrolmentTokenRequest { token_id: id.clone() };
                admin.access().revoke_enrolment_token(request).await.expect("the token is revoked");
                vec![format!("enrolment_token {id}")]
            }
            "AccessService.Enrol" => {
                let request = v1::EnrolRequest {
                    agent_id: "enrolled-1".into(),
                    idempotency_key: "what-the-agent-is-known-by".into(),
                    ..v1::EnrolRequest::default()
                };
                admin.presenting(id).access().enrol(request).await.expect("the agent is enrolled");
                vec!["agent enrolled-1".into()]
            }
            "AccessService.RotateAgentKey" => {
                let request = v1::RotateAgentKeyRequest::default();
                let answer = admin.presenting(id).access().rotate_agent_key(request).await;
                let answer = answer.expect("the key is replaced").into_inner();
                vec![format!("key {}", answer.key.expect("the answer has the key").key_id)]
            }
            "AgentService.CreateAgent" => vec![format!("agent {}", create_agent(admin).await)],
            "AgentService.DeleteAgent" => {
                let request =
                    v1::DeleteAgentRequest { agent_id: id.clone(), ..v1::DeleteAgentRequest::default() };
                admin.agents().delete_agent(request).await.expect("the agent is deleted");
                vec![format!("agent {id}")]
            }
            "AgentService.UpdateAgent" => {
                let agent_id = id.clone();
                // It changes nothing, and was asked for all the same.
                let request = v1::UpdateAgentRequest { agent_id, ..v1::UpdateAgentRequest::default() };
                admin.agents().update_agent(request).await.expect("the agent is changed");
                vec![format!("agent {id}")]
            }
            "CatalogService.ApplyKind" => vec![format!("kind {}", apply(admin).await)],
            "CatalogService.DeleteKind" => {
                let request = v1::DeleteKindRequest { name: id.clone(), ..v1::DeleteKindRequest::default() };
                admin.catalog().delete_kind(request).await.expect("the kind is deleted");
                vec![format!("kind {id}")]
            }
            "CommandService.IssueCommand" => {
                let command_id = issue(admin, id).await;
                vec![format!("command {command_id}"), format!("agent {id}")]
            }
            "CommandService.CancelCommand" => {
                let command_id = id.clone();
                let request = v1::CancelCommandRequest { command_id, ..v1::CancelCommandRequest::default() };
                admin.commands().cancel_command(request).await.expect("the command is cancelled");
                vec![format!("command {id}")]
            }
            "EventService.Publish" => {
                admin.events().publish(occurrence()).await.expect("it is published");
                vec!["event log.line".into()]
            }
            "EventService.PublishStream" => {
                admin.events().publish_stream(once(occurrence())).await.expect("it is published");
                vec!["event log.line".into()]
            }
            "ResourceService.CreateResource" => {
                let entity = admin.create("entity", "", entity()).await.expect("an entity is created");
                vec![format!("entity {}", entity.id)]
            }
            "ResourceService.DeleteResource" => {
                admin.delete("entity", id).await.expect("the entity is deleted");
                vec![format!("entity {id}")]
            }
            "ResourceService.UpdateResource" => {
                admin.patch("entity", id, json!({ "label": "Other" })).await.expect("the entity is changed");
                vec![format!("entity {id}")]
            }
            other => panic!("{other} changes something: say here how it is called, and what it is about"),
        }
    }
}

fn entity() -> serde_json::Value {
    signalbox_catalog::kind("entity").expect("a built-in kind").example.clone()
}

fn occurrence() -> v1::PublishRequest {
    let event = v1::EventInput {
        r#type: "log.line".into(),
        data: br#"{"category":"system","message":"hello"}"#.to_vec().into(),
        ..v1::EventInput::default()
    };
    v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() }
}

async fn create_key(admin: &Client) -> String {
    let request = v1::CreateApiKeyRequest {
        name: "a program".into(),
        role: v1::Role::Viewer.into(),
        ..v1::CreateApiKeyRequest::default()
    };
    let answer = admin.access().create_api_key(request).await.expect("a key is created").into_inner();
    answer.key.expect("the answer has the key").key_id
}

async fn create_agents_key(admin: &Client) -> String {
    let request = v1::CreateApiKeyRequest {
        name: "an agent".into(),
        role: v1::Role::Agent.into(),
        agent_id: "keyed-1".into(),
        ..v1::CreateApiKeyRequest::default()
    };
    admin.access().create_api_key(request).await.expect("a key is created").into_inner().secret
}

/// The id and the secret of a new enrolment token.
async fn create_enrolment(admin: &Client) -> (String, String) {
    let name = "new agents".into();
    let request = v1::CreateEnrolmentTokenRequest { name, ..v1::CreateEnrolmentTokenRequest::default() };
    let answer = admin.access().create_enrolment_token(request).await.expect("a token is created");
    let answer = answer.into_inner();
    (answer.token.expect("the answer has the token").token_id, answer.secret)
}

async fn create_agent(admin: &Client) -> String {
    let agent_id = format!("web-{}", uuid::Uuid::now_v7().simple());
    admin.agents().create_agent(new_agent(&agent_id)).await.expect("an agent is created");
    agent_id
}

async fn issue(admin: &Client, agent_id: &str) -> String {
    let target = Some(v1::issue_command_request::Target::AgentId(agent_id.to_owned()));
    let request =
        v1::IssueCommandRequest { name: "stop".into(), target, ..v1::IssueCommandRequest::default() };
    let answer = admin.commands().issue_command(request).await.expect("a command is issued").into_inner();
    answer.command.expect("the answer has the command").command_id
}

async fn apply(admin: &Client) -> String {
    let name = format!("kind_{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    let schema =
        json!({ "type": "object", "properties": { "title": { "type": "string", "maxLength": 100 } } });
    let kind = v1::Kind {
        name: name.clone(),
        doc: "Something.".into(),
        schema: schema.to_string().into(),
        ..v1::Kind::default()
    };
    let request = v1::ApplyKindRequest { kind: Some(kind), ..v1::ApplyKindRequest::default() };
    admin.catalog().apply_kind(request).await.expect("a kind is applied");
    name
}
