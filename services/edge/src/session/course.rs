//! Follows a command that a client issued to its end at the agent.
//!
//! It must know no dialect.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Map, Value};
use signalbox_proto::{to_time, v1};

use crate::{
    calls::{Caller, Calls},
    event::Event,
    feed::{Feeds, NoEvent},
    interest::{Interest, Scope, Topic},
};

/// How long after its deadline a command may still be settled.
const GRACE: Duration = Duration::from_secs(10);
/// How often the state service is asked where its word cannot be waited for.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Type of the events that tell how far a command got.
const UPDATED: &str = "command.updated";

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Course {
    /// The last state.
    pub(super) state: v1::ExecutionState,
    /// What came of it.
    pub(super) result: Map<String, Value>,
    /// Why it failed.
    pub(super) error: String,
}

/// Waits for the end; UNKNOWN when nothing was heard of it until some time after the deadline.
pub(super) async fn follow(
    feeds: Feeds,
    calls: Calls,
    caller: Caller,
    tenant_id: String,
    command: v1::Command,
) -> Course {
    let deadline = command.deadline.as_ref().and_then(to_time);
    let left = deadline.map(|deadline| deadline - signalbox_telemetry::now()).unwrap_or_default();
    let left = Duration::try_from(left).unwrap_or_default() + GRACE;
    let ended = async {
        loop {
            // Waiting begins before the question, so that no step falls between the two.
            let next = feeds.once(&tenant_id, updates_of(&command.command_id));
            if let Ok(command) = calls.command(&caller, &command.command_id).await
                && let Some(course) = command.executions.first().and_then(of_execution)
            {
                return course;
            }
            match next.await {
                Ok(event) => {
                    if let Some(course) = of_event(&event) {
                        return course;
                    }
                }
                Err(NoEvent::Missed) => {}
                Err(NoEvent::TooMany) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    };
    tokio::time::timeout(left, ended).await.unwrap_or_else(|_| Course {
        state: v1::ExecutionState::Unknown,
        result: Map::new(),
        error: "nothing was heard of it until its deadline".into(),
    })
}

fn updates_of(command_id: &str) -> Interest {
    let scope = Scope::Only(BTreeSet::from([Topic::Subject(command_id.to_owned())]));
    Interest { types: [(UPDATED.to_owned(), scope)].into(), ..Interest::default() }
}

fn of_execution(execution: &v1::CommandExecution) -> Option<Course> {
    let state = execution.state();
    is_end(state).then(|| Course {
        state,
        result: serde_json::from_slice(&execution.result).unwrap_or_default(),
        error: execution.error.clone(),
    })
}

fn of_event(event: &Event) -> Option<Course> {
    let text = |field: &str| event.data.get(field).and_then(Value::as_str);
    let state = v1::ExecutionState::from_word(text("new_state")?)?;
    is_end(state).then(|| Course {
        state,
        result: event.data.get("result").and_then(Value::as_object).cloned().unwrap_or_default(),
        error: text("error").unwrap_or_default().to_owned(),
    })
}

/// UNKNOWN may still be settled, but not while anybody waits for it.
fn is_end(state: v1::ExecutionState) -> bool {
    state.is_final() || state == v1::ExecutionState::Unknown
}
