//! Enrolment tokens, as tables for people and as JSON for programs. They have no secrets.

use std::collections::BTreeMap;

use comfy_table::{Attribute, Cell, Table};
use serde::Serialize;
use signalbox_proto::v1::EnrolmentToken;
use time::OffsetDateTime;

use super::{
    agent::labels,
    plain, table,
    time::{relative, rfc3339},
};

/// A token in JSON.
#[derive(Serialize)]
pub(crate) struct TokenView<'a> {
    token_id: &'a str,
    name: &'a str,
    uses: u32,
    uses_max: u32,
    agent_id_pattern: &'a str,
    labels: &'a BTreeMap<String, String>,
    key_ttl_s: u32,
    allows_again: bool,
    created_at: Option<String>,
    created_by: &'a str,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
}

impl<'a> From<&'a EnrolmentToken> for TokenView<'a> {
    fn from(token: &'a EnrolmentToken) -> Self {
        Self {
            token_id: &token.token_id,
            name: &token.name,
            uses: token.uses,
            uses_max: token.uses_max,
            agent_id_pattern: &token.agent_id_pattern,
            labels: &token.labels,
            key_ttl_s: token.key_ttl_s,
            allows_again: token.allows_again,
            created_at: rfc3339(token.created_at.as_ref()),
            created_by: &token.created_by,
            expires_at: rfc3339(token.expires_at.as_ref()),
            revoked_at: rfc3339(token.revoked_at.as_ref()),
            last_used_at: rfc3339(token.last_used_at.as_ref()),
        }
    }
}

/// One row for each token.
pub(crate) fn tokens_table(tokens: &[EnrolmentToken], now: OffsetDateTime) -> Table {
    let mut table = table(["TOKEN", "NAME", "USES", "AGENTS", "LABELS", "AGAIN", "CREATED", "BY", "ENDS"]);
    for token in tokens {
        let ends = match &token.revoked_at {
            Some(at) => format!("revoked {}", relative(Some(at), now)),
            None => relative(token.expires_at.as_ref(), now),
        };
        let agents = if token.agent_id_pattern.is_empty() { "*" } else { &token.agent_id_pattern };
        table.add_row([
            Cell::new(plain(&token.token_id)).add_attribute(Attribute::Bold),
            Cell::new(plain(&token.name)),
            Cell::new(format!("{} of {}", token.uses, token.uses_max)),
            Cell::new(plain(agents)),
            Cell::new(plain(&labels(&token.labels))),
            Cell::new(if token.allows_again { "yes" } else { "no" }),
            Cell::new(relative(token.created_at.as_ref(), now)),
            Cell::new(plain(&token.created_by)),
            Cell::new(ends),
        ]);
    }
    table
}
