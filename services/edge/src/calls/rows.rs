//! Present state by pages, agents and resources alike, for snapshots.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use signalbox_proto::v1;

use super::{CallError, Caller, Calls, shape};
use crate::dialect::request::{Having, Page};

/// The kind that is no resource.
pub const AGENT: &str = "agent";

/// A page of present state.
#[derive(Debug)]
pub struct Rows {
    /// In the order of their ids.
    pub rows: Vec<Row>,
    /// Where the next page begins; empty on the last.
    pub next_page_token: String,
    /// The cursor at which the page was read.
    pub cursor: v1::Cursor,
}

/// An agent or a resource.
#[derive(Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// The agent that it is, or that works on it; empty for none.
    pub agent_id: String,
    /// What it can be filtered by.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// As clients see it.
    pub shown: Map<String, Value>,
}

impl Calls {
    /// Reads a page of agents or resources. What agents must have is not looked at.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn rows(
        &self,
        caller: &Caller,
        kind: &str,
        having: &Having,
        page: &Page,
    ) -> Result<Rows, CallError> {
        let (rows, next_page_token, cursor) = if kind == AGENT {
            let listed = self.list_agents(caller, "", page).await?;
            (listed.agents.iter().map(of_agent).collect(), listed.next_page_token, listed.cursor)
        } else {
            let listed = self.resources(caller, kind, having, page).await?;
            let rows = listed.resources.into_iter().map(of_resource).collect();
            (rows, listed.next_page_token, listed.cursor)
        };
        Ok(Rows { rows, next_page_token, cursor: cursor.ok_or_else(CallError::internal)? })
    }
}

fn of_agent(agent: &v1::Agent) -> Row {
    Row {
        id: agent.agent_id.clone(),
        agent_id: agent.agent_id.clone(),
        attributes: BTreeMap::new(),
        shown: shape::agent(agent),
    }
}

fn of_resource(resource: v1::Resource) -> Row {
    let shown = shape::resource(&resource);
    let attributes = resource.attributes.into_iter().map(|(name, values)| (name, values.values));
    Row { id: resource.id, agent_id: resource.agent_id, attributes: attributes.collect(), shown }
}
