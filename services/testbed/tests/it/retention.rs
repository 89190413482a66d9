//! Logs that are too old or too large begin later: whole changes go, readers are told, and nobody else notices.

use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use signalbox_identity::Role;
use signalbox_proto::v1::{self, watch_response::Response};
use signalbox_state::Config;
use signalbox_testbed::{Client, Dashboard, Edge, State, TENANT, Watcher, database, soon, through, token};
use sqlx::PgPool;
use tonic::{Code, transport::Endpoint};
use tonic_types::StatusExt as _;

/// How many revisions one call takes, the last of them for the audit of the call: segments of 1024 revisions do not
/// end where such changes do.
const CALL_LEN: usize = 100;

async fn pool(database: &SecretString) -> PgPool {
    PgPool::connect(database.expose_secret()).await.expect("the tests' Postgres answers")
}

fn often(config: &mut Config) {
    config.retention_interval_ms = 100;
}

async fn publish(state: &State, tenant: &str, calls: usize) {
    let client = Client::with_token(state.channel(), &token(tenant, Role::Operator));
    for call in 0..calls {
        let event = |n: usize| v1::EventInput {
            r#type: "honeytoken.touched".into(),
            data: format!(
                r#"{{"token_id":"decoy-{n}","details":{{"call":{call},"padding":"{}"}}}}"#,
                "x".repeat(200)
            )
            .into(),
            ..v1::EventInput::default()
        };
        let events = (0..CALL_LEN - 1).map(event).collect();
        let request = v1::PublishRequest { events, ..v1::PublishRequest::default() };
        client.events().publish(request).await.expect("it is logged");
    }
}

/// As if what a log has up to a revision had been committed some days ago.
async fn age(pool: &PgPool, tenant: &str, through: i64, days: i32) {
    let day: String = sqlx::query_scalar(
        "SELECT to_char((now() - make_interval(days => $1)) AT TIME ZONE 'UTC', 'YYYYMMDD')",
    )
    .bind(days)
    .fetch_one(pool)
    .await
    .expect("what is committed can be made older");
    let partition = format!(
        "CREATE TABLE IF NOT EXISTS events_{day} PARTITION OF events
         FOR VALUES FROM ('{day} 00:00:00Z') TO (timestamptz '{day} 00:00:00Z' + interval '1 day')"
    );
    let mut transaction = pool.begin().await.expect("what is committed can be made older");
    sqlx::query(sqlx::AssertSqlSafe(partition))
        .execute(&mut *transaction)
        .await
        .expect("what is committed can be made older");
    sqlx::query(
        "UPDATE events SET committed_at = committed_at - make_interval(days => $3)
         WHERE tenant_id = $1 AND revision <= $2",
    )
    .bind(tenant)
    .bind(through)
    .bind(days)
    .execute(&mut *transaction)
    .await
    .expect("what is committed can be made older");
    sqlx::query("DELETE FROM log_segments WHERE tenant_id = $1")
        .bind(tenant)
        .execute(&mut *transaction)
        .await
        .expect("what is committed can be made older");
    sqlx::query(
        "INSERT INTO log_segments
         SELECT tenant_id, change_end / 1024, (committed_at AT TIME ZONE 'UTC')::date, min(revision), max(revision),
                count(*), sum(128 + octet_length(data::text))
         FROM events WHERE tenant_id = $1 GROUP BY 1, 2, 3",
    )
    .bind(tenant)
    .execute(&mut *transaction)
    .await
    .expect("what is committed can be made older");
    transaction.commit().await.expect("what is committed can be made older");
}

