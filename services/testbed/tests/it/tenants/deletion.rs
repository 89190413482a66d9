//! Deleted tenants: nothing is left of one, whatever happens while it goes, and it does not come back by itself.

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_state::{TENANT_LOG_TABLE, TENANT_TABLES};
use signalbox_testbed::{AgentWire, TENANT, hello, status_report};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::*;
use crate::api_keys::sockets::{EVERY_PLACE, Socket, edge};

/// How long a deletion may take: what is little is gone when everybody has heard of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every table that has a column of this name, but for the partitions of others.
async fn tables(database: &SecretString) -> (PgConnection, Vec<String>) {
    let mut connection = PgConnection::connect(database.expose_secret()).await.unwrap();
    let rows = sqlx::query(
        "SELECT c.table_name::text FROM information_schema.columns c
         JOIN pg_class k ON k.relname = c.table_name AND NOT k.relispartition AND k.relkind IN ('r', 'p')
         WHERE c.column_name = 'tenant_id' AND c.table_schema = 'public' ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    (connection, rows.iter().map(|row| row.get(0)).collect())
}

/// The tables in which a tenant has rows.
async fn left(database: &SecretString, tenant_id: &str) -> Vec<String> {
    let (mut connection, tables) = tables(database).await;
    let mut left = Vec::new();
    for table in tables {
        let count = format!("SELECT count(*) FROM {table} WHERE tenant_id = $1");
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
            .bind(tenant_id)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        if rows > 0 {
            left.push(table);
        }
    }
    left
}

/// Gives a tenant something in nearly every table.
async fn fill(state: &State, tenant_id: &str, events: usize) {
    let (admin, operator) = (of(state, tenant_id, Role::Admin), of(state, tenant_id, Role::Operator));
    let agent = of(state, tenant_id, Role::Agent);
    let mut session = AgentWire::open_as(&agent, hello("web-1")).await.unwrap();
    session.report(status_report(1, v1::AgentStatus::Failed, "signal_9")).await;
    session.acknowledged(1).await;
    let issue = v1::IssueCommandRequest {
        name: "stop".into(),
        target: Some(v1::issue_command_request::Target::AgentId("web-1".into())),
        idempotency_key: "once".into(),
        ..v1::IssueCommandRequest::default()
    };
    admin.commands().issue_command(issue).await.unwrap();
    let incident =
        serde_json::json!({"type": "intrusion", "severity": "HIGH", "project_id": "web", "region": "north"});
    operator.create("incident", "", incident).await.unwrap();
    let key = v1::CreateApiKeyRequest {
        name: "reports".into(),
        role: v1::Role::Viewer.into(),
        ..v1::CreateApiKeyRequest::default()
    };
    admin.access().create_api_key(key).await.unwrap();
    for _ in 0..events.div_ceil(100) {
        let event = v1::EventInput {
            r#type: "detection.triggered".into(),
            data: r#"{"title":"x","severity":"high","entity":"ann","source":"10.0.0.1"}"#.into(),
            ..v1::EventInput::default()
        };
        let events = vec![event; events.min(100)];
        let request = v1::PublishRequest { events, ..v1::PublishRequest::default() };
        operator.events().publish(request).await.unwrap();
    }
}

/// Waits until a tenant is gone.
async fn gone(state: &State, tenant_id: &str) {
    let gone = async {
        while get(&platform(state), tenant_id).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the deletion ends");
}

#[tokio::test]
async fn every_table_with_tenants_is_known_to_the_deletion() {
    let database = database().await;
    State::start(&database).await.stop().await;
    let mut known: Vec<_> = TENANT_TABLES.into_iter().chain([TENANT_LOG_TABLE, "tenants"]).collect();
    known.sort_unstable();
    assert_eq!(tables(&database).await.1, known, "a table is missing in the list of those that are emptied");
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_tenant_and_its_tokens_do_not_bring_it_back() {
    let database = database().await;
    let (one, two) = (State::start(&database).await, State::start(&database).await);
    let edge = edge(&one).await;
    let mut socket = Socket::open(&edge, EVERY_PLACE[3], &token(TENANT, Role::Viewer)).await;
    assert!(socket.is_open().await);
    fill(&one, TENANT, 300).await;
    fill(&two, "other", 1).await;
    let cursor = of(&one, TENANT, Role::Viewer).watch().read(v1::ReadRequest::default()).await.unwrap();
    let cursor = cursor.into_inner().next.unwrap();
    let full = left(&database, TENANT).await;
    for table in ["agents", "api_keys", "command_executions", "events", "idempotency_keys", "resources"] {
        assert!(full.contains(&table.to_owned()), "{full:?}");
    }
    let mistaken = v1::DeleteTenantRequest { tenant_id: TENANT.into(), confirm_tenant_id: "acmee".into() };
    let refused = platform(&one).tenants().delete_tenant(mistaken).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    assert_eq!(delete(&one, TENANT).await.unwrap().state(), v1::TenantState::Deleting);
    assert_eq!(socket.closed().await, 1008);
    let refused = publish(&of(&one, TENANT, Role::Operator)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "the tenant is being deleted"));
    gone(&two, TENANT).await;
    assert_eq!(left(&database, TENANT).await, [""; 0]);
    assert!(!left(&database, "other").await.is_empty(), "another tenant is none of its business");
    let refused = publish(&of(&two, TENANT, Role::Operator)).await.unwrap_err();
    assert!(refused.message().contains("the tenant does not exist"), "{refused}");
    assert_eq!(left(&database, TENANT).await, [""; 0], "its use does not begin it anew");

    create(&two, TENANT, v1::TenantLimits::default()).await.unwrap();
    served(&of(&one, TENANT, Role::Viewer), true).await;
    let old = v1::ReadRequest { after: Some(cursor), ..v1::ReadRequest::default() };
    let refused = of(&one, TENANT, Role::Viewer).watch().read(old).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert!(refused.message().contains("other_epoch"), "{refused}");
    edge.stop().await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn what_a_replica_leaves_of_a_deletion_another_finishes() {
    let database = database().await;
    let (one, two) = (State::start(&database).await, State::start(&database).await);
    fill(&one, TENANT, 20_000).await;
    delete(&one, TENANT).await.unwrap();
    // In the midst of it: some is gone, and the most is left.
    soon("begin of the deletion", async {
        while left(&database, TENANT).await.contains(&"agents".to_owned()) {}
    })
    .await;
    one.crash();
    gone(&two, TENANT).await;
    assert_eq!(left(&database, TENANT).await, [""; 0]);
    two.stop().await;
}
