//! Who the service works as in Postgres: one whom the policies between tenants bind. They bind the owner of the
//! tables, but neither superusers nor roles with BYPASSRLS; where such a one logs in, the service works as a plain role,
//! made for that, which may read and write rows and nothing else.

use sqlx::{Connection as _, Executor as _, PgConnection};

/// The role that the service works as where the login itself is not bound. It belongs to the whole cluster and may
/// not log in; what it may do in a database is granted there.
const ROLE: &str = "signalbox_rows";

/// Makes the role. Tests and others make it in several databases of a cluster at once.
const MAKE: &str = "DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'signalbox_rows') THEN
        CREATE ROLE signalbox_rows NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$";

/// Lets the role at the rows of the service's tables. Those in partitions it reaches through their table alone.
const GRANT: &str = "DO $$
DECLARE granted regclass;
BEGIN
    FOR granted IN
        SELECT c.oid FROM pg_class c
        WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'tenants'::regclass)
          AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> '_sqlx_migrations'
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO signalbox_rows', granted);
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO signalbox_rows',
                   (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'tenants'::regclass));
END $$";

/// What keeps one tenant's rows from another's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wall {
    /// The policies bind the login itself.
    Login,
    /// They bind the role that the service works as.
    Role,
    /// They bind nobody: the login passes them by, and may not work as another.
    None,
}

impl Wall {
    /// The role that connections are to work as.
    pub(super) const fn role(self) -> &'static str {
        match self {
            Self::Role => ROLE,
            Self::Login | Self::None => "none",
        }
    }
}

/// Looks whether the login is bound by the policies, and where it is not, makes sure of a role that is.
///
/// # Errors
///
/// When the database cannot be asked. That there can be no such role is no error.
pub(super) async fn raise(connection: &mut PgConnection) -> Result<Wall, sqlx::Error> {
    if !passes(connection).await? {
        return Ok(Wall::Login);
    }
    match work_as_role(connection).await {
        Ok(true) => Ok(Wall::Role),
        Ok(false) => {
            tracing::warn!(
                role = ROLE,
                "the role has attributes that let it pass the policies between tenants"
            );
            Ok(Wall::None)
        }
        Err(error) if is_denied(&error) => {
            tracing::warn!(%error, role = ROLE, "the login may not work as a role that the policies between tenants bind");
            Ok(Wall::None)
        }
        Err(error) => Err(error),
    }
}

/// Whether policies do not hold for the current role.
async fn passes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT rolsuper OR rolbypassrls AS "passes!" FROM pg_roles WHERE rolname = current_user"#
    )
    .fetch_one(connection)
    .await
}

/// Makes the role where it is missing, lets it at the rows where it may not, and tries it.
#[expect(clippy::disallowed_methods, reason = "whoever gives up on this gives up on the connection too")]
async fn work_as_role(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // Two replicas that grant at once would be in each other's way.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('signalbox.wall'))")
        .execute(&mut *transaction)
        .await?;
    transaction.execute(MAKE).await?;
    if !may_become(&mut transaction).await? {
        transaction.execute("GRANT signalbox_rows TO SESSION_USER").await?;
    }
    let lacking = sqlx::query_scalar!(
        r#"SELECT count(*) AS "lacking!"
           FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted
           WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'tenants'::regclass)
             AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> '_sqlx_migrations'
             AND NOT has_table_privilege($1::text::name, c.oid, wanted)"#,
        ROLE,
    )
    .fetch_one(&mut *transaction)
    .await?;
    if lacking > 0 {
        transaction.execute(GRANT).await?;
    }
    transaction.execute("SET LOCAL ROLE signalbox_rows").await?;
    let passes = passes(&mut transaction).await?;
    transaction.execute("SET LOCAL ROLE NONE").await?;
    transaction.commit().await?;
    Ok(!passes)
}

/// Whether the login may work as the role without having been made a member: superusers may.
async fn may_become(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT rolsuper AS "may!" FROM pg_roles WHERE rolname = session_user"#)
        .fetch_one(connection)
        .await
}

/// Whether the login lacks a right, rather than the database being away.
fn is_denied(error: &sqlx::Error) -> bool {
    // 42501: insufficient privilege; class 0L and 0P: who may not grant, and roles that cannot be used.
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "42501" || code.starts_with("0L") || code.starts_with("0P"))
}
