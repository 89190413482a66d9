//! Profiles, as tables for people and as JSON for programs. They have no tokens.

use comfy_table::{Attribute, Cell, Table};
use serde::Serialize;
use signalbox_proto::timestamp;
use time::OffsetDateTime;

use super::{
    plain, table,
    time::{relative, rfc3339},
};
use crate::profiles::Profile;

/// A profile in JSON.
#[derive(Serialize)]
pub(crate) struct ProfileView<'a> {
    name: &'a str,
    current: bool,
    grpc_url: &'a str,
    subject: &'a str,
    tenant_id: &'a str,
    role: &'a str,
    expires_at: Option<String>,
    #[serde(skip)]
    ends: Option<OffsetDateTime>,
}

impl<'a> ProfileView<'a> {
    /// What is shown of a profile.
    pub(crate) fn of(name: &'a str, profile: &'a Profile, current: bool) -> Self {
        Self {
            name,
            current,
            grpc_url: &profile.grpc_url,
            subject: &profile.subject,
            tenant_id: &profile.tenant_id,
            role: &profile.role,
            expires_at: rfc3339(profile.expires_at.map(timestamp).as_ref()),
            ends: profile.expires_at,
        }
    }
}

/// One row for each profile; that which counts has a mark.
pub(crate) fn profiles_table(profiles: &[ProfileView<'_>], now: OffsetDateTime) -> Table {
    let mut table = table(["", "PROFILE", "SERVER", "SUBJECT", "TENANT", "ROLE", "ENDS"]);
    for profile in profiles {
        let ends = match profile.ends {
            None => "never".into(),
            Some(at) => relative(Some(&timestamp(at)), now),
        };
        table.add_row([
            Cell::new(if profile.current { "*" } else { "" }),
            Cell::new(plain(profile.name)).add_attribute(Attribute::Bold),
            Cell::new(plain(profile.grpc_url)),
            Cell::new(plain(profile.subject)),
            Cell::new(plain(profile.tenant_id)),
            Cell::new(plain(profile.role)),
            Cell::new(ends),
        ]);
    }
    table
}
