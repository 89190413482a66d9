//! Commands for the program: read strictly, handed to the supervisor, answered with the program's state.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    configuration::{self, ConfigDelivery},
    journal::Journal,
    status::Snapshot,
};
use crate::commands::{Command, CommandError, Handler, JsonObject, Lane, Rejection, RemoteConfig};

/// Longest time that a command may give the program to end.
const STOP_TIMEOUT_MS_MAX: u64 = 3_600_000;
/// How long the end of a command waits until the states that it led to are told: it takes longer only while the
/// agent's buffer has no room for them, and the end itself still has.
const TELLING_TIMEOUT: Duration = Duration::from_secs(1);

/// What the supervisor is asked to do.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) action: Action,
    /// The work it is part of.
    pub(super) traceparent: String,
    pub(super) reply: oneshot::Sender<Result<JsonObject, String>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Start,
    Stop(Stop),
    Restart(Stop),
    Configure(JsonObject),
}

/// How to stop the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    /// Whether it is asked first, and given time.
    pub(super) graceful: bool,
    /// How much; as the supervisor is configured when absent.
    pub(super) timeout: Option<Duration>,
}

/// A command that makes sense.
#[derive(Debug, PartialEq)]
enum Parsed {
    Look,
    Act(Action),
}

/// Hands commands to the supervisor.
pub struct ProgramHandler {
    agent_id: String,
    delivery: ConfigDelivery,
    requests: mpsc::Sender<Request>,
    snapshot: watch::Receiver<Snapshot>,
    journal: Journal,
}

impl ProgramHandler {
    pub(super) fn new(
        agent_id: String,
        delivery: ConfigDelivery,
        requests: mpsc::Sender<Request>,
        snapshot: watch::Receiver<Snapshot>,
        journal: Journal,
    ) -> Self {
        Self { agent_id, delivery, requests, snapshot, journal }
    }

    /// Has something done. What became of the program is told before this answers, so that whoever reads of the end
    /// of a command has read of the states that it led to.
    async fn ask(&self, action: Action, traceparent: String) -> Result<JsonObject, String> {
        let stopping = || "the agent is stopping".to_owned();
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { action, traceparent, reply }).await.map_err(|_| stopping())?;
        let answer = answer.await.map_err(|_| stopping())?;
        let _ = timeout(TELLING_TIMEOUT, self.journal.told()).await;
        answer
    }
}

impl Handler for ProgramHandler {
    fn check(&self, command: &Command) -> Result<(), Rejection> {
        parse(command, &self.delivery).map(|_| ())
    }

    fn lane(&self, command: &Command) -> Lane {
        if command.name == "get_status" { Lane::Prompt } else { Lane::Ordered }
    }

    async fn execute(&self, command: Command) -> Result<JsonObject, CommandError> {
        match parse(&command, &self.delivery).map_err(|rejection| CommandError(rejection.to_string()))? {
            Parsed::Look => Ok(self.snapshot.borrow().to_json(&self.agent_id)),
            Parsed::Act(action) => self.ask(action, command.traceparent).await.map_err(CommandError),
        }
    }

    async fn apply_config(&self, config: RemoteConfig) -> Result<(), String> {
        configuration::check(&self.delivery, &config.content).map_err(|rejection| rejection.to_string())?;
        self.ask(Action::Configure(config.content), String::new()).await.map(|_| ())
    }
}

/// The commands that there are, given how configurations reach the program.
pub(super) fn known(delivery: &ConfigDelivery) -> &'static [&'static str] {
    match delivery {
        ConfigDelivery::None => &["start", "stop", "restart", "get_status"],
        ConfigDelivery::File(_) | ConfigDelivery::Env { .. } => {
            &["start", "stop", "restart", "update_config", "get_status"]
        }
    }
}

