//! The second wall between tenants: what Postgres itself keeps from a connection that tries.

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_settings::Profile;
use signalbox_state::{Config, Error, Server};
use signalbox_testbed::{Client, State, TENANT, database, token_config};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

/// What Postgres answers to what a role may not do, policies included.
const DENIED: &str = "42501";

async fn connect(database: &SecretString) -> PgConnection {
    PgConnection::connect(database.expose_secret()).await.expect("the tests' Postgres answers")
}

async fn run(connection: &mut PgConnection, statement: impl Into<String>) {
    let statement = statement.into();
    if let Err(error) = connection.execute(AssertSqlSafe(statement.clone())).await {
        panic!("{statement}: {error}");
    }
}

async fn count(connection: &mut PgConnection, query: String) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await
}

/// Every table with rows of tenants, partitions among them, by name; and whether it is a partition.
pub(crate) async fn tables(connection: &mut PgConnection) -> Vec<(String, bool)> {
    let rows = sqlx::query(
        "SELECT c.table_name::text, p.relispartition FROM information_schema.columns c
         JOIN pg_class p ON p.oid = format('%I.%I', c.table_schema, c.table_name)::regclass
         WHERE c.table_schema = current_schema() AND c.column_name = 'tenant_id' AND p.relkind IN ('r', 'p')
         ORDER BY 1",
    );
    let rows = rows.fetch_all(connection).await.expect("the catalog can be read");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Gives a tenant a row of a table, whatever its columns are.
async fn fill(connection: &mut PgConnection, table: &str, tenant: &str) {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT column_name::text, udt_name::text FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name = $1 AND is_nullable = 'NO'
           AND column_default IS NULL AND column_name <> 'tenant_id'",
    )
    .bind(table)
    .fetch_all(&mut *connection)
    .await
    .expect("the catalog can be read");
    let value = |udt: &str| match udt {
        "text" => format!("'of {tenant}'"),
        "int4" | "int8" => "1".to_owned(),
        "bool" => "false".to_owned(),
        "uuid" => "gen_random_uuid()".to_owned(),
        "json" | "jsonb" => "'{}'".to_owned(),
        "timestamptz" | "date" => "now()".to_owned(),
        "bytea" => r"'\x00'".to_owned(),
        other => panic!("{table}: say here what a value of the type {other} is"),
    };
    let names: String = columns.iter().map(|(name, _)| format!(", {name}")).collect();
    let values: String = columns.iter().map(|(_, udt)| format!(", {}", value(udt))).collect();
    run(connection, format!("INSERT INTO {table} (tenant_id{names}) VALUES ('{tenant}'{values})")).await;
}

/// A database in which the tenants `a` and `b` have rows in every table.
async fn filled() -> (SecretString, Vec<(String, bool)>) {
    let database = database().await;
    State::start(&database).await.stop().await;
    let mut connection = connect(&database).await;
    // What a row refers to need not be there.
    run(&mut connection, "SET session_replication_role = replica").await;
    let tables = tables(&mut connection).await;
    for (table, _) in tables.iter().filter(|(_, is_partition)| !is_partition) {
        for tenant in ["a", "b"] {
            fill(&mut connection, table, tenant).await;
        }
    }
    (database, tables)
}

/// Every row of a tenant, as text.
pub(crate) async fn rows_of(
    connection: &mut PgConnection,
    tables: &[(String, bool)],
    tenant: &str,
) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, _) in tables {
        let query =
            format!("SELECT '{table} ' || t::text FROM {table} t WHERE tenant_id = '{tenant}' ORDER BY 1");
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_all(&mut *connection)
            .await
            .expect("rows are read");
        rows.extend(found);
    }
    rows
}

/// Tries a statement, undoes it, and says how many rows it had, or that it was denied.
#[expect(clippy::disallowed_methods, reason = "nobody gives up on it")]
async fn attempt(connection: &mut PgConnection, statement: String) -> Option<u64> {
    let mut transaction = connection.begin().await.expect("the tests' Postgres answers");
    let tried = transaction.execute(AssertSqlSafe(statement.clone())).await;
    // At once: what is only dropped keeps its locks until the connection is used again.
    transaction.rollback().await.expect("the tests' Postgres answers");
    match tried {
        Ok(done) => Some(done.rows_affected()),
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code().map(String::from));
            assert_eq!(code.as_deref(), Some(DENIED), "{statement}: {error}");
            None
        }
    }
}

