//! The agent SDK: makes any program an agent of Signalbox. It holds the session with the state service,
//! delivers reports exactly once, and carries out each command at most once. [`supervisor`] is the agent
//! that is built on it: it runs a program as its child.
//!
//! It must know neither the rules nor the storage of the server; what it sees of it is `signalbox.v1`.
//!
//! # An agent in a few lines
//!
//! ```no_run
//! use std::sync::Arc;
//! use signalbox_agent::{Agent, Command, CommandError, Config, Handler, JsonObject, Rejection, Status};
//! use signalbox_proto::v1::AgentStatus;
//! use tokio_util::sync::CancellationToken;
//!
//! struct Worker;
//!
//! impl Handler for Worker {
//!     fn check(&self, command: &Command) -> Result<(), Rejection> {
//!         match command.name.as_str() {
//!             "drain_queue" => Ok(()),
//!             _ => Err(Rejection::unknown_command(&command.name, &["drain_queue"])),
//!         }
//!     }
//!
//!     async fn execute(&self, _command: Command) -> Result<JsonObject, CommandError> {
//!         Ok(JsonObject::new())
//!     }
//! }
//!
//! # async fn run(token: secrecy::SecretString) -> Result<(), Box<dyn std::error::Error>> {
//! let agent = Agent::open(Config::new("http://127.0.0.1:50051", token, "worker-1"))?;
//! let handle = agent.handle();
//! tokio::spawn(async move { handle.status(Status::new(AgentStatus::Active, "started")).await });
//! agent.run(Arc::new(Worker), CancellationToken::new()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it reports
//!
//! A [`Handle`] is cheap to clone and works while the server is away: reports are numbered, kept, and sent again
//! until they are acknowledged, each entering the log once. Every call answers a [`Receipt`], which may be dropped;
//! whoever needs to know awaits [`Receipt::accepted`], which names the items that were refused and why.
//!
//! With [`Config::state_dir`] reports survive the agent: a call returns once its report is on disk, none is sent
//! before, and the next process goes on in the same run with the next number. What the server has not acknowledged is
//! sent again as it was, so it still enters the log once. Log lines, which are gathered first, are on disk a moment
//! after they were taken in. The same directory has the ledger of commands.
//!
//! ```no_run
//! # use serde_json::json;
//! # use signalbox_agent::{Handle, NotAccepted, RunKind};
//! # async fn triage(handle: Handle) -> Result<(), Box<dyn std::error::Error>> {
//! // Ids are made here, so that what is reported next can refer to them at once.
//! let (incident_id, _) = handle
//!     .create_resource("incident", json!({"type": "network_anomaly", "severity": "HIGH"}))
//!     .await?;
//! let (mut analysis, _) =
//!     handle.begin_run(RunKind::Analysis, json!({"incident_id": incident_id, "model": "triage-2"})).await?;
//! analysis.update(json!({"progress": 40, "stage": "Correlating logs"})).await?;
//! let results = json!({"root_cause": "a leaked key", "confidence": 0.9, "recommendations": []});
//! match analysis.complete(json!({"results": results})).await?.accepted().await {
//!     Ok(()) => {}
//!     Err(NotAccepted::Refused(refusals)) => eprintln!("{}: {}", refusals[0].field, refusals[0].message),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```

mod agent;
mod backoff;
mod commands;
mod config;
mod credential;
mod dialer;
mod error;
mod handle;
mod ledger;
mod logs;
mod reports;
mod resources;
mod session;
mod state_dir;
pub mod supervisor;

pub use agent::{Agent, Connection};
pub use backoff::BackoffConfig;
pub use commands::{Command, CommandError, Handler, JsonObject, Lane, Rejection, RemoteConfig};
pub use config::{BufferConfig, Config, ConfigError, WhenSuperseded};
pub use credential::Credential;
pub use dialer::{Dialer, Stream};
pub use error::Error;
pub use handle::{Handle, ReportError, Status};
pub use logs::{LogLine, LogWriter};
pub use reports::{NotAccepted, Receipt, Refusal};
pub use resources::{Run, RunKind};
pub use signalbox_transport::ClientTlsConfig;
pub use state_dir::StateError;
