//! Every SQL statement of the service, one file per aggregate. Set-based: a batch is read and written with
//! a constant number of statements.
//!
//! It must know no rules: it loads rows, and writes what the rules made of them.

pub(crate) mod agents;
pub(crate) mod api_keys;
pub(crate) mod commands;
pub(crate) mod enrolment_tokens;
pub(crate) mod events;
pub(crate) mod idempotency;
pub(crate) mod kinds;
pub(crate) mod metrics;
pub(crate) mod numbers;
pub(crate) mod partitions;
pub(crate) mod places;
pub(crate) mod replicas;
pub(crate) mod resources;
pub(crate) mod retention;
mod scope;
pub(crate) mod segments;
pub(crate) mod system;
pub(crate) mod tenants;
mod wall;

pub(crate) use scope::{SystemPool, TenantPool, Transaction, every_tenant};
pub(crate) use wall::Wall;

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    PgPool,
    migrate::{MigrateError, Migrator},
    postgres::PgPoolOptions,
};

use crate::domain::{Code, Error};

/// The schema, embedded in the program.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// How long a statement waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a caller may try again when the database could not be reached.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Opens a pool of at most `connections_max` connections, the one that listens among them, on which no statement runs
/// for longer than `statement_timeout`. What is behind the wall needs [`prepare`] to have answered `wall`.
///
/// # Errors
///
/// When the URL is malformed. The database itself is asked at the first use.
pub(crate) fn pool(
    url: &SecretString,
    connections_max: u32,
    statement_timeout: Duration,
    wall: Wall,
) -> Result<SystemPool, sqlx::Error> {
    let limit: Arc<str> = format!("{}ms", statement_timeout.as_millis()).into();
    let pool = PgPoolOptions::new()
        .max_connections(connections_max.saturating_sub(1).max(1))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let limit = Arc::clone(&limit);
            Box::pin(async move {
                sqlx::query!(
                    "SELECT set_config('statement_timeout', $1, false) AS statement_timeout, set_config('role', $2, false) AS role",
                    &*limit,
                    wall.role(),
                )
                .fetch_one(connection)
                .await
                .map(drop)
            })
        })
        .connect_lazy(url.expose_secret())?;
    Ok(SystemPool::new(pool))
}

/// Opens what [`prepare`] works on: one connection, since what it does may take longer than any other statement.
///
/// # Errors
///
/// When the URL is malformed. The database itself is asked at the first use.
pub(crate) fn first(url: &SecretString) -> Result<PgPool, sqlx::Error> {
    // A pool of one: a future that borrows a bare connection cannot be spawned.
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| Box::pin(every_tenant(connection)))
        .connect_lazy(url.expose_secret())
}

/// Brings the schema up to date, and says what keeps tenants apart from now on.
///
/// # Errors
///
/// When the database cannot be reached, or refuses.
pub(crate) async fn prepare(first: &PgPool) -> Result<Wall, MigrateError> {
    MIGRATIONS.run(first).await?;
    let mut connection = first.acquire().await?;
    Ok(wall::raise(&mut connection).await?)
}

/// What a caller is told when a read fails.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } = &error {
            tracing::error!(%error, "a row cannot be read");
            return Self::new(Code::Internal, "a row cannot be read");
        }
        tracing::warn!(%error, "the database cannot be read");
        Self::later(Code::Unavailable, "the database cannot be reached", RETRY_AFTER)
    }
}

/// A stored enum or number that this version does not know: the row was written by another.
pub(crate) fn unreadable(what: &str, value: impl std::fmt::Debug) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} {value:?} is not known to this version").into())
}

/// A count that the schema keeps from being negative.
pub(crate) fn unsigned(value: i64) -> Result<u64, sqlx::Error> {
    u64::try_from(value).map_err(|_| unreadable("number", value))
}

/// A count as Postgres stores it.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