/// Waits until the database answers yes.
async fn until(pool: &PgPool, what: &str, question: &'static str) {
    soon(what, async {
        while !sqlx::query_scalar::<_, bool>(question).fetch_one(pool).await.expect("a question can be asked")
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn oldest(pool: &PgPool, tenant: &str) -> u64 {
    let oldest: i64 = sqlx::query_scalar("SELECT oldest FROM tenants WHERE tenant_id = $1")
        .bind(tenant)
        .fetch_one(pool)
        .await
        .expect("the log is there");
    oldest.try_into().expect("the log is there")
}

/// Everything that can be read of a log, from its begin on.
async fn read_all(state: &State, tenant: &str) -> Vec<v1::Event> {
    let client = Client::with_token(state.channel(), &token(tenant, Role::Admin));
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let request = v1::ReadRequest { after, limit: 1000, ..v1::ReadRequest::default() };
        let page = client.watch().read(request).await.expect("it can be read").into_inner();
        after = page.next;
        if page.events.is_empty() {
            return events;
        }
        events.extend(page.events);
    }
}

#[tokio::test]
async fn days_that_are_too_old_are_dropped_whole_once_no_log_needs_them() {
    const GONE: &str = "SELECT count(*) = 0 FROM pg_inherits WHERE inhparent = 'events'::regclass
                        AND inhrelid::regclass::text < to_char(now() - interval '35 days', '\"events_\"YYYYMMDD')";
    let database = database().await;
    let pool = pool(&database).await;
    let writer = State::start_with(&database, |config| config.retention_interval_ms = 3_600_000).await;
    for tenant in ["old", "keeper"] {
        publish(&writer, tenant, 3).await;
    }
    publish(&writer, "young", 1).await;
    age(&pool, "old", 200, 40).await;
    age(&pool, "keeper", 200, 40).await;
    sqlx::query("UPDATE tenants SET retention_age_s = 0 WHERE tenant_id = 'keeper'")
        .execute(&pool)
        .await
        .unwrap();

    let (a, b) = (State::start_with(&database, often).await, State::start_with(&database, often).await);
    until(&pool, "deletion of the old events", "SELECT count(*) = 100 FROM events WHERE tenant_id = 'old'")
        .await;
    assert_eq!(oldest(&pool, "old").await, 201);
    let revisions: Vec<_> = read_all(&b, "old").await.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (201..=300).collect::<Vec<_>>());
    assert_eq!(read_all(&b, "keeper").await.len(), 300, "its own figure is that everything is kept");
    assert_eq!(read_all(&a, "young").await.len(), 100);
    assert!(!sqlx::query_scalar::<_, bool>(GONE).fetch_one(&pool).await.unwrap(), "the day is still needed");

    sqlx::query("UPDATE tenants SET retention_age_s = 86400 * 3 WHERE tenant_id = 'keeper'")
        .execute(&pool)
        .await
        .unwrap();
    until(&pool, "dropping of the day", GONE).await;
    assert_eq!(oldest(&pool, "keeper").await, 201);
    until(&pool, "counts without the day", "SELECT sum(events) = 300 FROM log_segments").await;
    publish(&a, "old", 1).await;
    assert_eq!(read_all(&b, "old").await.len(), 200);
    for state in [writer, a, b] {
        state.stop().await;
    }
}

#[tokio::test]
async fn a_day_that_somebody_reads_is_dropped_later_and_no_writer_waits_for_it() {
    let database = database().await;
    let pool = pool(&database).await;
    let writer = State::start_with(&database, |config| config.retention_interval_ms = 3_600_000).await;
    publish(&writer, TENANT, 2).await;
    age(&pool, TENANT, 100, 40).await;
    let mut reader = pool.begin().await.unwrap();
    let read: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&mut *reader).await.unwrap();
    assert_eq!(read, 200);

    let state = State::start_with(&database, often).await;
    until_counted(&state, "signalbox_retention_partitions_postponed_total").await;
    for _ in 0..5 {
        soon("commit beside attempts to drop the day", publish(&writer, TENANT, 1)).await;
    }
    assert_eq!(oldest(&pool, TENANT).await, 101);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&mut *reader).await.unwrap();
    assert_eq!(left, 700, "nothing is deleted event by event that goes as a whole");
    drop(reader);
    until(&pool, "dropping of the day", "SELECT count(*) = 600 FROM events").await;
    until_counted(&state, "signalbox_retention_partitions_dropped_total").await;
    writer.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn a_log_that_nobody_wrote_to_for_long_becomes_empty_and_goes_on_where_it_was() {
    let database = database().await;
    let pool = pool(&database).await;
    let state = State::start_with(&database, often).await;
    publish(&state, TENANT, 1).await;
    let mut live = Watcher::start(state.channel()).await;
    age(&pool, TENANT, 100, 32).await;
    until(&pool, "an empty log", "SELECT count(*) = 0 FROM events").await;
    assert_eq!(oldest(&pool, TENANT).await, 101);
    assert!(read_all(&state, TENANT).await.is_empty());
    publish(&state, TENANT, 1).await;
    assert_eq!(live.next().await.revision, 101, "the one who was live notices nothing");
    assert_eq!(read_all(&state, TENANT).await.len(), 100);
    state.stop().await;
}

