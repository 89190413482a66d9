//! A key's secret is shown once: it is neither kept nor logged.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::ExposeSecret as _;
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, Watcher, database};
use sqlx::{Connection as _, PgConnection};

use super::{
    admin, holder, id, revoke,
    sockets::{EVERY_PLACE, Socket, edge},
};

/// Everything that is logged in this process.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// Every row of every table, as text.
async fn everything(database_url: &secrecy::SecretString) -> String {
    let mut connection = PgConnection::connect(database_url.expose_secret()).await.expect("Postgres answers");
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(&mut connection)
            .await
            .expect("tables are listed");
    let mut all = String::new();
    for table in tables {
        let rows = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(rows))
            .fetch_one(&mut connection)
            .await
            .expect("rows are read");
        all.push_str(&rows);
    }
    all
}

#[tokio::test]
async fn a_secret_is_shown_once_and_neither_kept_nor_logged() {
    let logged = Logged::default();
    let writer = logged.clone();
    let filter = "debug,signalbox_state=trace,signalbox_edge=trace,signalbox_identity=trace";
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || writer.clone()).init();
    let database_url = database().await;
    let state = State::start(&database_url).await;
    let edge = edge(&state).await;
    let mut log = Watcher::start(state.channel()).await;

    let request = v1::CreateApiKeyRequest {
        name: "nightly reports".into(),
        role: v1::Role::Viewer.into(),
        ttl_s: 3600,
        idempotency_key: "once".into(),
        ..v1::CreateApiKeyRequest::default()
    };
    let first = admin(&state).access().create_api_key(request.clone()).await.unwrap().into_inner();
    let again = admin(&state).access().create_api_key(request.clone()).await.unwrap().into_inner();
    assert_eq!((first.key.as_ref(), again.secret.as_str()), (again.key.as_ref(), ""));
    assert!(first.secret.starts_with(&format!("sbk_{}_", id(&first))));
    let other = v1::CreateApiKeyRequest { name: "another".into(), ..request };
    assert!(admin(&state).access().create_api_key(other).await.is_err(), "the idempotency key is used");

    holder(&state, &first).agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap();
    for place in EVERY_PLACE {
        assert!(Socket::open(&edge, place, &first.secret).await.is_open().await, "{place:?}");
    }
    let whose = v1::AuthenticateRequest { credential: first.secret.clone() };
    let asking = Client::with_token(state.channel(), &signalbox_testbed::token("*", Role::Service));
    asking.access().authenticate(whose).await.unwrap();
    revoke(&state, &first).await;

    let created = log.next_of("key.created").await;
    let revoked = log.next_of("key.revoked").await;
    let (_, secret) = first.secret.rsplit_once('_').expect("a key has three parts");
    let told = [created, revoked].map(|event| String::from_utf8_lossy(&event.data).into_owned());
    assert!(told.iter().all(|data| data.contains(&id(&first)) && !data.contains(secret)), "{told:?}");
    edge.stop().await;
    state.stop().await;

    let kept = everything(&database_url).await;
    assert!(kept.contains(&id(&first)) && kept.contains("once"), "the tables were read");
    assert!(!kept.contains(secret), "the secret is in the database");
    let logged = logged.text();
    assert!(logged.contains("a connection is ready"), "the logs were read");
    assert!(!logged.contains(secret), "the secret is in the logs");
}
