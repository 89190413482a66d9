//! Pages of API keys and of enrolment tokens, the newest first.

use signalbox_proto::v1;
use time::OffsetDateTime;

use super::{enrolment, shown};
use crate::{
    domain::Error,
    store::{
        TenantPool,
        api_keys::{self, Position},
        enrolment_tokens,
    },
};

const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1000;

pub(super) async fn page(
    pool: &TenantPool,
    tenant_id: &str,
    asked: &v1::ListApiKeysRequest,
) -> Result<v1::ListApiKeysResponse, Error> {
    let (size, behind) = wanted(asked.page_size, &asked.page_token)?;
    let mut connection = pool.of(tenant_id).await?;
    let found = api_keys::list(&mut *connection, tenant_id, behind.as_ref(), i64::from(size) + 1).await?;
    let (keys, next_page_token) = cut(found, size, |key| (key.created_at, &key.key_id));
    Ok(v1::ListApiKeysResponse { keys: keys.into_iter().map(shown).collect(), next_page_token })
}

pub(super) async fn enrolment_tokens(
    pool: &TenantPool,
    tenant_id: &str,
    asked: &v1::ListEnrolmentTokensRequest,
) -> Result<v1::ListEnrolmentTokensResponse, Error> {
    let (size, behind) = wanted(asked.page_size, &asked.page_token)?;
    let mut connection = pool.of(tenant_id).await?;
    let found =
        enrolment_tokens::list(&mut *connection, tenant_id, behind.as_ref(), i64::from(size) + 1).await?;
    let (tokens, next_page_token) = cut(found, size, |token| (token.created_at, &token.token_id));
    let tokens = tokens.into_iter().map(enrolment::token).collect();
    Ok(v1::ListEnrolmentTokensResponse { tokens, next_page_token })
}

/// How many are wanted, and behind which.
fn wanted(page_size: u32, page_token: &str) -> Result<(u32, Option<Position>), Error> {
    let size = match page_size {
        0 => PAGE_SIZE_DEFAULT,
        1..=PAGE_SIZE_MAX => page_size,
        other => {
            let message = format!("page_size: expected 0 to {PAGE_SIZE_MAX}, got {other}");
            return Err(Error::invalid("page_size", message));
        }
    };
    let behind = match page_token {
        "" => None,
        token => Some(position(token).ok_or_else(|| {
            Error::invalid("page_token", "page_token: expected next_page_token of the page before")
        })?),
    };
    Ok((size, behind))
}

/// The page of what was found, which is one more where there are more, and where the next begins.
fn cut<T>(mut found: Vec<T>, size: u32, place: impl Fn(&T) -> (OffsetDateTime, &String)) -> (Vec<T>, String) {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let is_last = found.len() <= size;
    found.truncate(size);
    let next = match found.last().filter(|_| !is_last).map(place) {
        Some((created_at, id)) => format!("{}.{id}", created_at.unix_timestamp_nanos() / 1000),
        None => String::new(),
    };
    (found, next)
}

/// The microsecond in which the last of a page was created, and its id.
fn position(token: &str) -> Option<Position> {
    let (micros, id) = token.split_once('.')?;
    let nanos = i128::from(micros.parse::<i64>().ok()?) * 1000;
    let created_at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    (created_at >= OffsetDateTime::UNIX_EPOCH && !id.contains('\0'))
        .then(|| Position { created_at, id: id.into() })
}