#[tokio::test]
async fn a_log_that_is_too_large_loses_its_oldest_segments_and_no_change_is_cut() {
    const BYTES_MAX: i64 = 900_000;
    let database = database().await;
    let pool = pool(&database).await;
    let state = State::start_with(&database, |config| {
        often(config);
        config.retention_bytes = BYTES_MAX.unsigned_abs();
    })
    .await;
    publish(&state, "small", 3).await;
    publish(&state, TENANT, 50).await;
    until(
        &pool,
        "end of the deletion",
        "SELECT oldest > 1 AND (SELECT sum(bytes) <= 900000 AND min(last_revision) >= oldest FROM log_segments s
                                WHERE s.tenant_id = t.tenant_id)
         FROM tenants t WHERE tenant_id = 'acme'",
    )
    .await;
    let oldest = oldest(&pool, TENANT).await;
    assert!(
        oldest % CALL_LEN as u64 <= 1,
        "{oldest}: it begins with a whole change, or what is told of a call"
    );
    let events = read_all(&state, TENANT).await;
    let revisions: Vec<_> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (oldest..=5000).collect::<Vec<_>>());
    let (rows, counted): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM events WHERE tenant_id = 'acme'),
                (SELECT sum(events)::bigint FROM log_segments WHERE tenant_id = 'acme')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((rows, counted), (5001 - i64::try_from(oldest).unwrap(), rows), "what cannot be read is gone");
    assert_eq!(read_all(&state, "small").await.len(), 300, "the other log has room");
    for name in [
        "signalbox_retention_advances_total",
        "signalbox_retention_events_deleted_total",
        "signalbox_log_bytes",
    ] {
        until_counted(&state, name).await;
    }
    state.stop().await;
}

/// Waits until a replica's measurement is more than nothing.
async fn until_counted(state: &State, name: &str) {
    let is_counted = |line: &str| {
        line.strip_prefix(name)
            .and_then(|rest| rest.trim().parse::<f64>().ok())
            .is_some_and(|value| value > 0.0)
    };
    soon(name, async { while !metrics(state).await.lines().any(is_counted) {} }).await;
}

async fn metrics(state: &State) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(state.metrics_address).await.expect("metrics are served");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: state\r\nConnection: close\r\n\r\n")
        .await
        .expect("metrics are served");
    let mut answer = String::new();
    soon("metrics", stream.read_to_string(&mut answer)).await.expect("metrics are served");
    answer
}

#[tokio::test]
async fn who_reads_the_backlog_when_it_is_cut_off_is_told_so_without_having_seen_a_hole() {
    let database = database().await;
    let pool = pool(&database).await;
    let writer = State::start_with(&database, |config| config.retention_interval_ms = 3_600_000).await;
    // More than waits in a connection and before it.
    publish(&writer, TENANT, 100).await;
    let mut live = Watcher::start(writer.channel()).await.with_calls();
    let epoch = live.started.after.clone().unwrap().epoch;
    let begin = v1::Cursor { epoch: epoch.clone(), revision: 0 };

    // It has nothing of the log in memory, and its reader is slow.
    let state = State::start_with(&database, often).await;
    let narrow =
        Endpoint::from_shared(state.url()).unwrap().initial_stream_window_size(65_535).connect_lazy();
    let add = v1::AddTenant { after: Some(begin.clone()), ..v1::AddTenant::default() };
    let (first, mut stream, _requests) =
        Watcher::open(&Client::new(narrow, Role::Admin), add.clone()).await.unwrap();
    assert!(matches!(first, Response::Started(_)), "{first:?}");

    age(&pool, TENANT, 9000, 40).await;
    until(&pool, "deletion of the old events", "SELECT min(revision) = 9001 FROM events").await;
    let mut position = 0;
    let told = loop {
        let response = soon("response", stream.message()).await.unwrap().expect("the watch goes on");
        match response.response {
            Some(Response::Events(range)) => {
                for event in range.events {
                    assert_eq!(event.revision, position + 1, "the log has a hole");
                    position = event.revision;
                }
            }
            Some(Response::OutOfRange(told)) => break told,
            other => panic!("expected events or the end of them, got {other:?}"),
        }
    };
    let whole = [0, 99].contains(&(position % 100));
    assert!(position < 9000 && whole, "{position}: whole changes, and not all of them");
    assert_eq!(told.reason, "compacted");
    assert_eq!(told.oldest, Some(v1::Cursor { epoch: epoch.clone(), revision: 9000 }));

    // Whoever comes with such a cursor is refused by name, on every replica; from the oldest on all is there.
    for replica in [&writer, &state] {
        let viewer = Client::new(replica.channel(), Role::Admin);
        let (first, ..) = Watcher::open(&viewer, add.clone()).await.unwrap();
        assert!(matches!(&first, Response::OutOfRange(told) if told.reason == "compacted"), "{first:?}");
        let read = v1::ReadRequest { after: Some(begin.clone()), ..v1::ReadRequest::default() };
        let refused = viewer.watch().read(read).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange);
        let details = refused.get_details_error_info().unwrap().metadata;
        assert_eq!(details["oldest_cursor"], format!("{epoch}:9000"));
        let mut resumed = Watcher::start_after(replica.channel(), told.oldest.clone()).await.with_calls();
        while resumed.position < 10_000 {
            resumed.next().await;
        }
    }
    publish(&state, TENANT, 1).await;
    while live.position < 10_100 {
        live.next().await;
    }
    for state in [writer, state] {
        state.stop().await;
    }
}