fn parse(command: &Command, delivery: &ConfigDelivery) -> Result<Parsed, Rejection> {
    let parameters = &command.parameters;
    match command.name.as_str() {
        // Clients that send one set of parameters with every command find these two forgiving.
        "get_status" => Ok(Parsed::Look),
        "start" => Ok(Parsed::Act(Action::Start)),
        "stop" => Ok(Parsed::Act(Action::Stop(parse_stop(parameters)?))),
        "restart" => Ok(Parsed::Act(Action::Restart(parse_stop(parameters)?))),
        "update_config" => {
            let content = parse_config(parameters)?;
            configuration::check(delivery, &content)?;
            Ok(Parsed::Act(Action::Configure(content)))
        }
        other => Err(Rejection::unknown_command(other, known(delivery))),
    }
}

fn parse_stop(parameters: &JsonObject) -> Result<Stop, Rejection> {
    let mut stop = Stop { graceful: true, timeout: None };
    for (name, value) in parameters {
        match (name.as_str(), value) {
            ("graceful", Value::Bool(graceful)) => stop.graceful = *graceful,
            ("graceful", given) => return Err(Rejection::bad_parameter("graceful", "true or false", given)),
            ("timeout_ms", given) => {
                let ms = given.as_u64().filter(|ms| *ms <= STOP_TIMEOUT_MS_MAX);
                let expected = "a whole number of milliseconds from 0 to 3600000";
                let ms = ms.ok_or_else(|| Rejection::bad_parameter("timeout_ms", expected, given))?;
                stop.timeout = Some(Duration::from_millis(ms));
            }
            (other, _) => return Err(Rejection::unknown_parameter(other, &["graceful", "timeout_ms"])),
        }
    }
    Ok(stop)
}

/// The parameter `config`, or all of the parameters where there is none of that name.
fn parse_config(parameters: &JsonObject) -> Result<JsonObject, Rejection> {
    match parameters.get("config") {
        Some(Value::Object(config)) => Ok(config.clone()),
        Some(given) => Err(Rejection::bad_parameter("config", "an object", given)),
        None if parameters.is_empty() => Err(Rejection::because("config: expected an object, got none")),
        None => Ok(parameters.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::handle::object;

    fn parsed(name: &str, parameters: Value) -> Result<Parsed, String> {
        let command = Command {
            command_id: String::new(),
            name: name.into(),
            parameters: object(parameters),
            deadline: None,
            issued_by: String::new(),
            traceparent: String::new(),
        };
        parse(&command, &ConfigDelivery::Env { kept_in: None }).map_err(|rejection| rejection.to_string())
    }

    fn act(action: Action) -> Result<Parsed, String> {
        Ok(Parsed::Act(action))
    }

    #[test]
    fn good_commands_are_read() {
        assert_eq!(parsed("get_status", json!({})), Ok(Parsed::Look));
        assert_eq!(parsed("start", json!({"graceful": true})), act(Action::Start));
        assert_eq!(parsed("stop", json!({})), act(Action::Stop(Stop { graceful: true, timeout: None })));
        let stop = Stop { graceful: false, timeout: Some(Duration::from_millis(250)) };
        assert_eq!(
            parsed("restart", json!({"graceful": false, "timeout_ms": 250})),
            act(Action::Restart(stop))
        );
        let config = object(json!({"a": 1}));
        assert_eq!(
            parsed("update_config", json!({"config": {"a": 1}})),
            act(Action::Configure(config.clone()))
        );
        assert_eq!(parsed("update_config", json!({"a": 1})), act(Action::Configure(config)));
    }

    #[test]
    fn bad_ones_are_refused_with_field_expectation_and_what_was_given() {
        let cases = [
            (
                "fly",
                json!({}),
                "unknown command \"fly\": expected one of start, stop, restart, update_config, get_status",
            ),
            ("stop", json!({"graceful": "no"}), "graceful: expected true or false, got \"no\""),
            (
                "stop",
                json!({"timeout_ms": -1}),
                "timeout_ms: expected a whole number of milliseconds from 0 to 3600000, got -1",
            ),
            (
                "stop",
                json!({"gracefull": false}),
                "unknown parameter \"gracefull\": expected graceful, timeout_ms",
            ),
            ("update_config", json!({"config": [1]}), "config: expected an object, got an array"),
            ("update_config", json!({}), "config: expected an object, got none"),
        ];
        for (name, parameters, expected) in cases {
            assert_eq!(parsed(name, parameters), Err(expected.to_owned()));
        }
    }
}
