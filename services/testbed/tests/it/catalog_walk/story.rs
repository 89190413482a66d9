//! The calls that bring about every type of event.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use signalbox_catalog as catalog;
use signalbox_identity::Role;
use signalbox_proto::v1::{self, AgentStatus, issue_command_request::Target};
use signalbox_testbed::{AgentWire, Client, State, TENANT, hello, status_report};

use crate::tenants;

/// Who calls.
struct Callers {
    operator: Client,
    admin: Client,
}

/// What becomes of the tenant itself, before anything happens in it.
pub(super) async fn life_of_the_tenant(state: &State) {
    let limits = v1::TenantLimits { agents: Some(500), ..v1::TenantLimits::default() };
    tenants::create(state, TENANT, limits).await.expect("the tenant is new");
    let update = v1::UpdateTenantRequest {
        tenant_id: TENANT.into(),
        limits: Some(v1::TenantLimits { agents: Some(1000), ..v1::TenantLimits::default() }),
        ..v1::UpdateTenantRequest::default()
    };
    tenants::platform(state).tenants().update_tenant(update).await.expect("the tenant is there");
    tenants::suspend(state, TENANT, "unpaid").await;
    tenants::resume(state, TENANT).await;
    tenants::served(&Client::new(state.channel(), Role::Viewer), true).await;
}

/// Plays all of it; answers the names of the kinds that the tenant adds.
pub(super) async fn play(state: &State) -> Vec<&'static str> {
    let callers = Callers {
        operator: Client::new(state.channel(), Role::Operator),
        admin: Client::new(state.channel(), Role::Admin),
    };
    callers.agents(state).await;
    callers.operations().await;
    callers.security().await;
    callers.work().await;
    callers.graph().await;
    callers.occurrences().await;
    callers.keys().await;
    callers.enrolment(state).await;
    callers.deletions().await;
    callers.own_kind().await
}

/// The newest revision.
pub(super) async fn end(state: &State) -> u64 {
    let viewer = Client::new(state.channel(), Role::Viewer);
    viewer.watch().read(v1::ReadRequest::default()).await.expect("the log is read").into_inner().head
}

impl Callers {
    async fn create(&self, kind: &str, id: &str, data: Value) {
        self.operator.create(kind, id, data).await.unwrap_or_else(|error| panic!("{kind} {id}: {error}"));
    }

    async fn patch(&self, kind: &str, id: &str, patches: &[Value]) {
        for patch in patches {
            let done = self.operator.patch(kind, id, patch.clone()).await;
            done.unwrap_or_else(|error| panic!("{kind} {id} {patch}: {error}"));
        }
    }

    async fn agents(&self, state: &State) {
        let new = |id: &str| v1::CreateAgentRequest {
            agent_id: id.into(),
            name: id.to_uppercase(),
            template: "solver".into(),
            ..v1::CreateAgentRequest::default()
        };
        for id in ["worker-1", "worker-2"] {
            self.admin.agents().create_agent(new(id)).await.expect("the agent is new");
        }
        let update = v1::UpdateAgentRequest {
            agent_id: "worker-2".into(),
            name: Some("Other".into()),
            ..v1::UpdateAgentRequest::default()
        };
        self.admin.agents().update_agent(update).await.expect("the agent is there");
        let delete =
            v1::DeleteAgentRequest { agent_id: "worker-2".into(), ..v1::DeleteAgentRequest::default() };
        self.admin.agents().delete_agent(delete).await.expect("the agent is there");

        let mut wire = AgentWire::open(state.channel(), hello("worker-1")).await.expect("a session");
        let mut failed = status_report(1, AgentStatus::Failed, "exit_code_3");
        if let Some(v1::report::Body::Status(status)) = &mut failed.body {
            status.exit_code = Some(3);
            status.details = r#"{"last_inference": "2026-02-01T07:00:00Z", "inference_count": 12}"#.into();
        }
        wire.report(failed).await;
        assert!(wire.acknowledged(1).await.is_empty());
        let issue = v1::IssueCommandRequest {
            name: "stop".into(),
            target: Some(Target::AgentId("worker-1".into())),
            ..v1::IssueCommandRequest::default()
        };
        self.operator.commands().issue_command(issue).await.expect("the agent is there");
        let command_id = wire.command().await.command_id;
        let cancel = v1::CancelCommandRequest { command_id, ..v1::CancelCommandRequest::default() };
        self.operator.commands().cancel_command(cancel).await.expect("the command is there");
    }

