//! A server as seen by a client: its version, its databases, and their tables.
//!
//! It must not know where the server came from.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, migrate::Migrator};
use url::Url;

use super::MAJOR_MIN;

/// How long a server may take to answer a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server and the right to make databases on it.
#[derive(Clone)]
pub(crate) struct Server {
    url: Url,
}

impl Server {
    /// The server of `DATABASE_URL`; none where that is unset or empty.
    ///
    /// # Errors
    ///
    /// When it is no URL of a PostgreSQL.
    pub(super) fn from_environment() -> Result<Option<Self>> {
        match std::env::var("DATABASE_URL") {
            Ok(url) if !url.trim().is_empty() => Self::new(&url).context("DATABASE_URL").map(Some),
            _ => Ok(None),
        }
    }

    /// The server of a URL such as `postgres://user:password@host:port/database`.
    ///
    /// # Errors
    ///
    /// When it is no such URL. The error does not repeat it, since it may hold a password.
    pub(super) fn new(url: &str) -> Result<Self> {
        let expected = "expected postgres://user:password@host:port/database";
        let url = Url::parse(url).map_err(|error| anyhow!("{expected}: {error}"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") || url.host_str().is_none() {
            bail!("{expected}, got the scheme {:?}", url.scheme());
        }
        Ok(Self { url })
    }

    /// The URL as given, with its password.
    pub(crate) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Host and port, fit to be shown.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or("localhost"), self.url.port().unwrap_or(5432))
    }

    /// The URL of another database of this server.
    pub(crate) fn database_url(&self, name: &str) -> String {
        let mut url = self.url.clone();
        url.set_path(name);
        url.into()
    }

    /// Connects and reads the version. Returns it in words.
    ///
    /// # Errors
    ///
    /// When the server does not answer or is too old.
    pub(super) async fn check_version(&self) -> Result<String> {
        let mut connection = connect(self.url()).await?;
        let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
        let number: String = sqlx::query_scalar("SHOW server_version_num").fetch_one(&mut connection).await?;
        connection.close().await?;
        let major = number.parse::<u32>().context("the server's version is no number")? / 10_000;
        if major < MAJOR_MIN {
            bail!("the server at {} has version {version}; {MAJOR_MIN} or newer is needed", self.address());
        }
        Ok(format!("version {}", version.split_whitespace().next().unwrap_or(&version)))
    }

    /// Makes a database unless there is one of this name. Returns its URL.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub(crate) async fn create_database_if_absent(&self, name: &str) -> Result<String> {
        let mut connection = connect(self.url()).await?;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await?;
        if !exists {
            sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {}", quoted(name))))
                .execute(&mut connection)
                .await
                .with_context(|| format!("create the database {name}"))?;
        }
        connection.close().await?;
        Ok(self.database_url(name))
    }

    /// Drops a database, and whoever is connected to it.
    ///
    /// # Errors
    ///
    /// When the server refuses. That there is no such database is no error.
    pub(crate) async fn drop_database(&self, name: &str) -> Result<()> {
        let mut connection = connect(self.url()).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name))))
            .execute(&mut connection)
            .await
            .with_context(|| format!("drop the database {name}"))?;
        connection.close().await?;
        Ok(())
    }
}

/// Brings the tables of a database up to date.
///
/// # Errors
///
/// When a migration fails, or an applied one has been changed since.
pub(crate) async fn migrate(database_url: &str, migrations: &Path) -> Result<()> {
    let migrator = Migrator::new(migrations)
        .await
        .with_context(|| format!("read the migrations in {}", migrations.display()))?;
    let mut connection = connect(database_url).await?;
    migrator.run_direct(None, &mut connection, false).await.context("migrate the database")?;
    connection.close().await?;
    Ok(())
}

async fn connect(url: &str) -> Result<PgConnection> {
    let address = Server::new(url)?.address();
    match tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect(url)).await {
        // The driver's error repeats its source in its own words, so that its own words are enough.
        Ok(connected) => connected.map_err(|error| anyhow!("connect to PostgreSQL at {address}: {error}")),
        Err(_) => bail!("PostgreSQL at {address} did not answer within {} s", CONNECT_TIMEOUT.as_secs()),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_keeps_credentials_and_options() {
        let server = Server::new("postgres://u:p@db.example:6432/postgres?sslmode=require").expect("a URL");
        assert_eq!(server.database_url("x"), "postgres://u:p@db.example:6432/x?sslmode=require");
        assert_eq!(server.address(), "db.example:6432");
    }

    #[test]
    fn what_is_no_postgres_url_is_refused_without_repeating_it() {
        for bad in ["mysql://u:hunter2@h/db", "hunter2"] {
            let error = format!("{:#}", Server::new(bad).err().expect("refused"));
            assert!(error.contains("expected postgres://"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
