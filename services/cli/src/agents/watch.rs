//! Shows what agents are, and then everything that happens to them: the list and the log join at one position,
//! so that nothing is missed and nothing told twice.

use std::collections::HashMap;

use serde::Serialize;
use signalbox_proto::v1::{Agent, Cursor, Event};

use super::{PAGE_SIZE_MAX, Page, page, read};
use crate::{
    client::Client,
    error::Error,
    follow::Follow,
    output::{
        Output,
        agent::AgentView,
        event::{EventView, event_line, snapshot_line},
        note, plain,
    },
};

/// What is known before the log is followed.
struct Joint {
    /// From where on the log is followed: the oldest position that any agent was read at. From its beginning,
    /// where it had not begun.
    from: Option<Cursor>,
    /// For each agent that was read later than that, up to where its events are in what was read.
    read_at: HashMap<String, u64>,
}

impl Joint {
    fn at(from: Option<Cursor>) -> Self {
        Self { from, read_at: HashMap::new() }
    }

    /// Takes note of where an agent was read.
    fn add(&mut self, agent_id: &str, read_at: &Cursor) -> Result<(), Error> {
        let Some(from) = &self.from else { return Ok(()) };
        if read_at.epoch != from.epoch {
            return Err(Error::Answer {
                what: "list agents".into(),
                problem: "is of two logs, one that was replaced by another",
            });
        }
        if read_at.revision > from.revision {
            self.read_at.insert(agent_id.into(), read_at.revision);
        }
        Ok(())
    }

    /// Whether an event is news, after what was read.
    fn is_news(&self, event: &Event) -> bool {
        self.read_at.get(&event.agent_id).is_none_or(|read_at| event.revision > *read_at)
    }
}

/// Watches the agents named, or all of them where none is.
pub(crate) async fn watch(client: Client, agents: Vec<String>, output: &mut Output) -> Result<(), Error> {
    let joint = if agents.is_empty() {
        snapshot_of_all(&client, output).await?
    } else {
        snapshot_of(&client, &agents, output).await?
    };
    let mut follow = match &joint.from {
        Some(from) => Follow::start(client, Some(from.clone())).await?,
        None => Follow::from_beginning(client).await?,
    };
    note(format_args!("watching from {}", plain(&follow.after().to_string())));
    loop {
        let batch = follow.next_for_reader().await?;
        for event in &batch.events {
            let asked = agents.is_empty() || agents.contains(&event.agent_id);
            if !event.r#type.starts_with("agent.") || !asked || !joint.is_news(event) {
                continue;
            }
            if output.is_json() {
                output.json_line(&EventView::new(event, &batch.cursor(event)))?;
            } else {
                output.text(event_line(event))?;
            }
        }
    }
}

async fn snapshot_of_all(client: &Client, output: &mut Output) -> Result<Joint, Error> {
    let mut joint: Option<Joint> = None;
    let mut page_token = String::new();
    loop {
        let Page { agents, next_page_token, cursor } = page(client, PAGE_SIZE_MAX, page_token, "").await?;
        let joint = joint.get_or_insert_with(|| Joint::at(cursor.clone()));
        for agent in &agents {
            let cursor = cursor
                .as_ref()
                .ok_or_else(|| Error::Answer { what: "list agents".into(), problem: "has no cursor" })?;
            joint.add(&agent.agent_id, cursor)?;
            show(agent, cursor, output)?;
        }
        page_token = next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    joint.ok_or_else(|| Error::Answer { what: "list agents".into(), problem: "has no page" })
}

async fn snapshot_of(client: &Client, agents: &[String], output: &mut Output) -> Result<Joint, Error> {
    let mut joint: Option<Joint> = None;
    for agent_id in agents {
        let (agent, _, cursor) = read(client, agent_id.clone()).await?;
        joint.get_or_insert_with(|| Joint::at(Some(cursor.clone()))).add(agent_id, &cursor)?;
        show(&agent, &cursor, output)?;
    }
    joint.ok_or_else(|| Error::Answer { what: "read agents".into(), problem: "has no agent" })
}

fn show(agent: &Agent, cursor: &Cursor, output: &mut Output) -> Result<(), Error> {
    /// In the shape of an event, of a type that the log does not have.
    #[derive(Serialize)]
    struct View<'a> {
        cursor: String,
        r#type: &'static str,
        subject: &'a str,
        agent_id: &'a str,
        data: AgentView<'a>,
    }
    if !output.is_json() {
        return output.text(snapshot_line(agent));
    }
    output.json_line(&View {
        cursor: cursor.to_string(),
        r#type: "agent.snapshot",
        subject: &agent.agent_id,
        agent_id: &agent.agent_id,
        data: AgentView::from(agent),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(revision: u64) -> Cursor {
        Cursor { epoch: "e".into(), revision }
    }

    #[test]
    fn what_a_later_page_shows_already_is_no_news() {
        let mut joint = Joint::at(Some(cursor(5)));
        joint.add("a", &cursor(5)).unwrap();
        joint.add("b", &cursor(8)).unwrap();
        let news = |agent_id: &str, revision| {
            joint.is_news(&Event { agent_id: agent_id.into(), revision, ..Event::default() })
        };
        assert!(news("a", 6), "the first page does not have it");
        assert!(!news("b", 8), "the second page has it");
        assert!(news("b", 9));
        assert!(news("between the pages", 6));
    }

    #[test]
    fn pages_of_different_logs_do_not_join() {
        let mut joint = Joint::at(Some(cursor(5)));
        assert!(joint.add("a", &Cursor { epoch: "f".into(), revision: 1 }).is_err());
    }
}
