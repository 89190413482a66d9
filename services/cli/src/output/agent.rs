//! Agents, as a table for people and as JSON for programs.

use std::collections::BTreeMap;

use comfy_table::{Attribute, Cell, Color, Table};
use serde::Serialize;
use signalbox_proto::v1::{Agent, AgentMetrics, AgentStatus, ConfigStatus, Connectivity, RemoteConfigState};
use time::OffsetDateTime;

use super::{
    bare_table, plain, shortened, table,
    time::{relative, rfc3339},
};

/// Longest list of labels in a table, in characters.
const LABELS_CHARS_MAX: usize = 48;

/// An agent in JSON.
#[derive(Serialize)]
pub(crate) struct AgentView<'a> {
    agent_id: &'a str,
    name: &'a str,
    template: &'a str,
    labels: &'a BTreeMap<String, String>,
    capabilities: &'a [String],
    software_version: &'a str,
    status: &'static str,
    status_reason: &'a str,
    exit_code: Option<i32>,
    connectivity: &'static str,
    session_epoch: u64,
    version: u64,
    created_at: Option<String>,
    created_by: &'a str,
    updated_at: Option<String>,
    connected_at: Option<String>,
    disconnected_at: Option<String>,
    config: Option<ConfigView<'a>>,
}

#[derive(Serialize)]
struct ConfigView<'a> {
    generation: u64,
    hash: &'a str,
    status: &'static str,
    reason: &'a str,
}

/// Measurements in JSON.
#[derive(Serialize)]
pub(crate) struct MetricsView<'a> {
    time: Option<String>,
    values: &'a BTreeMap<String, f64>,
}

impl<'a> From<&'a Agent> for AgentView<'a> {
    fn from(agent: &'a Agent) -> Self {
        Self {
            agent_id: &agent.agent_id,
            name: &agent.name,
            template: &agent.template,
            labels: &agent.labels,
            capabilities: &agent.capabilities,
            software_version: &agent.software_version,
            status: agent.status().word(),
            status_reason: &agent.status_reason,
            exit_code: agent.exit_code,
            connectivity: agent.connectivity().word(),
            session_epoch: agent.session_epoch,
            version: agent.version,
            created_at: rfc3339(agent.created_at.as_ref()),
            created_by: &agent.created_by,
            updated_at: rfc3339(agent.updated_at.as_ref()),
            connected_at: rfc3339(agent.connected_at.as_ref()),
            disconnected_at: rfc3339(agent.disconnected_at.as_ref()),
            config: agent.config.as_ref().map(ConfigView::from),
        }
    }
}

impl<'a> From<&'a RemoteConfigState> for ConfigView<'a> {
    fn from(config: &'a RemoteConfigState) -> Self {
        let status = config_word(config.status());
        Self { generation: config.generation, hash: &config.hash, status, reason: &config.reason }
    }
}

impl<'a> From<&'a AgentMetrics> for MetricsView<'a> {
    fn from(metrics: &'a AgentMetrics) -> Self {
        Self { time: rfc3339(metrics.time.as_ref()), values: &metrics.values }
    }
}

/// One row for each agent.
pub(crate) fn agents_table(agents: &[Agent], now: OffsetDateTime) -> Table {
    let mut table = table(["AGENT", "NAME", "STATUS", "REASON", "CONNECTIVITY", "CHANGED", "LABELS"]);
    for agent in agents {
        table.add_row([
            Cell::new(plain(&agent.agent_id)).add_attribute(Attribute::Bold),
            Cell::new(plain(&agent.name)),
            status_cell(agent.status()),
            Cell::new(plain(&agent.status_reason)),
            connectivity_cell(agent.connectivity()),
            Cell::new(relative(agent.updated_at.as_ref(), now)),
            Cell::new(shortened(&plain(&labels(&agent.labels)), LABELS_CHARS_MAX)),
        ]);
    }
    table
}

/// Everything about one agent, one row for each field.
pub(crate) fn agent_table(agent: &Agent, metrics: Option<&AgentMetrics>, now: OffsetDateTime) -> Table {
    let mut table = bare_table();
    let mut row = |name: &str, value: Cell| {
        if !value.content().is_empty() {
            table.add_row([Cell::new(name).add_attribute(Attribute::Dim), value]);
        }
    };
    let text = |text: &str| Cell::new(plain(text));
    row("agent", text(&agent.agent_id).add_attribute(Attribute::Bold));
    row("name", text(&agent.name));
    row("template", text(&agent.template));
    row("labels", text(&labels(&agent.labels)));
    row("status", status_cell(agent.status()));
    row("reason", text(&agent.status_reason));
    row("exit code", text(&agent.exit_code.map(|code| code.to_string()).unwrap_or_default()));
    row("connectivity", connectivity_cell(agent.connectivity()));
    row("connected", moment(agent.connected_at.as_ref(), now));
    row("disconnected", moment(agent.disconnected_at.as_ref(), now));
    row("sessions", Cell::new(agent.session_epoch));
    row("software", text(&agent.software_version));
    row("commands", text(&agent.capabilities.join(" ")));
    if let Some(config) = &agent.config {
        let reason = if config.reason.is_empty() { String::new() } else { format!(": {}", config.reason) };
        row("config", text(&format!("{} {}{reason}", config.generation, config_word(config.status()))));
    }
    row("version", Cell::new(agent.version));
    row(
        "created",
        Cell::new(format!("{} by {}", relative(agent.created_at.as_ref(), now), plain(&agent.created_by))),
    );
    row("changed", moment(agent.updated_at.as_ref(), now));
    for (name, value) in metrics.iter().flat_map(|metrics| &metrics.values) {
        row(&plain(name), Cell::new(value));
    }
    row("measured", moment(metrics.and_then(|metrics| metrics.time.as_ref()), now));
    table
}

