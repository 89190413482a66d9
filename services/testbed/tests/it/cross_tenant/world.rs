//! Tenants that have the same ids, and each a word of its own in every text that people or agents wrote.

use serde_json::json;
use signalbox_identity::Role;
use signalbox_proto::v1::{self, connect_request::Message as Sent};
use signalbox_testbed::{AgentWire, Client, State, hello, status_report, token};

use super::wire::Words;

/// Who tries.
pub(super) const ATTACKER: Tenant = Tenant { id: "cobalt", word: "wordofcobalt" };
/// Who is tried, and does nothing meanwhile.
pub(super) const QUIET: Tenant = Tenant { id: "umber", word: "wordofumber" };
/// Who is tried, and is at work.
pub(super) const BUSY: Tenant = Tenant { id: "viridian", word: "wordofviridian" };

/// A tenant, and the word that nobody else is to see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tenant {
    pub(super) id: &'static str,
    pub(super) word: &'static str,
}

/// What a tenant has that another may get to know, for example from a screenshot.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) texts: Vec<String>,
    pub(super) cursor: String,
    pub(super) key_id: String,
}

impl Tenant {
    pub(super) fn client(self, state: &State, role: Role) -> Client {
        Client::with_token(state.channel(), &token(self.id, role))
    }

    /// Gives the tenant something of everything; what is there already stays.
    pub(super) async fn settle(self, state: &State) {
        let admin = self.client(state, Role::Admin);
        for agent_id in ["web-1", "web-2", "shared"] {
            let new = v1::CreateAgentRequest {
                agent_id: agent_id.into(),
                name: self.word.into(),
                template: self.word.into(),
                labels: [("zone".into(), "north".into()), ("team".into(), self.word.into())].into(),
                idempotency_key: String::new(),
            };
            let _ = admin.agents().create_agent(new).await;
        }
        let kind = v1::Kind {
            name: "vault".into(),
            doc: self.word.into(),
            schema: br#"{"type":"object","properties":{"note":{"type":"string"}}}"#.to_vec().into(),
            ..v1::Kind::default()
        };
        let apply = v1::ApplyKindRequest { kind: Some(kind), ..v1::ApplyKindRequest::default() };
        let _ = admin.catalog().apply_kind(apply).await;
        let _ = admin.create("vault", "v-1", json!({ "note": self.word })).await;
        let incident =
            json!({"type": self.word, "severity": "HIGH", "project_id": "web", "region": self.word});
        let _ = admin.create("incident", "inc-1", incident).await;
        let _ = admin.create("alert", "alert-1", json!({"title": self.word, "severity": "high"})).await;
        let _ = admin.create("project", "p-1", json!({ "name": self.word })).await;
        let _ = admin.patch("project", "p-1", json!({"progress": 10, "current_step": self.word})).await;
        let _ = admin.publish("log.line", json!({"category": "system", "message": self.word})).await;
        let _ = issue(&admin, self.word, "web-1", "the-first").await;
    }

    /// Gives the tenant a key, a configuration and an agent that is there; answers what can be known of it.
    pub(super) async fn move_in(self, state: &State) -> (Known, AgentWire) {
        self.settle(state).await;
        let admin = self.client(state, Role::Admin);
        let key = v1::CreateApiKeyRequest {
            name: self.word.into(),
            role: v1::Role::Admin.into(),
            ..v1::CreateApiKeyRequest::default()
        };
        let key = admin.access().create_api_key(key).await.unwrap().into_inner().key.unwrap();
        let config = v1::UpdateAgentRequest {
            agent_id: "web-1".into(),
            config: Some(json!({ "secret": self.word }).to_string().into()),
            ..v1::UpdateAgentRequest::default()
        };
        admin.agents().update_agent(config).await.unwrap();
        let hello = hello("web-2");
        let instance_uid = hello.instance_uid.clone();
        let mut agent = AgentWire::open_as(&self.client(state, Role::Agent), hello).await.unwrap();
        agent.report(status_report(1, v1::AgentStatus::Active, self.word)).await;
        let metrics =
            v1::AgentMetrics { values: [(self.word.into(), 1.0)].into(), ..v1::AgentMetrics::default() };
        agent.say(Sent::Metrics(metrics)).await;
        assert!(agent.acknowledged(1).await.is_empty());
        let command = issue(&admin, self.word, "web-1", "the-first").await.unwrap();
        let listed = v1::ListAgentsRequest { page_size: 1, ..v1::ListAgentsRequest::default() };
        let listed = admin.agents().list_agents(listed).await.unwrap().into_inner();
        let cursor = listed.cursor.unwrap();
        let commands = v1::ListCommandsRequest { page_size: 1, ..v1::ListCommandsRequest::default() };
        let commands = admin.commands().list_commands(commands).await.unwrap().into_inner();
        let texts = [
            self.id.to_owned(),
            key.key_id.clone(),
            instance_uid,
            command,
            cursor.epoch.clone(),
            cursor.to_string(),
            listed.next_page_token,
            commands.next_page_token,
            format!("{}/web-1", self.id),
        ];
        let known = Known { texts: texts.into(), cursor: format!("{}:0", cursor.epoch), key_id: key.key_id };
        (known, agent)
    }
}

/// Has an agent told something; answers the id of the command.
pub(super) async fn issue(admin: &Client, word: &str, agent_id: &str, key: &str) -> Option<String> {
    let issue = v1::IssueCommandRequest {
        name: "start".into(),
        parameters: json!({ "secret": word }).to_string().into(),
        target: Some(v1::issue_command_request::Target::AgentId(agent_id.into())),
        timeout_ms: 86_400_000,
        idempotency_key: key.into(),
    };
    let issued = admin.commands().issue_command(issue).await.ok()?.into_inner();
    issued.command.map(|command| command.command_id)
}

/// What attempts are made of: what is known of the others, and what all have.
pub(super) fn words<'known>(known: impl IntoIterator<Item = &'known Known>) -> Words {
    const SHARED: [&str; 24] = [
        "",
        "*",
        "%",
        "web-1",
        "web-1",
        "web-2",
        "shared",
        "zone=north",
        "team",
        "vault",
        "vault",
        "v-1",
        "v-1",
        "incident",
        "inc-1",
        "start",
        "stop",
        "the-first",
        "log.line",
        "severity",
        "HIGH",
        "00000000-0000-0000-0000-000000000000",
        "' OR tenant_id <> '",
        "{umber}",
    ];
    let mut texts: Vec<String> = SHARED.iter().map(|&text| text.to_owned()).collect();
    texts.extend(known.into_iter().flat_map(|known| known.texts.iter().cloned()));
    let documents = [
        "{}",
        r#"{"note":"x"}"#,
        r#"{"tenant_id":"umber","agent_id":"web-1"}"#,
        r#"{"type":"x","severity":"HIGH","project_id":"web","region":"north"}"#,
        r#"{"category":"system","message":"x"}"#,
        r#"{"type":"object","properties":{}}"#,
    ];
    Words { texts, documents: documents.map(String::from).into() }
}
