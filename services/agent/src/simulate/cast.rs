//! The agents that play: their sessions, and what commands mean to them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use signalbox_agent::{Agent, Command, CommandError, Config, Handle, Handler, JsonObject, Rejection, Status};
use signalbox_proto::v1::AgentStatus;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{step::Who, tale::object};

const COMMANDS: [&str; 2] = ["get_status", "run_diagnostics"];
/// How long an agent may take to find room for its last word.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(100);
/// Longest time that diagnostics take.
const DIAGNOSTICS_MS_MAX: u64 = 600_000;

/// The agents, each with its session.
pub(crate) struct Cast {
    handles: HashMap<Who, Handle>,
    sessions: JoinSet<Result<()>>,
}

impl Cast {
    /// Opens the sessions of all agents. They end with the token.
    ///
    /// # Errors
    ///
    /// When the address or the token is malformed.
    pub(crate) async fn open(common: &Config, stop: &CancellationToken) -> Result<Self> {
        let mut cast = Self { handles: HashMap::new(), sessions: JoinSet::new() };
        for who in Who::ALL {
            let config = Config {
                agent_id: who.id().into(),
                name: who.name().into(),
                template: who.template().into(),
                labels: [("role".to_owned(), who.template().to_owned())].into(),
                capabilities: COMMANDS.map(str::to_owned).into(),
                ..common.clone()
            };
            let agent = Agent::open(config)?;
            let handle = agent.handle();
            let (session, stop) = (agent.run(Arc::new(Part { who }), stop.clone()), stop.clone());
            cast.sessions.spawn(async move {
                session.await.with_context(|| format!("play {}", who.id()))?;
                // One that ends before it is asked to has a reason.
                stop.cancelled().await;
                Ok(())
            });
            // Its first words, before any of a story. There is room for them: nothing else waits.
            for (status, reason) in [(AgentStatus::Pending, "registered"), (AgentStatus::Active, "started")] {
                handle.status(Status::new(status, reason)).await?;
            }
            cast.handles.insert(who, handle);
        }
        Ok(cast)
    }

    /// What reports for each of them.
    pub(crate) fn handles(&self) -> HashMap<Who, Handle> {
        self.handles.clone()
    }

    /// Waits until one of them cannot go on.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        while let Some(ended) = self.sessions.join_next().await {
            ended.context("an agent panicked")??;
        }
        Ok(())
    }

    /// Has them say goodbye, and waits for their sessions to end.
    pub(crate) async fn close(mut self, stop: &CancellationToken) -> Result<()> {
        for handle in self.handles.values() {
            let goodbye = handle.status(Status::new(AgentStatus::Stopped, "agent_shutdown"));
            // Where there is no room for it, or nobody to send it, the end is told by the sessions.
            let _ = timeout(GOODBYE_TIMEOUT, goodbye).await;
        }
        stop.cancel();
        self.ended().await
    }
}

/// What an agent does when it is told to.
struct Part {
    who: Who,
}

impl Handler for Part {
    fn check(&self, command: &Command) -> Result<(), Rejection> {
        match command.name.as_str() {
            "get_status" => Ok(()),
            "run_diagnostics" => duration(command).map(|_| ()),
            other => Err(Rejection::unknown_command(other, &COMMANDS)),
        }
    }

    async fn execute(&self, command: Command) -> Result<JsonObject, CommandError> {
        if command.name == "get_status" {
            return Ok(object(json!({"agent_id": self.who.id(), "simulated": true})));
        }
        let duration = duration(&command).map_err(|rejection| CommandError(rejection.to_string()))?;
        sleep(duration).await;
        Ok(object(json!({"checks_passed": 12, "checks_failed": 0})))
    }
}

fn duration(command: &Command) -> Result<Duration, Rejection> {
    let given = command.parameters.get("duration_ms").unwrap_or(&Value::Null);
    let ms = given.as_u64().filter(|ms| *ms <= DIAGNOSTICS_MS_MAX);
    let expected = "a whole number of milliseconds from 0 to 600000";
    ms.map(Duration::from_millis).ok_or_else(|| Rejection::bad_parameter("duration_ms", expected, given))
}
