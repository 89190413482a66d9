//! How much of each log lies where. A segment is a stretch of a log within one day; a change is never in two.

use std::collections::BTreeMap;

use sqlx::PgExecutor;
use time::OffsetDateTime;

use super::signed;
use crate::domain::NewEvent;

/// How many revisions a segment spans; the schema's own figures are made with it.
const SEGMENT_LEN: u64 = 1024;
/// What an event takes on disk beside its texts, in bytes.
const ROW_OVERHEAD: usize = 128;

#[derive(Debug, PartialEq, Eq)]
struct Growth {
    first: u64,
    last: u64,
    events: i64,
    bytes: usize,
}

/// Counts appended events, with one statement. The transaction holds the locks of their logs, so that nobody
/// else counts in these segments.
pub(crate) async fn grow(
    executor: impl PgExecutor<'_>,
    events: &[(&str, &NewEvent)],
    committed_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let grown = growth(events.iter().copied());
    let column = |value: fn(&Growth) -> i64| grown.values().map(value).collect::<Vec<_>>();
    let tenant_ids: Vec<_> = grown.keys().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    let segments: Vec<_> = grown.keys().map(|(_, segment)| signed(*segment)).collect();
    sqlx::query!(
        "INSERT INTO log_segments AS known (tenant_id, segment, day, first_revision, last_revision, events, bytes)
         SELECT tenant_id, segment, $1, first_revision, last_revision, events, bytes
         FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
              AS new (tenant_id, segment, first_revision, last_revision, events, bytes)
         ON CONFLICT (tenant_id, segment, day) DO UPDATE SET
             last_revision = EXCLUDED.last_revision, events = known.events + EXCLUDED.events,
             bytes = known.bytes + EXCLUDED.bytes",
        committed_at.to_offset(time::UtcOffset::UTC).date(),
        &tenant_ids,
        &segments,
        &column(|growth| signed(growth.first)),
        &column(|growth| signed(growth.last)),
        &column(|growth| growth.events),
        &column(|growth| i64::try_from(growth.bytes).unwrap_or(i64::MAX)),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// What each segment gains. A change counts where its last event is.
fn growth<'event>(
    events: impl Iterator<Item = (&'event str, &'event NewEvent)>,
) -> BTreeMap<(&'event str, u64), Growth> {
    let mut grown = BTreeMap::new();
    for (tenant_id, event) in events {
        let new = Growth { first: event.revision, last: event.revision, events: 0, bytes: 0 };
        let growth = grown.entry((tenant_id, event.change_end / SEGMENT_LEN)).or_insert(new);
        growth.first = growth.first.min(event.revision);
        growth.last = growth.last.max(event.revision);
        growth.events += 1;
        growth.bytes += size(event);
    }
    grown
}

/// About as many bytes as an event takes on disk.
fn size(event: &NewEvent) -> usize {
    let attributes = event.attributes.iter();
    let attributes =
        attributes.map(|(name, values)| name.len() + values.iter().map(String::len).sum::<usize>());
    let texts = event.subject.len() + event.source.len() + event.data.get().len();
    let delta = event.delta.as_ref().map_or(0, |delta| delta.fields.get().len());
    ROW_OVERHEAD + texts + delta + attributes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Origin;

    #[test]
    fn a_change_is_in_one_segment_however_long_it_is() {
        let event = |revision, change_end| {
            let (origin, at) = (Origin::system(), OffsetDateTime::UNIX_EPOCH);
            let event = NewEvent::new("system.status", &origin, "system", at, serde_json::Map::new());
            NewEvent { revision, change_end, ..event }
        };
        let events = [event(1022, 1022), event(1023, 1025), event(1024, 1025), event(1025, 1025)];
        let grown = growth(events.iter().map(|event| ("a", event)));
        let bounds: Vec<_> = grown
            .iter()
            .map(|((_, segment), grown)| (*segment, grown.first, grown.last, grown.events))
            .collect();
        assert_eq!(bounds, [(0, 1022, 1022, 1), (1, 1023, 1025, 3)]);
        assert_eq!(growth(events.iter().map(|event| ("a", event))).len(), 2);
        assert!(grown.values().all(|growth| growth.bytes >= ROW_OVERHEAD));
    }
}
