//! What a house is given that is secret: a database behind a password, and certificates with their private keys.

use std::{
    fs,
    path::{Path, PathBuf},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use signalbox_testbed::database;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::spoken::{Secrets, random};
use crate::tls::authority::Authority;

/// Settings as the environment has them.
pub(super) type Variables = Vec<(&'static str, PathBuf)>;

/// A new database, for a login of its own whose password has to be escaped in a URL.
pub(super) async fn login(secrets: &mut Secrets) -> String {
    let database = database().await;
    let login = format!("login_{}", Uuid::new_v4().simple());
    let password = secrets.keep("the password of the database", format!("{}/{}", random(), random()));
    let mut connection = PgConnection::connect(database.expose_secret()).await.expect("Postgres answers");
    let create = format!("CREATE ROLE {login} LOGIN SUPERUSER PASSWORD '{password}'");
    connection.execute(sqlx::AssertSqlSafe(create)).await.expect("a login is made");
    let (_, rest) = database.expose_secret().split_once("://").expect("a URL");
    let server = rest.split_once('@').map_or(rest, |(_, server)| server);
    let (password, joint) =
        (utf8_percent_encode(&password, NON_ALPHANUMERIC), if server.contains('?') { '&' } else { '?' });
    // The last is one that libpq knows and sqlx does not.
    format!("postgres://{login}:{password}@{server}{joint}sslpassword={password}")
}

/// The settings of a server and of a client that both show certificates.
pub(super) fn certificates(authority: &Authority, secrets: &mut Secrets) -> (Variables, Variables) {
    let (server, client) = (authority.server(), authority.certified_client());
    let server = [server.tls_cert, server.tls_key].map(|path| path.expect("servers have one"));
    let client =
        [client.tls_client_cert, client.tls_client_key].map(|path| path.expect("it shows a certificate"));
    secrets.keep("the private key of a server", private_part(&server[1]));
    secrets.keep("the private key of a client", private_part(&client[1]));
    let ([server_cert, server_key], [client_cert, client_key]) = (server, client);
    (
        vec![
            ("SIGNALBOX_TLS_CERT", server_cert),
            ("SIGNALBOX_TLS_KEY", server_key),
            ("SIGNALBOX_TLS_CLIENT_CA", authority.path()),
        ],
        vec![
            ("SIGNALBOX_TLS_CA", authority.path()),
            ("SIGNALBOX_TLS_CLIENT_CERT", client_cert),
            ("SIGNALBOX_TLS_CLIENT_KEY", client_key),
        ],
    )
}

/// What nobody knows of a private key (PKCS #8, P-256): its number, which comes after 36 bytes that say what it is.
fn private_part(key: &Path) -> String {
    let text = fs::read_to_string(key).expect("the key was written");
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    body[48..88].to_owned()
}
