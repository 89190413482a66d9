//! `metrics_update`, made from the latest measurements of the agents that a client watches.

use serde_json::{Map, Value, json};

use crate::dialect::notice::{AgentView, MetricsView};

/// What the document promises for each agent, with the value of one that does nothing: an agent that
/// measures no inferences has none.
const PROMISED: [(&str, f64); 4] =
    [("inference_rate", 0.0), ("avg_response_time", 0.0), ("success_rate", 1.0), ("current_load", 0.0)];
/// What agents call the work that waits for them.
const QUEUE: [&str; 2] = ["queue_length", "queue_size"];

/// The `data` of the message.
pub(super) fn data(view: &MetricsView) -> Value {
    let agents: Map<String, Value> =
        view.agents.iter().map(|(agent_id, agent)| (agent_id.clone(), one(agent))).collect();
    json!({"system": system(view), "agents": agents})
}

/// The whole as the sum of its agents: means of their use, counts of what they do.
fn system(view: &MetricsView) -> Value {
    let active = view.agents.values().filter(|agent| agent.status.as_deref() == Some("active")).count();
    // An empty sum of floats is minus zero.
    let queue = QUEUE.iter().flat_map(|name| values(view, name)).fold(0.0, |sum, value| sum + value);
    json!({
        "cpu_usage": mean(values(view, "cpu_usage")),
        "memory_usage": mean(values(view, "memory_usage")),
        "active_agents": active,
        "queue_length": queue,
    })
}

fn values<'a>(view: &'a MetricsView, name: &'a str) -> impl Iterator<Item = f64> + 'a {
    view.agents.values().filter_map(move |agent| agent.values.get(name)).copied()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0_f64), |(sum, count), value| (sum + value, count + 1.0));
    // A tenth of a percent is as much as a gauge can show.
    (sum / count.max(1.0) * 10.0).round() / 10.0
}

fn one(agent: &AgentView) -> Value {
    let mut shown = Map::new();
    shown.insert("status".into(), agent.status.as_deref().into());
    for (name, idle) in PROMISED {
        shown.insert(name.into(), agent.values.get(name).copied().unwrap_or(idle).into());
    }
    shown.extend(agent.values.iter().map(|(name, value)| (name.clone(), (*value).into())));
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn an_update_has_what_the_document_promises() {
        let agent = |status: &str, values: &[(&str, f64)]| AgentView {
            status: Some(status.into()),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        let busy =
            [("cpu_usage", 40.0), ("inference_rate", 2.5), ("success_rate", 0.98), ("queue_length", 3.0)];
        let agents = BTreeMap::from([
            ("agent_123".to_owned(), agent("active", &busy)),
            ("agent_456".to_owned(), agent("idle", &[("cpu_usage", 0.5)])),
        ]);
        let data = data(&MetricsView { time: None, agents });
        insta::assert_json_snapshot!(data, @r#"
        {
          "system": {
            "cpu_usage": 20.3,
            "memory_usage": 0.0,
            "active_agents": 1,
            "queue_length": 3.0
          },
          "agents": {
            "agent_123": {
              "status": "active",
              "inference_rate": 2.5,
              "avg_response_time": 0.0,
              "success_rate": 0.98,
              "current_load": 0.0,
              "cpu_usage": 40.0,
              "queue_length": 3.0
            },
            "agent_456": {
              "status": "idle",
              "inference_rate": 0.0,
              "avg_response_time": 0.0,
              "success_rate": 1.0,
              "current_load": 0.0,
              "cpu_usage": 0.5
            }
          }
        }
        "#);
    }
}
