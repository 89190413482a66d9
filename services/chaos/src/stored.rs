//! What the database has of a run, read past the service: the log, where it was cut off, and the executions.
//!
//! What retention deletes is kept aside, by triggers, so that the whole log can be judged in the end.

use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::{sleep, timeout};

use crate::{
    house::TENANT,
    record::{Entry, Logged, Record},
};

/// Keeps what is deleted from the log, and where the log begins from when on. The functions run as their owner, since
/// the service's own role has no business with these tables.
const KEEP: &str = "
    CREATE TABLE chaos_deleted (LIKE events);
    CREATE TABLE chaos_begins (oldest bigint NOT NULL, at timestamptz NOT NULL);
    CREATE FUNCTION chaos_keep_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS
        $$ BEGIN INSERT INTO chaos_deleted SELECT OLD.*; RETURN NULL; END $$;
    CREATE FUNCTION chaos_keep_begin() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS
        $$ BEGIN INSERT INTO chaos_begins VALUES (NEW.oldest, clock_timestamp()); RETURN NULL; END $$;
    CREATE TRIGGER chaos_keep AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION chaos_keep_event();
    CREATE TRIGGER chaos_keep AFTER UPDATE OF oldest ON tenants FOR EACH ROW
        WHEN (NEW.oldest > OLD.oldest) EXECUTE FUNCTION chaos_keep_begin();";
/// How long a change of the settings may take while the database comes and goes.
const CHANGE_MAX: Duration = Duration::from_secs(30);
/// How soon it is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Prepares a database that the service has migrated.
pub(crate) async fn prepare(database_url: &str) -> Result<()> {
    let mut connection = PgConnection::connect(database_url).await.context("connect to the database")?;
    sqlx::raw_sql(KEEP).execute(&mut connection).await.context("keep what is deleted")?;
    connection.close().await.context("close a connection to the database")
}

/// Lets the log be cut off right before its newest segment, or not any more.
pub(crate) async fn cut_off(database_url: &str, is_on: bool) {
    let change = async {
        while limit(database_url, is_on).await.is_err() {
            sleep(AGAIN_AFTER).await;
        }
    };
    // A log that stays cut off for longer is no less a fault.
    let _ = timeout(CHANGE_MAX, change).await;
}

async fn limit(database_url: &str, is_on: bool) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(database_url).await?;
    sqlx::query("UPDATE tenants SET retention_bytes = $2 WHERE tenant_id = $1")
        .bind(TENANT)
        .bind(is_on.then_some(1_i64))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

/// The whole log, where it was cut off, and the executions.
pub(crate) async fn read(database_url: &str) -> Result<Vec<Entry>> {
    let mut connection = PgConnection::connect(database_url).await.context("connect to the database")?;
    let mut entries = log(&mut connection).await.context("read the log")?;
    entries.append(&mut begins(&mut connection).await.context("read where the log began")?);
    entries.append(&mut executions(&mut connection).await.context("read the executions")?);
    connection.close().await.context("close a connection to the database")?;
    Ok(entries)
}

async fn log(connection: &mut PgConnection) -> Result<Vec<Entry>> {
    let sql = "SELECT revision, change_end, type, subject, agent_id, data::text AS data,
                      (extract(epoch FROM committed_at) * 1000)::bigint AS at_ms
               FROM (SELECT * FROM events UNION ALL SELECT * FROM chaos_deleted) AS log
               WHERE tenant_id = $1 ORDER BY revision";
    let mut entries = Vec::new();
    for row in sqlx::query(sql).bind(TENANT).fetch_all(connection).await? {
        let data: String = row.try_get("data")?;
        let logged = Logged {
            revision: u64::try_from(row.try_get::<i64, _>("revision")?).context("a revision is positive")?,
            change_end: u64::try_from(row.try_get::<i64, _>("change_end")?)
                .context("so is the end of a change")?,
            event_type: row.try_get("type")?,
            subject: row.try_get("subject")?,
            agent: row.try_get("agent_id")?,
            data: serde_json::from_str(&data).context("the data of an event are JSON")?,
        };
        entries.push(Entry { at_ms: row.try_get("at_ms")?, record: Record::Logged(logged) });
    }
    Ok(entries)
}

async fn begins(connection: &mut PgConnection) -> Result<Vec<Entry>> {
    let sql =
        "SELECT oldest, (extract(epoch FROM at) * 1000)::bigint AS at_ms FROM chaos_begins ORDER BY oldest";
    let mut entries = Vec::new();
    for row in sqlx::query(sql).fetch_all(connection).await? {
        let oldest = u64::try_from(row.try_get::<i64, _>("oldest")?).context("a revision is positive")?;
        entries.push(Entry { at_ms: row.try_get("at_ms")?, record: Record::CutOff { oldest } });
    }
    Ok(entries)
}

async fn executions(connection: &mut PgConnection) -> Result<Vec<Entry>> {
    let sql = "SELECT command_id::text AS command_id, agent_id, state,
                      (extract(epoch FROM updated_at) * 1000)::bigint AS at_ms
               FROM command_executions WHERE tenant_id = $1 ORDER BY issued_revision";
    let mut entries = Vec::new();
    for row in sqlx::query(sql).bind(TENANT).fetch_all(connection).await? {
        let record = Record::Execution {
            command_id: row.try_get("command_id")?,
            agent: row.try_get("agent_id")?,
            state: row.try_get("state")?,
        };
        entries.push(Entry { at_ms: row.try_get("at_ms")?, record });
    }
    Ok(entries)
}
