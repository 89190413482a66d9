//! Pages of API keys, the newest first.

use signalbox_proto::v1;
use sqlx::PgPool;
use time::OffsetDateTime;

use super::shown;
use crate::{
    domain::Error,
    store::api_keys::{Position, list},
};

const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1000;

pub(super) async fn page(
    pool: &PgPool,
    tenant_id: &str,
    asked: &v1::ListApiKeysRequest,
) -> Result<v1::ListApiKeysResponse, Error> {
    let size = match asked.page_size {
        0 => PAGE_SIZE_DEFAULT,
        1..=PAGE_SIZE_MAX => asked.page_size,
        other => {
            let message = format!("page_size: expected 0 to {PAGE_SIZE_MAX}, got {other}");
            return Err(Error::invalid("page_size", message));
        }
    };
    let behind = match asked.page_token.as_str() {
        "" => None,
        token => Some(position(token).ok_or_else(|| {
            Error::invalid("page_token", "page_token: expected next_page_token of the page before")
        })?),
    };
    let mut keys = list(pool, tenant_id, behind.as_ref(), i64::from(size) + 1).await?;
    let is_last = u64::try_from(keys.len()).is_ok_and(|len| len <= u64::from(size));
    keys.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    let next_page_token = match keys.last().filter(|_| !is_last) {
        Some(last) => format!("{}.{}", last.created_at.unix_timestamp_nanos() / 1000, last.key_id),
        None => String::new(),
    };
    Ok(v1::ListApiKeysResponse { keys: keys.into_iter().map(shown).collect(), next_page_token })
}

/// The microsecond in which a key was created, and its id.
fn position(token: &str) -> Option<Position> {
    let (micros, key_id) = token.split_once('.')?;
    let nanos = i128::from(micros.parse::<i64>().ok()?) * 1000;
    let created_at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    (created_at >= OffsetDateTime::UNIX_EPOCH && !key_id.contains('\0'))
        .then(|| Position { created_at, key_id: key_id.into() })
}
