//! What `request` and `command` messages may ask for.

use serde_json::{Map, Value, json};

use crate::dialect::{
    Code, Refusal,
    fields::{Fields, Read, bare},
    request::{Act, Ask, Change, Command, Having, Page, Query, Shown},
};

/// How many entries a list may ask for.
const PAGE_SIZE_MAX: u32 = 1000;
/// How long a command may be given, in milliseconds: a day.
const TIMEOUT_MS_MAX: u32 = 86_400_000;
/// The shortest time that a command may be given, in milliseconds.
const TIMEOUT_MS_MIN: u32 = 100;
/// Most incidents that one message merges: each is a call of its own.
const MERGED_MAX: usize = 100;
/// What an agent is told to do.
const AGENT_COMMANDS: [&str; 5] = ["start", "stop", "restart", "update_config", "get_status"];

/// A kind of resource, as actions name it.
struct Kind {
    name: &'static str,
    plural: &'static str,
    /// Fields that may hold its id.
    ids: &'static [&'static str],
}

const KINDS: [Kind; 4] = [
    Kind { name: "incident", plural: "incidents", ids: &["incident_id"] },
    Kind { name: "analysis", plural: "analyses", ids: &["analysis_id"] },
    Kind { name: "remediation", plural: "remediations", ids: &["remediation_id", "action_id"] },
    Kind { name: "rule", plural: "rules", ids: &["rule_id"] },
];
const INCIDENT: &Kind = &KINDS[0];
const REMEDIATION: &Kind = &KINDS[2];

/// Reads the `data` of a `request`.
pub(super) fn query(data: &Fields<'_>) -> Read<Query> {
    let action = data.text("action")?;
    let ask = match action {
        "get_status" => Ask::System,
        "get_agent" => Ask::Agent(data.text("agent_id")?.into()),
        "get_command" => Ask::Command(data.text("command_id")?.into()),
        "list_agents" => Ask::Agents { selector: optional(data, "selector")?, page: page(data)? },
        "list_commands" => Ask::Commands { agent_id: optional(data, "agent_id")?, page: page(data)? },
        // Any kind, those of the tenant's own included.
        "get_resource" => Ask::Resource {
            kind: data.text("kind")?.into(),
            id: data.text("id")?.into(),
            shown: Shown::AsResource,
        },
        "list_resources" => Ask::Resources {
            kind: data.text("kind")?.into(),
            having: having(data)?,
            page: page(data)?,
            shown: Shown::AsResource,
        },
        _ => resource(action, data)?.ok_or_else(|| unknown(action))?,
    };
    Ok(Query { action: action.into(), ask })
}

/// Reads the `data` of a `command`. Its action stands in `action`, or in `command` as elsewhere.
pub(super) fn command(data: &Fields<'_>, traceparent: Option<&str>) -> Read<Command> {
    let action = match data.text_if_any("command")? {
        Some(action) if !data.map().contains_key("action") => action,
        _ => data.text("action")?,
    };
    let act = match action {
        _ if AGENT_COMMANDS.contains(&action) => Act::Agent {
            agent_id: data.text("agent_id")?.into(),
            parameters: data
                .object_if_any("parameters")?
                .map(|fields| fields.map().clone())
                .unwrap_or_default(),
            timeout_ms: data.integer_if_any("timeout_ms", TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX)?.unwrap_or(0),
        },
        "approve_remediation" => change(data, REMEDIATION, "APPROVED", &["comment"])?,
        "reject_remediation" => change(data, REMEDIATION, "REJECTED", &["reason"])?,
        "rollback_remediation" => change(data, REMEDIATION, "ROLLED_BACK", &["reason"])?,
        "resolve_incident" => change(data, INCIDENT, "RESOLVED", &["resolution"])?,
        "reopen_incident" => change(data, INCIDENT, "OPEN", &["reason"])?,
        "assign_incident" => assignment(data)?,
        "merge_incidents" => merge(data)?,
        _ => return Err(unknown(action)),
    };
    Ok(Command { action: action.into(), act, traceparent: traceparent.map(str::to_owned) })
}

fn unknown(action: &str) -> Box<Refusal> {
    let mut refusal = Refusal::new(Code::Invalid, format!("Unknown action: {}", bare(action)));
    refusal.field = Some("data.action".into());
    refusal
}

fn resource(action: &str, data: &Fields<'_>) -> Read<Option<Ask>> {
    if let Some(name) = action.strip_prefix("get_") {
        let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else { return Ok(None) };
        let id = id(data, kind)?;
        return Ok(Some(Ask::Resource { kind: kind.name.into(), id, shown: Shown::AsKind }));
    }
    let Some(plural) = action.strip_prefix("list_") else { return Ok(None) };
    let Some(kind) = KINDS.iter().find(|kind| kind.plural == plural) else { return Ok(None) };
    let (having, page) = (having(data)?, page(data)?);
    Ok(Some(Ask::Resources { kind: kind.name.into(), having, page, shown: Shown::AsKind }))
}

fn having(data: &Fields<'_>) -> Read<Having> {
    let mut attributes = Vec::new();
    for (field, attribute) in super::decode::FILTERS {
        let values = data.texts(field)?;
        if !values.is_empty() {
            attributes.push((attribute, values.into_iter().map(str::to_owned).collect()));
        }
    }
    let states = data.texts("status")?.into_iter().map(str::to_owned).collect();
    Ok(Having { attributes, states, agent_id: optional(data, "agent_id")? })
}

fn id(data: &Fields<'_>, kind: &Kind) -> Read<String> {
    let field = kind.ids.iter().find(|field| data.map().contains_key(**field)).unwrap_or(&kind.ids[0]);
    data.text(field).map(str::to_owned)
}

