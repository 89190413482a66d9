//! The protocol of the log stream: lines for people, one object each, and nothing expected in return.
//!
//! It must know no connection; see [`Dialect`].

mod line;

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::{
    Dialect, DialectId, Incoming, Manners, Notice, Refusal, Request, Selection, Subscribe, fields::quote,
};
use crate::{
    event::Event,
    interest::{Scope, Topic, TypeName},
};
pub(crate) use line::CATEGORIES;
use line::Line;

/// `/ws/logs`.
#[derive(Debug, Clone, Copy)]
pub struct SentinelAi;

impl Dialect for SentinelAi {
    fn id(&self) -> DialectId {
        DialectId::SentinelAi
    }

    fn manners(&self) -> &'static Manners {
        &Manners {
            credential_parameters: &["token"],
            credential_by_message: false,
            anonymous: true,
            pings_by_message: false,
            ignores_messages: true,
            has_channels: false,
            tells_system_status: false,
            makes_request_ids: false,
            follows_commands: false,
        }
    }

    fn decode(&self, _text: &str) -> Result<Incoming, Box<Refusal>> {
        Ok(Incoming { id: None, request: Request::Ignored })
    }

    fn encode(&self, event: &Event) -> Vec<String> {
        Line::of_event(event).map(|line| line.to_json()).into_iter().collect()
    }

    fn notice(&self, notice: &Notice<'_>, now: OffsetDateTime) -> Option<String> {
        Line::of_notice(notice, now).map(|line| line.to_json())
    }

    fn opening(&self, types: Option<&str>) -> Result<Option<Subscribe>, Box<Refusal>> {
        let wanted = types.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
        let wanted: BTreeSet<&str> = wanted.collect();
        if let Some(unknown) = wanted.iter().find(|name| !line::CATEGORIES.contains(name)) {
            let expected = format!("some of {}", line::CATEGORIES.join(", "));
            return Err(Refusal::field("types", &expected, &quote(unknown)));
        }
        Ok(Some(Subscribe {
            selections: selections(&wanted),
            filters: None,
            cursor: None,
            window: None,
            snapshot: false,
        }))
    }

    fn names_of(&self, _types: &[TypeName]) -> Vec<Selection> {
        Vec::new()
    }
}

/// Everything that becomes a line of these categories; of any when none is named.
fn selections(wanted: &BTreeSet<&str>) -> Vec<Selection> {
    let all = wanted.is_empty();
    let rendered: Vec<&'static str> = line::RENDERED
        .iter()
        .filter(|(_, category)| all || wanted.contains(category))
        .map(|(event_type, _)| *event_type)
        .collect();
    let categories = wanted.iter().map(|category| Topic::Category((*category).to_owned())).collect();
    let scope = if all { Scope::all() } else { Scope::Only(categories) };
    let written = Selection { scope, ..Selection::all("lines", &[line::LOG_LINE]) };
    let rendered = Selection::all("events", &rendered);
    [written, rendered].into_iter().filter(|selection| !selection.types.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_may_be_narrowed_to_categories() {
        let all = SentinelAi.opening(None).unwrap().unwrap();
        assert_eq!(all.selections.iter().map(|s| s.types.len()).sum::<usize>(), 1 + line::RENDERED.len());
        let errors = SentinelAi.opening(Some("error, system")).unwrap().unwrap();
        let Scope::Only(topics) = &errors.selections[0].scope else { panic!() };
        assert_eq!(topics.len(), 2);
        assert!(errors.selections[1].types.contains("agent.error"));
        assert!(!errors.selections[1].types.contains("agent.status_change"));
        let refusal = SentinelAi.opening(Some("error,weather")).unwrap_err();
        assert!(refusal.message.contains("weather"), "{}", refusal.message);
    }
}
