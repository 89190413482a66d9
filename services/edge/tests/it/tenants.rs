//! Two tenants with the same ids on one edge: whatever they subscribe to and ask for, neither ever sees one byte of
//! the other.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use signalbox_edge::dialect::{DialectId, Request};
use signalbox_identity::Role;
use signalbox_proto::v1;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::Client,
    edge::{Edge, agent_event, token_for, with_attribute},
};

/// The tenants. Nothing that one of them is sent may hold the name of the other, which is in all that it owns.
const TENANTS: [&str; 2] = ["dev", "rival"];
/// How many random worlds are tried.
const WORLDS: u32 = 24;

/// Somebody who watches.
#[derive(Debug, Clone)]
struct Watcher {
    tenant: usize,
    dialect: DialectId,
    /// What is subscribed to, one message each; the stream of lines begins by itself.
    names: Vec<&'static str>,
    /// Whether the names are narrowed to an agent, where that can be.
    agent: Option<&'static str>,
    /// What is asked for, where that can be; elsewhere anything stands for a snapshot.
    asks: Vec<&'static str>,
}

/// Something that happens to a tenant.
#[derive(Debug, Clone)]
struct Happening {
    tenant: usize,
    event_type: &'static str,
    agent_id: &'static str,
}

fn names(dialect: DialectId) -> &'static [&'static str] {
    match dialect {
        DialectId::SentinelOps => {
            &["*", "incident.*", "agent.*", "command.*", "agent.created", "log.line", "alert.created"]
        }
        DialectId::FreeAgentics => {
            &["agent_status", "agent_created", "command_status", "agent_error", "entity_created"]
        }
        DialectId::Aisoc => &["all", "alerts", "cases", "ueba", "playbooks"],
        DialectId::SentinelAi => &[""],
        DialectId::Projects => &["project.*", "project.p1", "validation.*", "validation.web-1"],
    }
}

const EVENT_TYPES: [&str; 14] = [
    "agent.status_change",
    "agent.created",
    "agent.error",
    "command.issued",
    "command.updated",
    "incident.created",
    "alert.created",
    "case.comment",
    "ueba.anomaly",
    "playbook.step",
    "entity.created",
    "project.progress",
    "validation.completed",
    "log.line",
];
const AGENTS: [&str; 2] = ["web-1", "web-2"];
/// What both tenants have of the same ids.
const KINDS: [&str; 5] = ["incident", "alert", "case", "entity", "project"];
/// Requests of sentinelops, by the data of their messages.
const REQUESTS: [&str; 9] = [
    r#"{"action": "get_status"}"#,
    r#"{"action": "get_agent", "agent_id": "web-1"}"#,
    r#"{"action": "get_agent", "agent_id": "nobody"}"#,
    r#"{"action": "list_agents"}"#,
    r#"{"action": "get_incident", "incident_id": "x1"}"#,
    r#"{"action": "list_incidents"}"#,
    r#"{"action": "get_resource", "kind": "case", "id": "x1"}"#,
    r#"{"action": "list_resources", "kind": "entity"}"#,
    r#"{"action": "list_resources", "kind": "project", "filters": {"severity": ["HIGH"]}}"#,
];

fn any_watcher() -> impl Strategy<Value = Watcher> {
    (0..TENANTS.len(), 0..DialectId::ALL.len()).prop_flat_map(|(tenant, dialect)| {
        let dialect = DialectId::ALL[dialect];
        let several = match dialect {
            DialectId::SentinelOps | DialectId::FreeAgentics => 1..4,
            _ => 1..2,
        };
        let names = proptest::sample::subsequence(
            names(dialect),
            several.start..several.end.min(names(dialect).len() + 1),
        );
        let agent = proptest::option::of(proptest::sample::select(&AGENTS[..]));
        let asks = proptest::sample::subsequence(&REQUESTS[..], 0..=REQUESTS.len());
        (names, agent, asks).prop_map(move |(names, agent, asks)| Watcher {
            tenant,
            dialect,
            names,
            agent,
            asks,
        })
    })
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let event_type = proptest::sample::select(&EVENT_TYPES[..]);
    let agent_id = proptest::sample::select(&AGENTS[..]);
    (0..TENANTS.len(), event_type, agent_id).prop_map(|(tenant, event_type, agent_id)| Happening {
        tenant,
        event_type,
        agent_id,
    })
}

