//! Commands that ended long ago are forgotten with the age of the log; those that have not ended stay.

use secrecy::ExposeSecret as _;
use signalbox_identity::Role;
use signalbox_proto::v1::{self, issue_command_request::Target};
use signalbox_testbed::{AgentWire, Client, State, TENANT, database, hello, soon};
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

/// A command of so many days ago, with an execution of each state.
async fn old(pool: &PgPool, tenant: &str, days: i32, states: &[&str]) -> String {
    let command_id: Uuid = sqlx::query_scalar(
        "INSERT INTO commands
         SELECT $1, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
                     || substr(md5(random()::text), 1, 20))::uuid, 'stop', '{}', 'ann', at, at, ''
         FROM (SELECT now() - make_interval(days => $2) AS at) AS long_ago
         RETURNING command_id",
    )
    .bind(tenant)
    .bind(days)
    .fetch_one(pool)
    .await
    .expect("a command can be written");
    for (n, state) in states.iter().enumerate() {
        sqlx::query(
            "INSERT INTO command_executions
             SELECT tenant_id, command_id, $2, $3, NULL, '', 1, deadline, deadline, 1, NULL, NULL
             FROM commands WHERE command_id = $1",
        )
        .bind(command_id)
        .bind(format!("web-{n}"))
        .bind(state)
        .execute(pool)
        .await
        .expect("an execution can be written");
    }
    command_id.to_string()
}

async fn is_known(client: &Client, command_id: &str) -> bool {
    let request = v1::GetCommandRequest { command_id: command_id.into() };
    match client.commands().get_command(request).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::NotFound, "{status:?}");
            false
        }
    }
}

#[tokio::test]
async fn commands_are_forgotten_when_their_log_is_and_what_is_open_stays() {
    let database = database().await;
    let pool = PgPool::connect(database.expose_secret()).await.unwrap();
    // Migrates. What is made older below must not be looked at halfway.
    State::start(&database).await.stop().await;
    for tenant in [TENANT, "keeper"] {
        sqlx::query("INSERT INTO tenants (tenant_id) VALUES ($1)").bind(tenant).execute(&pool).await.unwrap();
    }
    sqlx::query("UPDATE tenants SET retention_age_s = 0 WHERE tenant_id = 'keeper'")
        .execute(&pool)
        .await
        .unwrap();
    let ended = old(&pool, TENANT, 32, &["SUCCEEDED", "FAILED", "UNKNOWN"]).await;
    let young = old(&pool, TENANT, 29, &["SUCCEEDED"]).await;
    let told_lately = old(&pool, TENANT, 40, &["UNKNOWN", "SUCCEEDED"]).await;
    sqlx::query(
        "UPDATE command_executions SET updated_at = now() WHERE command_id = $1 AND agent_id = 'web-1'",
    )
    .bind(Uuid::try_parse(&told_lately).unwrap())
    .execute(&pool)
    .await
    .unwrap();
    let open = old(&pool, TENANT, 40, &["SUCCEEDED", "IN_PROGRESS"]).await;
    // It is open for longer than any may be: nobody gives it up meanwhile.
    sqlx::query(
        "UPDATE command_executions SET deadline = now() + interval '1 day' WHERE state = 'IN_PROGRESS'",
    )
    .execute(&pool)
    .await
    .unwrap();
    old(&pool, "keeper", 400, &["SUCCEEDED"]).await;
    // More than go in one transaction.
    for _ in 0..600 {
        old(&pool, TENANT, 50, &["CANCELED"]).await;
    }
    let (a, b) = (
        State::start_with(&database, |config| config.retention_interval_ms = 100).await,
        State::start_with(&database, |config| config.retention_interval_ms = 100).await,
    );
    drop(AgentWire::open(a.channel(), hello("web-9")).await.unwrap());
    let request = v1::IssueCommandRequest {
        name: "stop".into(),
        target: Some(Target::AgentId("web-9".into())),
        ..v1::IssueCommandRequest::default()
    };
    let operator = Client::new(a.channel(), Role::Operator);
    let new =
        operator.commands().issue_command(request).await.unwrap().into_inner().command.unwrap().command_id;
    soon("forgetting", async {
        let left = "SELECT count(*) FROM commands";
        while sqlx::query_scalar::<_, i64>(left).fetch_one(&pool).await.unwrap() > 5 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let viewer = Client::new(b.channel(), Role::Viewer);
    assert!(!is_known(&viewer, &ended).await);
    for command_id in [&young, &told_lately, &open, &new] {
        assert!(is_known(&viewer, command_id).await);
    }
    let executions: i64 =
        sqlx::query_scalar("SELECT count(*) FROM command_executions").fetch_one(&pool).await.unwrap();
    assert_eq!(executions, 1 + 2 + 2 + 1 + 1, "executions go with their command, and no others");
    for state in [a, b] {
        state.stop().await;
    }
}
