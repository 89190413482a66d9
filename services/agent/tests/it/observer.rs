//! Everything an agent says, acknowledged and kept in order, for tests that look at programs.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use signalbox_proto::v1::{
    AgentStatus, CommandDelivery, CommandUpdate, ExecutionState, StatusReport,
    connect_request::Message as FromAgent, report::Body,
};
use tokio::time::{Instant, timeout_at};

use crate::{
    PATIENCE,
    server::{Session, TestServer},
};

/// Something that an agent said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Status(StatusReport),
    Line { category: String, message: String, data: Value },
    Metrics(BTreeMap<String, f64>),
    Command(CommandUpdate),
    Other,
}

/// Hears an agent.
pub(crate) struct Observer {
    pub(crate) session: Session,
    pub(crate) said: Vec<Said>,
    /// How many states of the program the test has taken.
    statuses: usize,
    commands: u32,
}

impl Observer {
    pub(crate) async fn of(server: &mut TestServer) -> Self {
        Self { session: server.welcomed(0).await, said: Vec::new(), statuses: 0, commands: 0 }
    }

    /// Hears the agent until it has said this, before or from now on.
    pub(crate) async fn heard<T>(&mut self, what: &str, pick: impl Fn(&Said) -> Option<T>) -> T {
        if let Some(found) = self.said.iter().find_map(&pick) {
            return found;
        }
        self.hears(what, pick).await
    }

    /// Hears the agent until it says this from now on.
    pub(crate) async fn hears<T>(&mut self, what: &str, pick: impl Fn(&Said) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let from = self.said.len();
            match timeout_at(deadline, self.hear()).await {
                Ok(true) => {}
                Ok(false) => panic!("the session ended before {what}; said: {:#?}", self.said),
                Err(_) => panic!("{what} did not come; said: {:#?}", self.said),
            }
            if let Some(found) = self.said[from..].iter().find_map(&pick) {
                return found;
            }
        }
    }

    /// Hears the agent until it ends the session.
    pub(crate) async fn hear_out(&mut self) {
        while self.hear().await {}
    }

    /// The next state of the program that the test has not taken yet.
    pub(crate) async fn status(&mut self, status: AgentStatus, reason: &str) -> StatusReport {
        while self.states().len() == self.statuses {
            self.hears("a state", |said| matches!(said, Said::Status(_)).then_some(())).await;
        }
        let report = self.states()[self.statuses].clone();
        self.statuses += 1;
        assert_eq!((report.status(), report.reason.as_str()), (status, reason));
        report
    }

    /// The next state of the program, which runs: its process.
    pub(crate) async fn active(&mut self, reason: &str) -> u32 {
        details(&self.status(AgentStatus::Active, reason).await)["pid"].as_u64().unwrap().try_into().unwrap()
    }

    /// A line of the log.
    pub(crate) async fn line(&mut self, category: &str, message: &str) -> Value {
        self.heard(&format!("the line {message:?}"), |said| match said {
            Said::Line { category: its, message: text, data } if its == category && text == message => {
                Some(data.clone())
            }
            _ => None,
        })
        .await
    }

    /// Issues a command, which takes its course beside what else is heard.
    pub(crate) async fn issue(&mut self, name: &str, parameters: &Value) -> String {
        self.commands += 1;
        let command_id = self.commands.to_string();
        let deadline = Some(signalbox_proto::timestamp(signalbox_telemetry::now() + Duration::from_secs(60)));
        let (name, parameters) = (name.to_owned(), parameters.to_string().into());
        let delivery = CommandDelivery {
            command_id: command_id.clone(),
            name,
            parameters,
            deadline,
            ..CommandDelivery::default()
        };
        self.session.command(delivery).await;
        command_id
    }

    /// How the command ended: its state and its result or error.
    pub(crate) async fn end(&mut self, command_id: &str) -> (ExecutionState, Value) {
        let update = self
            .heard("the end of a command", |said| match said {
                Said::Command(update) if update.command_id == command_id && update.state().is_final() => {
                    Some(update.clone())
                }
                _ => None,
            })
            .await;
        let result = if update.error.is_empty() {
            serde_json::from_slice(&update.result).unwrap()
        } else {
            Value::String(update.error.clone())
        };
        (update.state(), result)
    }

    /// Issues a command that succeeds.
    pub(crate) async fn command(&mut self, name: &str, parameters: Value) -> Value {
        let command_id = self.issue(name, &parameters).await;
        let (state, result) = self.end(&command_id).await;
        assert_eq!(state, ExecutionState::Succeeded, "{result}");
        result
    }

    /// The last state of the program that was told before the command's end.
    pub(crate) fn last_status_before(&self, command_id: &str) -> Option<AgentStatus> {
        let is_end = |said: &&Said| match said {
            Said::Command(update) => update.command_id == command_id && update.state().is_final(),
            _ => false,
        };
        let before = self.said.iter().take_while(|said| !is_end(said));
        let status = |said: &Said| match said {
            Said::Status(report) => Some(report.status()),
            _ => None,
        };
        before.filter_map(status).last()
    }

    fn states(&self) -> Vec<&StatusReport> {
        let states = self.said.iter().filter_map(|said| match said {
            Said::Status(report) => Some(report),
            _ => None,
        });
        states.collect()
    }

    async fn hear(&mut self) -> bool {
        match self.session.message().await {
            Some(FromAgent::Report(report)) => {
                self.session.ack(report.sequence).await;
                match report.body {
                    Some(Body::Status(status)) => self.said.push(Said::Status(status)),
                    Some(Body::Logs(logs)) => {
                        self.said.extend(logs.records.into_iter().map(|record| Said::Line {
                            category: record.category,
                            message: record.message,
                            data: serde_json::from_slice(&record.data).unwrap_or_default(),
                        }));
                    }
                    Some(Body::Command(update)) => self.said.push(Said::Command(update)),
                    _ => self.said.push(Said::Other),
                }
                true
            }
            Some(FromAgent::Metrics(metrics)) => {
                self.said.push(Said::Metrics(metrics.values));
                true
            }
            Some(_) => true,
            None => false,
        }
    }
}

/// The further facts of a state.
pub(crate) fn details(report: &StatusReport) -> Value {
    serde_json::from_slice(&report.details).unwrap_or_default()
}