impl Happening {
    /// The event: the ids are those of the other tenant too, everything else says whose it is.
    fn event(&self) -> v1::Event {
        let whose = TENANTS[self.tenant];
        let secret = format!("of {whose}");
        let data = json!({
            "id": "x1", "agent_id": self.agent_id, "command_id": "c1", "project_id": "p1", "category": "agent",
            "name": secret, "message": secret, "error": secret, "data": {"secret": secret}, "severity": "HIGH",
        });
        with_attribute(agent_event(self.event_type, self.agent_id, &data), "project", "p1")
    }
}

impl Watcher {
    fn subscriptions(&self, cursor: &str) -> Vec<Value> {
        match self.dialect {
            DialectId::SentinelAi => Vec::new(),
            DialectId::Aisoc | DialectId::Projects => self
                .names
                .iter()
                .map(|name| json!({"type": "subscribe", "channel": name, "cursor": cursor}))
                .collect(),
            DialectId::SentinelOps => {
                vec![json!({"type": "subscribe", "data": {"events": self.names, "cursor": cursor}})]
            }
            DialectId::FreeAgentics => {
                let agents: Vec<&str> = self.agent.into_iter().collect();
                vec![
                    json!({"type": "subscribe", "data": {"events": self.names, "agents": agents, "cursor": cursor}}),
                ]
            }
        }
    }

    /// How many messages of events it is to get, by what its dialect says the names stand for.
    fn due(&self, edge: &Edge, happenings: &[Happening]) -> usize {
        let dialect = self.dialect.dialect();
        let mut selections =
            dialect.opening(None).expect("it opens").map(|all| all.selections).unwrap_or_default();
        let cursor = edge.desk.log.cursor(TENANTS[self.tenant], 0).to_string();
        for message in self.subscriptions(&cursor) {
            match dialect.decode(&message.to_string()).expect("sound messages").request {
                Request::Subscribe(subscribe) => selections.extend(subscribe.selections),
                other => panic!("a subscription was written, got {other:?}"),
            }
        }
        let of_agent = |name: &str, happening: &Happening| {
            let narrowed = self.dialect == DialectId::FreeAgentics && name != "entity_created";
            !narrowed || self.agent.is_none_or(|agent| agent == happening.agent_id)
        };
        let of_channel = |name: &str, happening: &Happening| match name {
            "validation.web-1" => happening.agent_id == "web-1",
            _ => true,
        };
        let is_due = |happening: &&Happening| {
            happening.tenant == self.tenant
                && selections.iter().any(|selection| {
                    selection.types.contains(happening.event_type)
                        && of_agent(&selection.name, happening)
                        && of_channel(&selection.name, happening)
                })
        };
        happenings.iter().filter(is_due).count()
    }

    async fn connect(&self, edge: &Edge, index: usize) -> Client {
        let tenant_id = TENANTS[self.tenant];
        let token = token_for(&format!("user-{index}"), tenant_id, Role::Viewer, time::Duration::hours(1));
        let cursor = edge.desk.log.cursor(tenant_id, 0).to_string();
        let url = edge.url(&format!("/dialects/{}/ws?cursor={cursor}", self.dialect.name()));
        let mut client = Client::with_bearer(&url, &token).await;
        for message in self.subscriptions(&cursor) {
            client.send(&message).await;
        }
        client
    }

