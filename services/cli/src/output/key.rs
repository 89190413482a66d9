//! API keys, as tables for people and as JSON for programs. They have no secrets.

use comfy_table::{Attribute, Cell, Table};
use serde::Serialize;
use signalbox_proto::v1::ApiKey;
use time::OffsetDateTime;

use super::{
    plain, table,
    time::{relative, rfc3339},
};

/// A key in JSON.
#[derive(Serialize)]
pub(crate) struct KeyView<'a> {
    key_id: &'a str,
    name: &'a str,
    role: &'a str,
    created_at: Option<String>,
    created_by: &'a str,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    agent_id: &'a str,
}

impl<'a> From<&'a ApiKey> for KeyView<'a> {
    fn from(key: &'a ApiKey) -> Self {
        Self {
            key_id: &key.key_id,
            name: &key.name,
            role: key.role().word(),
            created_at: rfc3339(key.created_at.as_ref()),
            created_by: &key.created_by,
            expires_at: rfc3339(key.expires_at.as_ref()),
            revoked_at: rfc3339(key.revoked_at.as_ref()),
            last_used_at: rfc3339(key.last_used_at.as_ref()),
            agent_id: &key.agent_id,
        }
    }
}

/// One row for each key.
pub(crate) fn keys_table(keys: &[ApiKey], now: OffsetDateTime) -> Table {
    let mut table = table(["KEY", "NAME", "ROLE", "AGENT", "CREATED", "BY", "USED", "ENDS"]);
    for key in keys {
        let used = key.last_used_at.as_ref();
        let ends = match (&key.revoked_at, &key.expires_at) {
            (Some(at), _) => format!("revoked {}", relative(Some(at), now)),
            (None, Some(at)) => relative(Some(at), now),
            (None, None) => "never".into(),
        };
        table.add_row([
            Cell::new(plain(&key.key_id)).add_attribute(Attribute::Bold),
            Cell::new(plain(&key.name)),
            Cell::new(key.role().word()),
            Cell::new(plain(&key.agent_id)),
            Cell::new(relative(key.created_at.as_ref(), now)),
            Cell::new(plain(&key.created_by)),
            Cell::new(used.map_or_else(|| "never".into(), |at| relative(Some(at), now))),
            Cell::new(ends),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use signalbox_proto::{timestamp, v1::Role};
    use time::Duration;

    use super::*;
    use crate::output::rendered;

    #[test]
    fn keys_are_rows_that_say_when_they_end() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(10_000);
        let at = |ago| Some(timestamp(now - ago));
        let key = |key_id: &str| ApiKey {
            key_id: key_id.into(),
            name: "nightly reports".into(),
            role: Role::Viewer.into(),
            created_at: at(Duration::days(2)),
            created_by: "ann".into(),
            ..ApiKey::default()
        };
        let keys = [
            key("k7m2x9pqr4tw"),
            ApiKey {
                expires_at: at(-Duration::hours(3)),
                role: Role::Agent.into(),
                agent_id: "web-1".into(),
                ..key("aaaaaaaaaaaa")
            },
            ApiKey {
                revoked_at: at(Duration::minutes(5)),
                last_used_at: at(Duration::minutes(6)),
                ..key("bbbbbbbbbbbb")
            },
        ];
        insta::assert_snapshot!(rendered(keys_table(&keys, now)));
        insta::assert_json_snapshot!(KeyView::from(&keys[2]));
    }
}
