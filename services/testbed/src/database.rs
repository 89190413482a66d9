//! A database for one test.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::Proxy;

/// Where the tests' Postgres is; `cargo xtask test` starts one and sets it.
const URL_VARIABLE: &str = "SIGNALBOX_TEST_DATABASE_URL";

/// Makes an empty database and says where it is. It goes with the Postgres that `cargo xtask test` started.
///
/// # Panics
///
/// When there is no Postgres for tests.
pub async fn database() -> SecretString {
    let url = std::env::var(URL_VARIABLE)
        .unwrap_or_else(|_| panic!("{URL_VARIABLE} is not set: run the tests with `cargo xtask test`"));
    let options: PgConnectOptions = url.parse().expect("the URL of the tests' Postgres is well formed");
    let name = format!("test_{}", Uuid::new_v4().simple());
    let mut connection = PgConnection::connect_with(&options).await.expect("the tests' Postgres answers");
    connection
        .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .await
        .expect("a database can be created");
    let query = url.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
    let base = url.split('?').next().unwrap_or_default();
    let (server, _) = base.rsplit_once('/').expect("the URL names a database");
    format!("{server}/{name}{query}").into()
}

/// The same database, reached through a proxy.
///
/// # Panics
///
/// When the URL of the database is none.
pub async fn through(database_url: &SecretString) -> (SecretString, Proxy) {
    from_afar(database_url, Duration::ZERO).await
}

/// The same database, through a proxy to which it takes so long each way.
///
/// # Panics
///
/// When the URL of the database is none.
pub async fn from_afar(database_url: &SecretString, delay: Duration) -> (SecretString, Proxy) {
    let url = database_url.expose_secret();
    let options: PgConnectOptions = url.parse().expect("the URL of a database is well formed");
    let target = format!("{}:{}", options.get_host(), options.get_port());
    let target =
        tokio::net::lookup_host(&target).await.expect("the host is known").next().expect("it has an address");
    let proxy = Proxy::start(target, delay).await;
    let address = proxy.address.to_string();
    let url = url.replacen(&format!("{}:{}", options.get_host(), options.get_port()), &address, 1);
    assert!(url.contains(&address), "the URL names host and port");
    (url.into(), proxy)
}