/// Labels as selectors write them.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The colour in which a status, a connectivity, a state or a severity is shown, by its word.
pub(crate) fn color_of(word: &str) -> Option<Color> {
    Some(match word.to_ascii_lowercase().as_str() {
        "active" | "connected" | "succeeded" | "resolved" | "completed" | "passed" | "approved" => {
            Color::Green
        }
        "pending" | "stopping" | "disconnected" | "unknown" | "canceled" | "expired" | "medium"
        | "pending_approval" | "investigating" | "in_progress" | "rolled_back" => Color::Yellow,
        "failed" | "lost" | "rejected" | "timed_out" | "error" | "critical" | "high" => Color::Red,
        _ => return None,
    })
}

/// A cell in the colour of its word.
pub(crate) fn word_cell(word: &str) -> Cell {
    match color_of(word) {
        Some(color) => Cell::new(word).fg(color),
        None => Cell::new(word),
    }
}

fn status_cell(status: AgentStatus) -> Cell {
    word_cell(status.word())
}

fn connectivity_cell(connectivity: Connectivity) -> Cell {
    word_cell(connectivity.word())
}

fn moment(at: Option<&prost_types::Timestamp>, now: OffsetDateTime) -> Cell {
    Cell::new(at.map_or_else(String::new, |at| relative(Some(at), now)))
}

const fn config_word(status: ConfigStatus) -> &'static str {
    match status {
        ConfigStatus::Unspecified => "unspecified",
        ConfigStatus::Pending => "pending",
        ConfigStatus::Applying => "applying",
        ConfigStatus::Applied => "applied",
        ConfigStatus::Failed => "failed",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use signalbox_proto::timestamp;
    use time::Duration;

    use super::{super::rendered, *};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn agent() -> Agent {
        Agent {
            agent_id: "web-1".into(),
            name: "Web \u{1b}[2Jone".into(),
            labels: [("region".to_owned(), "eu".to_owned()), ("tier".to_owned(), "front".to_owned())].into(),
            capabilities: vec!["start".into(), "stop".into()],
            software_version: "0.1.0".into(),
            status: AgentStatus::Failed.into(),
            status_reason: "exit_code_3".into(),
            exit_code: Some(3),
            connectivity: Connectivity::Connected.into(),
            session_epoch: 2,
            version: 7,
            created_at: Some(timestamp(NOW - Duration::days(2))),
            created_by: "ann".into(),
            updated_at: Some(timestamp(NOW - Duration::seconds(4))),
            connected_at: Some(timestamp(NOW - Duration::minutes(5))),
            config: Some(RemoteConfigState {
                generation: 1,
                hash: "ab".into(),
                status: ConfigStatus::Failed.into(),
                reason: "no such field".into(),
            }),
            ..Agent::default()
        }
    }

    /// The text of a table, without its colours.
    pub(crate) fn bare(table: Table) -> String {
        anstream::adapter::strip_str(&rendered(table)).to_string()
    }

    #[test]
    fn agents_are_rows() {
        insta::assert_snapshot!(bare(agents_table(&[agent()], NOW)));
    }

    #[test]
    fn one_agent_is_fields_with_its_measurements() {
        let values = [("cpu_usage".to_owned(), 12.5)].into();
        let metrics = AgentMetrics { time: Some(timestamp(NOW)), values, ..AgentMetrics::default() };
        insta::assert_snapshot!(bare(agent_table(&agent(), Some(&metrics), NOW)));
    }

    #[test]
    fn an_agent_in_json_has_every_field() {
        insta::assert_json_snapshot!(AgentView::from(&agent()));
    }

    #[test]
    fn states_are_coloured_and_the_stream_decides() {
        let table = agents_table(&[agent()], NOW).to_string();
        assert!(table.contains("\u{1b}["), "{table:?}");
        assert!(!bare(agents_table(&[agent()], NOW)).contains('\u{1b}'));
    }
}