fn page(data: &Fields<'_>) -> Read<Page> {
    Ok(Page {
        size: data.integer_if_any("limit", 1..=PAGE_SIZE_MAX)?.unwrap_or(0),
        token: optional(data, "page_token")?,
    })
}

fn optional(data: &Fields<'_>, name: &str) -> Read<String> {
    Ok(data.text_if_any(name)?.unwrap_or_default().to_owned())
}

/// A new status, with the remarks that may go with it.
fn change(data: &Fields<'_>, kind: &Kind, status: &str, remarks: &[&str]) -> Read<Act> {
    let mut patch = Map::from_iter([("status".to_owned(), Value::from(status))]);
    for remark in remarks {
        if let Some(text) = data.text_if_any(remark)? {
            patch.insert((*remark).to_owned(), text.into());
        }
    }
    Ok(Act::Change(vec![Change { kind: kind.name, id: id(data, kind)?, patch }]))
}

fn assignment(data: &Fields<'_>) -> Read<Act> {
    let patch = Map::from_iter([("assigned_to".to_owned(), Value::from(data.text("assigned_to")?))]);
    Ok(Act::Change(vec![Change { kind: INCIDENT.name, id: id(data, INCIDENT)?, patch }]))
}

/// Every incident of `incident_ids` becomes part of `incident_id`.
fn merge(data: &Fields<'_>) -> Read<Act> {
    let into = id(data, INCIDENT)?;
    let merged = data.some_texts("incident_ids")?;
    if merged.len() > MERGED_MAX {
        let given = format!("a list of {}", merged.len());
        let expected = format!("a list of at most {MERGED_MAX} incidents");
        return Err(Refusal::field(data.path("incident_ids"), &expected, &given));
    }
    if merged.contains(&into.as_str()) {
        return Err(data.refuse("incident_ids", "incidents other than incident_id"));
    }
    let change = |id: &str| {
        let patch = json!({"status": "MERGED", "merged_into": into});
        let Value::Object(patch) = patch else { unreachable!("an object was just written") };
        Change { kind: INCIDENT.name, id: id.to_owned(), patch }
    };
    Ok(Act::Change(merged.into_iter().map(change).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::fields::object;

    fn act(text: &str) -> Read<Command> {
        let map = object(text).unwrap();
        command(&Fields::root(&map), None)
    }

    fn ask(text: &str) -> Read<Query> {
        let map = object(text).unwrap();
        query(&Fields::root(&map))
    }

    #[test]
    fn agents_are_commanded_by_action_or_command() {
        for text in [
            r#"{"action":"stop","agent_id":"web-1","parameters":{"graceful":true}}"#,
            r#"{"command":"stop","agent_id":"web-1","parameters":{"graceful":true}}"#,
        ] {
            let command = act(text).unwrap();
            let Act::Agent { agent_id, parameters, timeout_ms } = command.act else { panic!() };
            assert_eq!((command.action.as_str(), agent_id.as_str(), timeout_ms), ("stop", "web-1", 0));
            assert_eq!(parameters["graceful"], true);
        }
    }

    #[test]
    fn resources_are_asked_for_by_kind() {
        let one = ask(r#"{"action":"get_incident","incident_id":"inc_123456"}"#).unwrap();
        let resource =
            |kind: &str, id: &str, shown| Ask::Resource { kind: kind.into(), id: id.into(), shown };
        assert_eq!(one.ask, resource("incident", "inc_123456", Shown::AsKind));
        let by_event_field = ask(r#"{"action":"get_remediation","action_id":"rem_345678"}"#).unwrap();
        assert_eq!(by_event_field.ask, resource("remediation", "rem_345678", Shown::AsKind));
        let own = ask(r#"{"action":"get_resource","kind":"ticket","id":"t-1"}"#).unwrap();
        assert_eq!(own.ask, resource("ticket", "t-1", Shown::AsResource));
        let many =
            r#"{"action":"list_analyses","severity":["HIGH"],"status":["RUNNING"],"agent_id":"a","limit":5}"#;
        let Ask::Resources { kind, having, page, .. } = ask(many).unwrap().ask else { panic!() };
        assert_eq!((kind.as_str(), page.size), ("analysis", 5));
        assert_eq!(having.attributes, [("severity", vec!["HIGH".to_owned()])]);
        assert_eq!((having.states, having.agent_id), (vec!["RUNNING".to_owned()], "a".to_owned()));
    }

    #[test]
    fn merging_changes_each_incident_but_the_one_that_stays() {
        let command =
            act(r#"{"action":"merge_incidents","incident_id":"a","incident_ids":["b","c"]}"#).unwrap();
        let Act::Change(changes) = command.act else { panic!() };
        assert_eq!(changes.iter().map(|change| change.id.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(changes[0].patch["merged_into"], "a");
        assert!(act(r#"{"action":"merge_incidents","incident_id":"a","incident_ids":["a"]}"#).is_err());
        let many: Vec<String> = (0..=MERGED_MAX).map(|index| format!("i{index}")).collect();
        let message =
            json!({"action": "merge_incidents", "incident_id": "a", "incident_ids": many}).to_string();
        assert_eq!(
            act(&message).unwrap_err().message,
            "incident_ids: expected a list of at most 100 incidents, got a list of 101"
        );
    }

    #[test]
    fn unknown_actions_and_missing_fields_are_named() {
        assert_eq!(ask(r#"{"action":"get_weather"}"#).unwrap_err().message, "Unknown action: get_weather");
        assert_eq!(
            act(r#"{"action":"stop"}"#).unwrap_err().message,
            "agent_id: expected a string that is not empty, got nothing"
        );
        assert!(ask(r#"{"action":"list_agents","limit":1001}"#).is_err());
    }
}