    async fn operations(&self) {
        let incident = json!({"type": "intrusion", "severity": "HIGH", "affected_resources": ["host:a"]});
        for id in ["inc_1", "inc_2"] {
            self.create("incident", id, incident.clone()).await;
        }
        let steps = [
            json!({"status": "INVESTIGATING", "assigned_to": "ann"}),
            json!({"status": "RESOLVED", "resolution": "patched"}),
            json!({"status": "OPEN", "reason": "seen again"}),
            json!({"status": "MERGED", "merged_into": "inc_2"}),
        ];
        self.patch("incident", "inc_1", &steps).await;
        for id in ["ana_1", "ana_2"] {
            self.create("analysis", id, json!({"incident_id": "inc_2", "model": "m"})).await;
        }
        let found = json!({"root_cause": "an old key", "confidence": 0.75,
            "recommendations": [{"action": "rotate_key", "priority": "HIGH"}]});
        let steps =
            [json!({"progress": 30, "stage": "logs"}), json!({"status": "COMPLETED", "results": found})];
        self.patch("analysis", "ana_1", &steps).await;
        self.patch("analysis", "ana_2", &[json!({"status": "FAILED", "error": "no logs"})]).await;

        let action = json!({"incident_id": "inc_2", "action": "block_ip",
            "parameters": {"ip_addresses": ["192.0.2.1"], "duration": 600}});
        let asked = |requires: bool| {
            let mut asked = action.clone();
            asked["requires_approval"] = requires.into();
            asked
        };
        for (id, requires) in [("rem_1", true), ("rem_2", true), ("rem_3", false)] {
            self.create("remediation", id, asked(requires)).await;
        }
        let steps = [
            json!({"status": "APPROVED", "comment": "go"}),
            json!({"status": "RUNNING"}),
            json!({"progress": 50, "stage": "blocking"}),
            json!({"status": "COMPLETED", "result": {"blocked": 1}}),
            json!({"status": "ROLLED_BACK", "reason": "wrong address"}),
        ];
        self.patch("remediation", "rem_1", &steps).await;
        self.patch("remediation", "rem_2", &[json!({"status": "REJECTED", "reason": "no"})]).await;
        self.patch("remediation", "rem_3", &[json!({"status": "FAILED", "error": "no route"})]).await;
        self.create("rule", "rule_1", json!({"name": "scan", "severity": "LOW"})).await;
        self.patch("rule", "rule_1", &[json!({"enabled": false}), json!({"enabled": true})]).await;
    }

    async fn security(&self) {
        self.create("case", "case_1", json!({"title": "odd logins", "severity": "high"})).await;
        self.create("alert", "alert_1", json!({"title": "odd login", "severity": "high"})).await;
        self.patch("alert", "alert_1", &[json!({"assigned_to": "ann", "case_id": "case_1"})]).await;
        for id in ["inv_1", "inv_2"] {
            self.create("investigation", id, json!({"question": "who?", "case_id": "case_1"})).await;
        }
        let steps = [
            json!({"steps": [{"title": "read the logs", "tool": "search"}]}),
            json!({"findings": [{"title": "one address", "severity": "high"}]}),
            json!({"summary": "so far one address"}),
            json!({"status": "completed", "summary": "one address"}),
        ];
        self.patch("investigation", "inv_1", &steps).await;
        self.patch("investigation", "inv_2", &[json!({"status": "failed", "error": "no logs"})]).await;
        for id in ["pb_1", "pb_2"] {
            self.create("playbook", id, json!({"name": "isolate", "case_id": "case_1", "steps_total": 1}))
                .await;
        }
        let steps = [
            json!({"output": {"so_far": 0}}),
            json!({"steps": [{"name": "cut the network", "status": "done"}]}),
            json!({"status": "completed", "output": {"hosts": 1}}),
        ];
        self.patch("playbook", "pb_1", &steps).await;
        self.patch("playbook", "pb_2", &[json!({"status": "failed", "error": "no access"})]).await;
        self.patch("case", "case_1", &[json!({"status": "closed", "resolution": "password changed"})]).await;
    }

    async fn work(&self) {
        let inference = json!({"agent_id": "worker-1", "query": "what next?", "priority": "low", "estimated_duration": 9});
        for id in ["inf_1", "inf_2"] {
            self.create("inference", id, inference.clone()).await;
        }
        let summary = json!({"confidence": 0.5, "key_findings": ["a", "b"]});
        let steps = [
            json!({"progress": 0.25, "stage": "reading", "estimated_remaining": 6}),
            json!({"status": "completed", "result_summary": summary}),
        ];
        self.patch("inference", "inf_1", &steps).await;
        let failed = json!({"status": "failed", "error_code": "TIMEOUT", "error_message": "took too long"});
        self.patch("inference", "inf_2", &[failed]).await;

        for id in ["proj_1", "proj_2"] {
            self.create("project", id, json!({"name": "shop", "template": "web"})).await;
        }
        self.create("validation", "val_1", json!({"project_id": "proj_1", "checks_total": 4})).await;
        let steps = [
            json!({"checks_completed": 2, "current_check": "lint"}),
            json!({"status": "passed", "summary": {"tests_passed": 4, "tests_failed": 0, "coverage": 80}}),
        ];
        self.patch("validation", "val_1", &steps).await;
        let steps = [
            json!({"progress": 40, "current_step": "manifests", "files": ["a.yaml"]}),
            json!({"status": "completed", "files": ["a.yaml", "b.yaml"]}),
        ];
        self.patch("project", "proj_1", &steps).await;
        self.patch("project", "proj_2", &[json!({"status": "failed", "error": "no template"})]).await;
    }

