//! The logs.

use std::collections::BTreeMap;

use bytes::Bytes;
use signalbox_proto::{timestamp, v1};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use super::{signed, unsigned};
use crate::domain::{NewEvent, event::Delta};

/// Appends events of several tenants, with one statement.
pub(crate) async fn append(
    executor: impl PgExecutor<'_>,
    events: &[(&str, &NewEvent)],
    committed_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    fn column<T>(events: &[(&str, &NewEvent)], value: impl Fn(&NewEvent) -> T) -> Vec<T> {
        events.iter().map(|(_, event)| value(event)).collect()
    }
    let tenant_ids: Vec<_> = events.iter().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    let attributes =
        |event: &NewEvent| serde_json::to_string(&event.attributes).unwrap_or_else(|_| "{}".into());
    let delta = |event: &NewEvent| event.delta.as_ref().and_then(|delta| serde_json::to_string(delta).ok());
    sqlx::query!(
        "INSERT INTO events (tenant_id, revision, committed_at, occurred_at, type, subject, agent_id, source,
                             actor, traceparent, data, attributes, change_end, delta)
         SELECT tenant_id, revision, $1, occurred_at, type, subject, agent_id, source,
                actor, traceparent, data::json, attributes::json, change_end, delta::json
         FROM unnest($2::text[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                     $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[],
                     $14::text[])
              AS new (tenant_id, revision, occurred_at, type, subject, agent_id,
                      source, actor, traceparent, data, attributes, change_end, delta)",
        committed_at,
        &tenant_ids,
        &column(events, |event| signed(event.revision)),
        &column(events, |event| event.time),
        &column(events, |event| event.event_type.clone().into_owned()),
        &column(events, |event| event.subject.clone()),
        &column(events, |event| event.agent_id.clone()),
        &column(events, |event| event.source.clone()),
        &column(events, |event| event.actor.clone()),
        &column(events, |event| event.traceparent.clone()),
        &column(events, |event| event.data.get().to_owned()),
        &column(events, attributes),
        &column(events, |event| signed(event.change_end)),
        &column(events, delta) as &[Option<String>],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Reads at most `limit` events after a revision that were committed at or after `since`, in order.
pub(crate) async fn read(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
    after: u64,
    limit: u32,
    since: OffsetDateTime,
) -> Result<Vec<v1::Event>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT revision, committed_at, occurred_at, type AS event_type, subject, agent_id, source, actor,
                  traceparent, data::text AS "data!", attributes::text AS "attributes!", change_end,
                  delta::text AS delta
           FROM events
           WHERE tenant_id = $1 AND revision > $2 AND committed_at >= $3
           ORDER BY revision
           LIMIT $4"#,
        tenant_id,
        signed(after),
        since,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| {
        Ok(v1::Event {
            revision: unsigned(row.revision)?,
            r#type: row.event_type,
            tenant_id: tenant_id.into(),
            subject: row.subject,
            agent_id: row.agent_id,
            source: row.source,
            actor: row.actor,
            time: Some(timestamp(row.occurred_at)),
            committed_at: Some(timestamp(row.committed_at)),
            traceparent: row.traceparent,
            data: Bytes::from(row.data),
            change_end: unsigned(row.change_end)?,
            attributes: attributes(&row.attributes)?,
            delta: row.delta.as_deref().map(read_delta).transpose()?,
        })
    })
    .collect()
}

/// As [`read`], and the rest of the last change, however long that is.
pub(crate) async fn read_whole(
    connection: &mut PgConnection,
    tenant_id: &str,
    after: u64,
    limit: u32,
    since: OffsetDateTime,
) -> Result<Vec<v1::Event>, sqlx::Error> {
    let mut events = read(&mut *connection, tenant_id, after, limit, since).await?;
    if let Some(last) = events.last().filter(|last| last.change_end > last.revision) {
        let missing = u32::try_from(last.change_end - last.revision).unwrap_or(u32::MAX);
        let rest = read(&mut *connection, tenant_id, last.revision, missing, since).await?;
        events.extend(rest);
    }
    Ok(events)
}

/// The event as the wire shows it, right after its commit: the same as [`read`] would give.
pub(crate) fn to_wire(tenant_id: &str, event: &NewEvent, committed_at: OffsetDateTime) -> v1::Event {
    v1::Event {
        revision: event.revision,
        r#type: event.event_type.clone().into_owned(),
        tenant_id: tenant_id.into(),
        subject: event.subject.clone(),
        agent_id: event.agent_id.clone(),
        source: event.source.clone(),
        actor: event.actor.clone(),
        time: Some(timestamp(event.time)),
        committed_at: Some(timestamp(committed_at)),
        traceparent: event.traceparent.clone(),
        data: Bytes::copy_from_slice(event.data.get().as_bytes()),
        change_end: event.change_end,
        attributes: event
            .attributes
            .iter()
            .map(|(name, values)| ((*name).to_owned(), v1::AttributeValues { values: values.clone() }))
            .collect(),
        delta: event.delta.as_ref().map(wire_delta),
    }
}

fn wire_delta(delta: &Delta) -> v1::ResourceDelta {
    v1::ResourceDelta {
        kind: delta.kind.clone(),
        id: delta.id.clone(),
        version: delta.version,
        fields: Bytes::copy_from_slice(delta.fields.get().as_bytes()),
        deleted: delta.deleted,
    }
}

fn read_delta(json: &str) -> Result<v1::ResourceDelta, sqlx::Error> {
    let delta: Delta = serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(wire_delta(&delta))
}

fn attributes(json: &str) -> Result<BTreeMap<String, v1::AttributeValues>, sqlx::Error> {
    let attributes: BTreeMap<String, Vec<String>> =
        serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(attributes.into_iter().map(|(name, values)| (name, v1::AttributeValues { values })).collect())
}