/// Tries whatever may be tried at a table on behalf of `a`, and then of nobody. `reaches` tells whether the role may
/// use the table by its name at all.
async fn try_all(connection: &mut PgConnection, table: &str, reaches: bool) {
    run(connection, "SET signalbox.tenants = '{a}'").await;
    let own = attempt(connection, format!("SELECT FROM {table} WHERE tenant_id = 'a'")).await;
    assert_eq!(own.is_some(), reaches, "{table}");
    for statement in [
        format!("SELECT FROM {table} WHERE tenant_id <> 'a'"),
        format!("UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id = 'b'"),
        format!("UPDATE {table} SET tenant_id = 'a' WHERE tenant_id = 'b'"),
        format!("DELETE FROM {table} WHERE tenant_id = 'b'"),
    ] {
        assert_eq!(attempt(connection, statement.clone()).await.unwrap_or(0), 0, "{statement}");
    }
    if own.is_some_and(|own| own > 0) {
        let give = format!("UPDATE {table} SET tenant_id = 'b' WHERE tenant_id = 'a'");
        assert_eq!(attempt(connection, give).await, None, "{table}: a row is given away");
        let plant = format!(
            r#"INSERT INTO {table} SELECT (jsonb_populate_record(t, '{{"tenant_id": "b"}}')).* FROM {table} t"#
        );
        assert_eq!(attempt(connection, plant).await, None, "{table}: a row is planted");
    }
    for nobody in ["RESET signalbox.tenants", "SET signalbox.tenants = ''", "SET signalbox.tenants = '{}'"] {
        run(connection, nobody).await;
        for statement in [format!("SELECT FROM {table}"), format!("DELETE FROM {table}")] {
            assert_eq!(attempt(connection, statement.clone()).await.unwrap_or(0), 0, "{nobody}; {statement}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_tries_gets_no_row_of_another_tenant_out_of_any_table() {
    let (database, tables) = filled().await;
    let mut watcher = connect(&database).await;
    let before = rows_of(&mut watcher, &tables, "b").await;
    let filled = tables.iter().filter(|(_, is_partition)| !is_partition).count();
    assert!(filled > 10 && before.len() > filled, "{before:?}");

    let mut as_service = connect(&database).await;
    run(&mut as_service, "SET ROLE signalbox_rows").await;
    for (table, is_partition) in &tables {
        try_all(&mut as_service, table, !is_partition).await;
    }
    // An owner may reach every partition by its name, and is bound as well.
    let owner = format!("owner_{}", Uuid::new_v4().simple());
    run(&mut watcher, format!("CREATE ROLE {owner}")).await;
    for (table, _) in &tables {
        run(&mut watcher, format!("ALTER TABLE {table} OWNER TO {owner}")).await;
    }
    let mut as_owner = connect(&database).await;
    run(&mut as_owner, format!("SET ROLE {owner}")).await;
    for (table, _) in &tables {
        try_all(&mut as_owner, table, true).await;
    }
    // What is for everybody's rows does see them: it is the setting that kept them away.
    run(&mut as_owner, "SET signalbox.tenants = '*'").await;
    assert_eq!(rows_of(&mut as_owner, &tables, "b").await, before);
    assert_eq!(rows_of(&mut watcher, &tables, "b").await, before, "nothing was touched");
}

/// The same database for another login, which owns it.
async fn owned_by(database: &SecretString, attributes: &str) -> SecretString {
    let mut connection = connect(database).await;
    let login = format!("login_{}", Uuid::new_v4().simple());
    run(&mut connection, format!("CREATE ROLE {login} LOGIN PASSWORD 'pass' {attributes}")).await;
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut connection).await.unwrap();
    run(
        &mut connection,
        format!("ALTER DATABASE {name} OWNER TO {login}; GRANT ALL ON SCHEMA public TO {login}"),
    )
    .await;
    let (_, rest) = database.expose_secret().split_once("://").expect("a URL");
    let server = rest.split_once('@').map_or(rest, |(_, server)| server);
    format!("postgres://{login}:pass@{server}").into()
}

async fn agents(state: &State) -> usize {
    let client = Client::new(state.channel(), Role::Viewer);
    client.agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap().into_inner().agents.len()
}

/// Whether a replica sees what the policies let it see, and nothing else.
async fn is_bound(login: &SecretString, watcher: &mut PgConnection) -> bool {
    let state = State::start(login).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let new = v1::CreateAgentRequest { agent_id: "web-1".into(), ..v1::CreateAgentRequest::default() };
    admin.agents().create_agent(new).await.unwrap();
    assert_eq!(agents(&state).await, 1);
    run(watcher, format!("ALTER POLICY tenant_rows ON agents USING (tenant_id <> '{TENANT}')")).await;
    assert_eq!(count(watcher, "SELECT count(*) FROM agents".into()).await.unwrap(), 1);
    let seen = agents(&state).await;
    state.stop().await;
    seen == 0
}

#[tokio::test]
async fn a_replica_is_behind_the_wall_whether_its_login_is_a_superuser_or_owns_the_tables() {
    let superusers = database().await;
    assert!(is_bound(&superusers, &mut connect(&superusers).await).await);
    let owners = database().await;
    let login = owned_by(&owners, "").await;
    assert!(is_bound(&login, &mut connect(&owners).await).await);
}

#[tokio::test]
async fn a_login_that_can_only_pass_the_policies_by_is_refused_in_production() {
    let database = database().await;
    let login = owned_by(&database, "BYPASSRLS").await;
    let config = Config { profile: Profile::Production, ..Config::local(login.clone(), token_config()) };
    let refused = Server::bind(config).await.map(drop);
    assert!(matches!(refused, Err(Error::NoWall)), "{refused:?}");
    assert!(!is_bound(&login, &mut connect(&database).await).await, "in development it is warned of");
}