    async fn graph(&self) {
        for id in ["entity_1", "entity_2"] {
            let entity = json!({"type": "host", "label": id, "properties": {"rack": "r1", "owner": "ops"}});
            self.create("entity", id, entity).await;
        }
        self.patch("entity", "entity_1", &[json!({"label": "renamed"})]).await;
        let between = json!({"source_id": "entity_1", "target_id": "entity_2", "relationship_type": "talks_to", "strength": 0.5});
        self.create("relationship", "rel_1", between).await;
        self.patch("relationship", "rel_1", &[json!({"strength": 0.75})]).await;
    }

    /// Each occurrence as the catalog shows it, about something that is there.
    async fn occurrences(&self) {
        let occurrences = catalog::event_types().filter(|known| known.origin == catalog::Origin::Occurrence);
        for occurrence in occurrences {
            let mut data = occurrence.example.clone();
            for (field, kind) in &occurrence.references {
                let id = if *kind == "agent" { "worker-1".into() } else { format!("{kind}_1") };
                data[*field] = id.into();
            }
            if occurrence.name == "log.line" {
                data["data"] = json!({"service_name": "cache", "action": "added"});
            }
            let published = self.operator.publish(occurrence.name, data).await.expect("the call is good");
            assert_eq!(published.error, "", "{}", occurrence.name);
        }
    }

    async fn keys(&self) {
        let create = v1::CreateApiKeyRequest {
            name: "dashboard".into(),
            role: v1::Role::Viewer.into(),
            ..v1::CreateApiKeyRequest::default()
        };
        let created =
            self.admin.access().create_api_key(create).await.expect("the name is good").into_inner();
        let revoke = v1::RevokeApiKeyRequest { key_id: created.key.unwrap_or_default().key_id };
        self.admin.access().revoke_api_key(revoke).await.expect("the key is there");
    }

    async fn enrolment(&self, state: &State) {
        let create = v1::CreateEnrolmentTokenRequest {
            name: "web servers".into(),
            uses_max: 50,
            agent_id_pattern: "web-*".into(),
            labels: BTreeMap::from([("env".into(), "prod".into())]),
            ..v1::CreateEnrolmentTokenRequest::default()
        };
        let created = self.admin.access().create_enrolment_token(create).await.expect("the token is new");
        let created = created.into_inner();
        let enrol = v1::EnrolRequest {
            agent_id: "web-1".into(),
            idempotency_key: "the proof of the agent web-1".into(),
            ..v1::EnrolRequest::default()
        };
        let newcomer = Client::with_token(state.channel(), &created.secret);
        newcomer.access().enrol(enrol).await.expect("the token is good");
        let revoke = v1::RevokeEnrolmentTokenRequest { token_id: created.token.unwrap_or_default().token_id };
        self.admin.access().revoke_enrolment_token(revoke).await.expect("the token is there");
    }

    async fn deletions(&self) {
        for (kind, id) in [
            ("relationship", "rel_1"),
            ("entity", "entity_2"),
            ("validation", "val_1"),
            ("project", "proj_2"),
            ("inference", "inf_2"),
            ("playbook", "pb_2"),
            ("investigation", "inv_2"),
            ("alert", "alert_1"),
            ("case", "case_1"),
            ("rule", "rule_1"),
            ("remediation", "rem_3"),
            ("analysis", "ana_2"),
            ("incident", "inc_1"),
        ] {
            self.operator.delete(kind, id).await.unwrap_or_else(|error| panic!("{kind} {id}: {error}"));
        }
    }

    async fn own_kind(&self) -> Vec<&'static str> {
        let kind = |doc: &str| v1::ApplyKindRequest {
            kind: Some(v1::Kind {
                name: "ticket".into(),
                doc: doc.into(),
                schema: r#"{"type": "object", "properties": {"title": {"type": "string"}}}"#.into(),
                ..v1::Kind::default()
            }),
            ..v1::ApplyKindRequest::default()
        };
        for doc in ["A request.", "A request of a customer."] {
            self.admin.catalog().apply_kind(kind(doc)).await.expect("the kind is well formed");
        }
        self.create("ticket", "t-1", json!({"title": "a"})).await;
        self.patch("ticket", "t-1", &[json!({"title": "b"})]).await;
        self.operator.delete("ticket", "t-1").await.expect("the ticket is there");
        let delete = v1::DeleteKindRequest { name: "ticket".into(), ..v1::DeleteKindRequest::default() };
        self.admin.catalog().delete_kind(delete).await.expect("the kind is there");
        vec!["ticket"]
    }
}