#[tokio::test]
async fn a_replica_that_was_cut_off_from_the_database_finds_its_logs_behind_the_cut() {
    let url = database().await;
    let pool = pool(&url).await;
    let (behind, mut proxy) = through(&url).await;
    let (a, b) = (State::start_with(&url, often).await, State::start(&behind).await);
    publish(&a, TENANT, 1).await;
    let viewer = Client::new(b.channel(), Role::Viewer);
    let (first, mut stream, _requests) = Watcher::open(&viewer, v1::AddTenant::default()).await.unwrap();
    let Response::Started(started) = first else { panic!("expected the watch to start, got {first:?}") };
    assert_eq!(started.head, 100);
    proxy.cut().await;
    publish(&a, TENANT, 2).await;
    age(&pool, TENANT, 200, 40).await;
    until(&pool, "deletion of the old events", "SELECT min(revision) = 201 FROM events").await;
    proxy.mend();
    let told = loop {
        match soon("response", stream.message()).await.unwrap().and_then(|response| response.response) {
            Some(Response::Progress(_)) => {}
            Some(Response::OutOfRange(told)) => break told,
            other => panic!("expected to be told of the cut, got {other:?}"),
        }
    };
    assert_eq!((&*told.reason, told.oldest.as_ref().unwrap().revision), ("compacted", 200));
    let mut resumed = Watcher::start_after(b.channel(), told.oldest).await.with_calls();
    publish(&a, TENANT, 1).await;
    while resumed.position < 400 {
        resumed.next().await;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_dashboard_that_was_away_for_too_long_is_told_and_goes_on_live() {
    let database = database().await;
    let pool = pool(&database).await;
    let state = State::start_with(&database, often).await;
    publish(&state, TENANT, 3).await;
    let epoch = Watcher::start(state.channel()).await.started.after.unwrap().epoch;
    age(&pool, TENANT, 200, 40).await;
    until(&pool, "deletion of the old events", "SELECT min(revision) = 201 FROM events").await;

    let edge = Edge::start(&state).await;
    let query = format!("token={}&cursor={epoch}:7", token(TENANT, Role::Viewer));
    let mut dashboard = Dashboard::open_with(&edge, &query).await;
    dashboard.subscribe(&["maintenance_mode"]).await;
    let gap = dashboard.next_of("subscription_error").await;
    assert_eq!(gap["data"]["error_code"], "CURSOR_EXPIRED");
    assert_eq!(gap["data"]["oldest_cursor"], format!("{epoch}:200"));
    let event = v1::EventInput {
        r#type: "system.maintenance".into(),
        data: json!({"status": "started", "message": "test"}).to_string().into(),
        ..v1::EventInput::default()
    };
    let request = v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() };
    Client::new(state.channel(), Role::Operator).events().publish(request).await.unwrap();
    dashboard.next_of("maintenance_mode").await;
    edge.stop().await;
    state.stop().await;
}

/// Follows a log from its begin to a revision. So little is kept that it may fall behind that: it is then told where
/// the log begins, and goes on there.
async fn follow(state: &State, begin: &v1::Cursor, upto: u64) {
    let mut after = begin.clone();
    while let Some((position, told)) = read_until_cut(state, after, upto).await {
        let Some(Response::OutOfRange(told)) = told else {
            panic!("expected to be told of the cut, got {told:?}")
        };
        let oldest = told.oldest.expect("a log begins somewhere");
        assert_eq!(told.reason, "compacted");
        assert!(oldest.revision > position, "{oldest:?} has been seen already");
        after = oldest;
    }
}

/// Reads up to a revision. Where that does not get so far: how far it got, and what it was told then.
async fn read_until_cut(state: &State, after: v1::Cursor, upto: u64) -> Option<(u64, Option<Response>)> {
    let position = after.revision;
    let mut watcher = match Watcher::try_start_after(state.channel(), Some(after)).await {
        Ok(watcher) => watcher.with_calls(),
        // It was cut off again before the watch began.
        Err(told) => return Some((position, Some(told))),
    };
    while watcher.position < upto {
        if let Err(told) = watcher.try_next().await {
            return Some((watcher.position, told));
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_writers_and_watchers_two_replicas_cut_off_what_is_too_large() {
    let database = database().await;
    let pool = pool(&database).await;
    let small = |config: &mut Config| {
        often(config);
        config.retention_bytes = 500_000;
    };
    let (a, b) = (State::start_with(&database, small).await, State::start_with(&database, small).await);
    let begin = Watcher::start(a.channel()).await.started.after.unwrap();
    let written = AtomicBool::new(false);
    let write = async {
        tokio::join!(publish(&a, TENANT, 40), publish(&b, TENANT, 40), publish(&a, "other", 20));
        written.store(true, Ordering::Relaxed);
    };
    // Whoever lists what can be read, while it is cut off, reads from its begin to its end without a hole.
    let read = async {
        let viewer = Client::new(b.channel(), Role::Admin);
        while !written.load(Ordering::Relaxed) {
            let mut after = None;
            loop {
                let request =
                    v1::ReadRequest { after: after.clone(), limit: 1000, ..v1::ReadRequest::default() };
                match viewer.watch().read(request).await {
                    Ok(page) => {
                        let page = page.into_inner();
                        let next = page.next.unwrap().revision;
                        let first = next - page.events.len() as u64 + 1;
                        assert!(page.events.iter().map(|event| event.revision).eq(first..=next));
                        if let Some(v1::Cursor { revision, .. }) = after {
                            assert_eq!(first, revision + 1);
                        }
                        if page.events.is_empty() {
                            break;
                        }
                        after = Some(v1::Cursor { epoch: begin.epoch.clone(), revision: next });
                    }
                    Err(status) => {
                        assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
                        break;
                    }
                }
            }
        }
    };
    tokio::join!(write, read, follow(&a, &begin, 8000), follow(&b, &begin, 8000));
    until(
        &pool,
        "end of the deletion",
        "SELECT bool_and((SELECT sum(bytes) <= 500000 AND min(last_revision) >= oldest FROM log_segments s
                          WHERE s.tenant_id = t.tenant_id))
         FROM tenants t",
    )
    .await;
    let uncounted: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM events) - (SELECT sum(events)::bigint FROM log_segments)
                + (SELECT count(*) FROM events e JOIN tenants t USING (tenant_id) WHERE e.revision < t.oldest)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(uncounted, 0);
    for tenant in [TENANT, "other"] {
        let oldest = oldest(&pool, tenant).await;
        assert!(oldest > 1);
        assert_eq!(read_all(&a, tenant).await.first().map(|event| event.revision), Some(oldest));
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_day_that_a_clock_ahead_has_written_into_keeps_no_replica_from_starting() {
    let database = database().await;
    let pool = pool(&database).await;
    let state = State::start(&database).await;
    publish(&state, TENANT, 1).await;
    state.stop().await;
    let tomorrow: String =
        sqlx::query_scalar("SELECT to_char((now() + interval '1 day') AT TIME ZONE 'UTC', 'YYYYMMDD')")
            .fetch_one(&pool)
            .await
            .unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE events_{tomorrow}"))).execute(&pool).await.unwrap();
    sqlx::query("UPDATE events SET committed_at = committed_at + interval '1 day' WHERE revision = 100")
        .execute(&pool)
        .await
        .unwrap();

    let state = State::start(&database).await;
    publish(&state, TENANT, 1).await;
    assert_eq!(read_all(&state, TENANT).await.len(), 200);
    state.stop().await;
}
