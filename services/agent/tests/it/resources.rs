//! What an agent reports of resources, and what it hears of it.

use std::sync::Arc;

use serde_json::{Value, json};
use signalbox_agent::{
    Agent, Command, CommandError, Config, Handle, Handler, JsonObject, NotAccepted, ReportError, RunKind,
};
use signalbox_proto::v1::{Rejection, ResourceChange, report::Body, resource_change::Change};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    server::{Session, TestServer},
    soon,
};

struct Idle;

impl Handler for Idle {
    fn check(&self, _: &Command) -> Result<(), signalbox_agent::Rejection> {
        Ok(())
    }

    async fn execute(&self, _: Command) -> Result<JsonObject, CommandError> {
        Ok(JsonObject::new())
    }
}

async fn connected() -> (Handle, Session, DropGuard) {
    let mut server = TestServer::start().await;
    let agent = Agent::open(Config::new(server.url(), "t".into(), "triage-1")).unwrap();
    let (handle, stop) = (agent.handle(), CancellationToken::new());
    tokio::spawn(agent.run(Arc::new(Idle), stop.clone()));
    (handle, server.welcomed(0).await, stop.drop_guard())
}

impl Session {
    /// The changes of the next report.
    async fn changes(&mut self) -> Vec<ResourceChange> {
        match self.report().await.body {
            Some(Body::Resources(batch)) => batch.changes,
            other => panic!("expected changes of resources, got {other:?}"),
        }
    }

    /// The one change of the next report: its kind, its id, and what is done.
    async fn change(&mut self) -> (String, String, Value) {
        let [change] = self.changes().await.try_into().unwrap();
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let done = match change.change.unwrap() {
            Change::Create(data) => json!({"create": json(&data)}),
            Change::MergePatch(patch) => json!({"patch": json(&patch)}),
            Change::Delete(delete) => json!({ "delete": delete }),
        };
        (change.kind, change.id, done)
    }
}

#[tokio::test]
async fn a_resource_is_created_changed_and_deleted_under_the_id_that_the_agent_made() {
    let (handle, mut session, _stop) = connected().await;
    let (id, created) = handle.create_resource("rule", json!({"name": "r"})).await.unwrap();
    assert!(id.starts_with("rule_"));
    let updated = handle.update_resource("rule", &id, json!({"enabled": false})).await.unwrap();
    handle.delete_resource("rule", &id).await.unwrap();
    let expected =
        [json!({"create": {"name": "r"}}), json!({"patch": {"enabled": false}}), json!({"delete": true})];
    for done in expected {
        assert_eq!(session.change().await, ("rule".to_owned(), id.clone(), done));
    }
    session.refuse(2, "merge_patch.enabled", "expected true").await;
    soon("a word", created.accepted()).await.unwrap();
    let error = soon("a word", updated.accepted()).await.unwrap_err();
    assert_eq!(error.to_string(), "the server refused what was reported: INVALID_ARGUMENT: expected true");
    let wrong = handle.create_resource("rule", json!([])).await.unwrap_err();
    assert_eq!(wrong, ReportError::NoObject("an array".into()));
}

#[tokio::test]
async fn a_run_keeps_its_lists_and_ends_in_the_words_of_its_kind() {
    let (handle, mut session, _stop) = connected().await;
    let data = json!({"question": "who?", "steps": [{"title": "a"}]});
    let (mut run, _) = handle.begin_run(RunKind::Investigation, data.clone()).await.unwrap();
    let id = run.id().to_owned();
    assert_eq!(session.change().await, ("investigation".into(), id, json!({ "create": data })));
    run.append("steps", json!({"title": "b"})).await.unwrap();
    run.append("findings", json!({"title": "c"})).await.unwrap();
    run.append("steps", json!({"title": "d"})).await.unwrap();
    run.complete(json!({"summary": "nobody"})).await.unwrap();
    let patches = [
        json!({"steps": [{"title": "a"}, {"title": "b"}]}),
        json!({"findings": [{"title": "c"}]}),
        json!({"steps": [{"title": "a"}, {"title": "b"}, {"title": "d"}]}),
        json!({"summary": "nobody", "status": "completed"}),
    ];
    for patch in patches {
        assert_eq!(session.change().await.2, json!({ "patch": patch }));
    }

    let ends = [
        (RunKind::Analysis, json!({"status": "FAILED", "error": "e"})),
        (RunKind::Inference, json!({"status": "failed", "error_message": "e"})),
        (RunKind::Validation, json!({"status": "error", "error": "e"})),
    ];
    for (kind, patch) in ends {
        let (run, _) = handle.begin_run(kind, json!({})).await.unwrap();
        let (_, id, _) = session.change().await;
        run.fail("e").await.unwrap();
        assert_eq!(session.change().await, (kind.name().to_owned(), id, json!({ "patch": patch })));
    }
    let (run, _) = handle.begin_run(RunKind::Validation, json!({})).await.unwrap();
    run.complete(json!({"status": "failed"})).await.unwrap();
    session.change().await;
    assert_eq!(session.change().await.2, json!({"patch": {"status": "failed"}}));
}

#[tokio::test]
async fn refused_items_are_named_by_their_place_among_all_that_were_given() {
    let (handle, mut session, _stop) = connected().await;
    let change = |at: usize| ResourceChange {
        kind: "entity".into(),
        id: at.to_string(),
        change: Some(Change::Delete(true)),
    };
    let receipt = handle.resources((0..150).map(change).collect()).await.unwrap();
    assert_eq!((session.changes().await.len(), session.changes().await.len()), (100, 50));
    let rejection = |sequence, item| Rejection { sequence, item: Some(item), ..Rejection::default() };
    session.ack_with(2, vec![rejection(1, 3), rejection(1, 99), rejection(2, 0)]).await;
    let Err(NotAccepted::Refused(refusals)) = soon("a word", receipt.accepted()).await else {
        panic!("expected refusals")
    };
    assert_eq!(
        refusals.iter().map(|refusal| refusal.item).collect::<Vec<_>>(),
        [Some(3), Some(99), Some(100)]
    );
    assert_eq!(handle.refused(), 3);
}