    /// What it asks for besides, and how many answers end that.
    fn questions(&self) -> (Vec<Value>, usize) {
        match self.dialect {
            DialectId::SentinelAi => (Vec::new(), 0),
            _ if self.asks.is_empty() => (Vec::new(), 0),
            DialectId::SentinelOps => {
                let data = |ask: &&str| serde_json::from_str::<Value>(ask).expect("sound requests");
                let ask = |ask| json!({"id": "ask", "type": "request", "data": data(ask)});
                (self.asks.iter().map(ask).collect(), self.asks.len())
            }
            DialectId::Aisoc | DialectId::Projects => {
                let name = self.names.first().copied().unwrap_or("all");
                (vec![json!({"type": "subscribe", "channel": name, "snapshot": true})], 1)
            }
            DialectId::FreeAgentics => {
                let data = json!({"events": self.names, "snapshot": true});
                (vec![json!({"type": "subscribe", "data": data})], 1)
            }
        }
    }

    /// Reads until everything that is due has come, then what it asks for, and then what else is on its way.
    async fn watch(&self, mut client: Client, due: usize) {
        let foreign = TENANTS[1 - self.tenant];
        let own = TENANTS[self.tenant];
        let (questions, answers_due) = self.questions();
        let (mut seen, mut answered) = (0, 0);
        let (mut has_asked, mut goodbye) = (false, false);
        loop {
            if seen == due && !has_asked {
                has_asked = true;
                for question in &questions {
                    client.send(question).await;
                }
            }
            if has_asked && answered == answers_due && !goodbye {
                goodbye = true;
                client.send_raw(Message::Close(None)).await;
            }
            match client.receive().await {
                Message::Text(text) => {
                    assert!(!text.contains(foreign), "{self:?} was sent {text}");
                    let message: Value = serde_json::from_str(&text).expect("texts are JSON");
                    let is_answer = message["id"] == "ask" || message["type"] == "snapshot";
                    answered += usize::from(is_answer && message["type"] != "snapshot" || is_end(&message));
                    // After a snapshot the stream may tell again what was told before.
                    seen += usize::from(!has_asked && text.contains(&format!("of {own}")));
                }
                Message::Close(_) if goodbye => break,
                other => panic!("{self:?} was sent {other:?} after {seen} of {due}"),
            }
        }
        assert_eq!((seen, answered), (due, answers_due), "{self:?}");
    }
}

/// Whether a snapshot has ended with this message.
fn is_end(message: &Value) -> bool {
    matches!(message["type"].as_str(), Some("snapshot.end" | "snapshot_end"))
}

/// Gives both tenants the same agents and resources by id; all else says whose they are.
fn furnish(edge: &Edge) {
    for (whose, desk) in [(TENANTS[0], edge.desk.clone()), (TENANTS[1], edge.desk.rival())] {
        let secret = format!("of {whose}");
        for agent_id in AGENTS {
            desk.add_named_agent(agent_id, &secret, v1::AgentStatus::Active);
        }
        for kind in KINDS {
            desk.put_resource(kind, "x1", &json!({"id": "x1", "name": secret}), &[("severity", "HIGH")]);
        }
    }
}

/// The stream of lines shows one tenant; the other is turned away.
async fn is_turned_away(mut client: Client) {
    assert_eq!(client.finally_closed().await.0, 1008);
}

async fn live(watchers: Vec<Watcher>, happenings: Vec<Happening>) {
    let edge = Edge::tireless().await;
    furnish(&edge);
    let mut watching = Vec::new();
    for (index, watcher) in watchers.iter().enumerate() {
        watching.push((watcher, watcher.connect(&edge, index).await));
    }
    // Some of it happens before anybody's subscription is in force, some of it later.
    for happening in &happenings {
        edge.desk.log.append(TENANTS[happening.tenant], happening.event());
        tokio::task::yield_now().await;
    }
    for (watcher, client) in watching {
        if watcher.dialect == DialectId::SentinelAi && watcher.tenant != 0 {
            is_turned_away(client).await;
        } else {
            let due = watcher.due(&edge, &happenings);
            watcher.watch(client, due).await;
        }
    }
    edge.stopped().await;
}

#[test]
fn tenants_with_the_same_ids_never_see_one_byte_of_each_other() {
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        max_shrink_iters: 32,
        ..Config::with_cases(WORLDS)
    });
    let worlds = (vec(any_watcher(), 2..10), vec(any_happening(), 1..40));
    let tried = runner.run(&worlds, |(watchers, happenings)| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(live(watchers, happenings));
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
}
