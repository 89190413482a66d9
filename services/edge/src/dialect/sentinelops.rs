//! The protocol of security operations: incidents, analyses, remediations, rules, and the agents behind them.
//!
//! It must know no connection; see [`Dialect`].

mod actions;
mod decode;
mod patterns;
mod render;

use time::OffsetDateTime;

use super::{Dialect, DialectId, Incoming, Manners, Notice, Refusal, Selection};
use crate::{event::Event, interest::TypeName};

/// `/ws` of the main listener.
#[derive(Debug, Clone, Copy)]
pub struct SentinelOps;

impl Dialect for SentinelOps {
    fn id(&self) -> DialectId {
        DialectId::SentinelOps
    }

    fn manners(&self) -> &'static Manners {
        &Manners {
            credential_parameters: &["api_key"],
            credential_by_message: true,
            anonymous: false,
            pings_by_message: false,
            ignores_messages: false,
            has_channels: false,
            tells_system_status: true,
            makes_request_ids: false,
            follows_commands: false,
        }
    }

    fn decode(&self, text: &str) -> Result<Incoming, Box<Refusal>> {
        decode::message(text)
    }

    fn encode(&self, event: &Event) -> Vec<String> {
        vec![render::event(event)]
    }

    fn notice(&self, notice: &Notice<'_>, now: OffsetDateTime) -> Option<String> {
        render::notice(notice, now)
    }

    fn names_of(&self, types: &[TypeName]) -> Vec<Selection> {
        patterns::names_of(types)
    }
}
