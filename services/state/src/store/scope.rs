//! Connections to Postgres, each of which sees the rows of those tenants only that it was taken for: the policies of
//! the schema compare each row's tenant with a setting, and here alone it is set. A connection that nobody has set it
//! on sees no tenant's rows.
//!
//! Invariants: nothing outside of `store` is given the pool itself, and a transaction on a connection of the pool is
//! begun here alone.

use std::panic::resume_unwind;

use sqlx::{
    PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::timeout;

use super::ACQUIRE_TIMEOUT;

/// A connection in use; it goes back to the pool when it is dropped.
pub(crate) type Connection = PoolConnection<Postgres>;

/// A transaction on a connection of its own; it is rolled back when it is dropped.
pub(crate) type Transaction = sqlx::Transaction<'static, Postgres>;

/// What the setting is for work on the rows of every tenant.
const EVERY_TENANT: &str = "*";

/// Gives out connections for the rows of tenants that are named. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TenantPool {
    pool: PgPool,
}

/// Gives out connections for the rows of all tenants, for the service's own work: leases, deadlines, retention,
/// what edges hold, and whose an API key is. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SystemPool {
    tenants: TenantPool,
}

impl TenantPool {
    /// A connection for the rows of one tenant.
    pub(crate) async fn of(&self, tenant_id: &str) -> Result<Connection, sqlx::Error> {
        self.of_all(&[tenant_id.to_owned()]).await
    }

    /// A connection for the rows of several tenants; of none, where none is named.
    pub(crate) async fn of_all(&self, tenant_ids: &[String]) -> Result<Connection, sqlx::Error> {
        self.acquire(Scope::Tenants(tenant_ids)).await
    }

    /// As [`Self::of_all`], in a transaction.
    pub(crate) async fn begin(&self, tenant_ids: &[String]) -> Result<Transaction, sqlx::Error> {
        begin(self.of_all(tenant_ids).await?, None).await
    }

    /// As [`Self::of`], in a transaction that begins with this statement.
    pub(crate) async fn begin_with(
        &self,
        tenant_id: &str,
        statement: &'static str,
    ) -> Result<Transaction, sqlx::Error> {
        begin(self.of(tenant_id).await?, Some(statement)).await
    }

    /// To set it tells as well as a ping whether the connection lives: one that died while it was idle is left, and
    /// the next is tried, at most all that there are and a new one.
    async fn acquire(&self, scope: Scope<'_>) -> Result<Connection, sqlx::Error> {
        let acquired = async {
            for _ in 0..self.pool.options().get_max_connections() {
                let mut connection = self.pool.acquire().await?;
                match scope.set(&mut connection).await {
                    Err(error) if is_lost(&error) => tracing::debug!(%error, "an idle connection is lost"),
                    set => return set.map(|()| connection),
                }
            }
            let mut connection = self.pool.acquire().await?;
            scope.set(&mut connection).await.map(|()| connection)
        };
        timeout(ACQUIRE_TIMEOUT, acquired).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}

impl SystemPool {
    /// Connections of a pool that tests none before it is used: that is done here.
    pub(super) const fn new(pool: PgPool) -> Self {
        Self { tenants: TenantPool { pool } }
    }

    /// The same connections, for those who work for tenants.
    pub(crate) const fn tenants(&self) -> &TenantPool {
        &self.tenants
    }

    /// A connection for the rows of every tenant.
    pub(crate) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        self.tenants.acquire(Scope::Every).await
    }

    /// As [`Self::acquire`], in a transaction.
    pub(crate) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        begin(self.acquire().await?, None).await
    }

    /// A connection of its own that hears notifications, and sees no tenant's rows. It comes back by itself.
    pub(crate) async fn listener(&self) -> Result<PgListener, sqlx::Error> {
        let options = self.tenants.pool.connect_options();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with((*options).clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        Ok(listener)
    }

    /// Waits until every connection is given back and closed.
    pub(crate) async fn close(&self) {
        self.tenants.pool.close().await;
    }
}

/// Begins a transaction, in a task of its own: callers go away at any time, and if one went while the database is asked
/// to begin, sqlx would put the connection back into the pool with the transaction open
/// (<https://github.com/launchbadge/sqlx/issues/4393>). The next to use it would write into a transaction that nobody
/// commits. So the beginning always comes to its end, and what nobody waits for any more is rolled back.
async fn begin(connection: Connection, statement: Option<&'static str>) -> Result<Transaction, sqlx::Error> {
    let begun = tokio::spawn(Transaction::begin(connection, statement.map(sqlx::SqlSafeStr::into_sql_str)));
    match begun.await {
        Ok(begun) => begun,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends.
            Err(_) => Err(sqlx::Error::WorkerCrashed),
        },
    }
}

/// Opens the rows of every tenant to a connection that is of no pool.
pub(crate) async fn every_tenant(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    Scope::Every.set(connection).await
}

/// Whose rows a connection is for.
#[derive(Debug, Clone, Copy)]
enum Scope<'a> {
    Tenants(&'a [String]),
    Every,
}

impl Scope<'_> {
    async fn set(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        match self {
            // Postgres itself writes the array, so that no name has to be quoted here.
            Self::Tenants(tenant_ids) => {
                sqlx::query_scalar!(
                    "SELECT set_config('signalbox.tenants', $1::text[]::text, false)",
                    tenant_ids
                )
                .fetch_one(connection)
                .await
            }
            Self::Every => {
                sqlx::query_scalar!("SELECT set_config('signalbox.tenants', $1, false)", EVERY_TENANT)
                    .fetch_one(connection)
                    .await
            }
        }
        .map(drop)
    }
}

/// Whether the connection has ended, rather than having refused what it was given.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        // Class 57: the server ends the connection, or itself.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}
