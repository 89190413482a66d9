//! The protocol of agent dashboards: agents, their inferences, measurements and commands, and the knowledge graph.
//!
//! It must know no connection; see [`Dialect`].

mod decode;
mod metrics;
mod names;
mod render;

use time::OffsetDateTime;

use super::{Dialect, DialectId, Incoming, Manners, Notice, Refusal, Selection};
use crate::{event::Event, interest::TypeName};

/// `/api/v1/ws` of the main listener.
#[derive(Debug, Clone, Copy)]
pub struct FreeAgentics;

/// Every name that may be subscribed to.
pub(crate) fn names() -> Vec<&'static str> {
    names::supported()
}

impl Dialect for FreeAgentics {
    fn id(&self) -> DialectId {
        DialectId::FreeAgentics
    }

    fn manners(&self) -> &'static Manners {
        &Manners {
            credential_parameters: &["token"],
            credential_by_message: false,
            anonymous: false,
            pings_by_message: false,
            ignores_messages: false,
            has_channels: false,
            tells_system_status: false,
            makes_request_ids: true,
            follows_commands: true,
        }
    }

    fn decode(&self, text: &str) -> Result<Incoming, Box<Refusal>> {
        decode::message(text)
    }

    fn encode(&self, event: &Event) -> Vec<String> {
        names::of_event(&event.event_type).map(|name| render::event(name, event)).into_iter().collect()
    }

    fn notice(&self, notice: &Notice<'_>, now: OffsetDateTime) -> Option<String> {
        render::notice(notice, now)
    }

    fn names_of(&self, types: &[TypeName]) -> Vec<Selection> {
        names::names_of(types)
    }
}
