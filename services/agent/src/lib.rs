//! The agent SDK: makes any program an agent of Signalbox. It holds the session with the state service,
//! delivers reports exactly once, and carries out each command at most once. [`supervisor`] is the agent
//! that is built on it: it runs a program as its child.
//!
//! It must know neither the rules nor the storage of the server; what it sees of it is `signalbox.v1`.
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

mod agent;
mod backoff;
mod commands;
mod config;
mod error;
mod handle;
mod ledger;
mod logs;
mod reports;
mod session;
pub mod supervisor;

pub use agent::{Agent, Connection};
pub use backoff::BackoffConfig;
pub use commands::{Command, CommandError, Handler, JsonObject, Lane, Rejection, RemoteConfig};
pub use config::{BufferConfig, Config, ConfigError, WhenSuperseded};
pub use error::Error;
pub use handle::{Handle, ReportError, Status};
pub use ledger::LedgerError;
pub use logs::{LogLine, LogWriter};
pub use reports::Refusal;
