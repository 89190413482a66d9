//! What can be asked of agents.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::Value;

use super::value;

/// What is done with commands.
#[derive(Debug, Subcommand)]
pub(crate) enum CommandCommand {
    /// Start the supervised program.
    Start(IssueArgs),
    /// Stop the supervised program.
    Stop(StopArgs),
    /// Stop the supervised program and start it again.
    Restart(StopArgs),
    /// Give the supervised program another configuration, and restart it.
    UpdateConfig(UpdateConfigArgs),
    /// Ask what the supervised program is doing; with --wait, the answer is shown.
    GetStatus(IssueArgs),
    /// Send a command of another name.
    Send(SendArgs),
    /// Read a command with its executions.
    Get {
        /// Which command.
        #[arg(value_name = "COMMAND_ID")]
        id: String,
    },
    /// List commands, newest first.
    List(ListArgs),
    /// Take back what has not ended.
    Cancel {
        /// Which command.
        #[arg(value_name = "COMMAND_ID")]
        id: String,
        /// Why, for the log and the agent.
        #[arg(long, default_value_t, hide_default_value = true)]
        reason: String,
    },
}

/// Whom a command is for, and how it is followed.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").args(["agents", "selector"]).required(true)))]
pub(crate) struct IssueArgs {
    /// Which agents.
    #[arg(value_name = "AGENT")]
    pub(crate) agents: Vec<String>,
    /// Every agent that has these labels now: key=value terms joined by commas.
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
    /// How long it may take from now, to the end of every execution: 100ms to 24h.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = value::command_timeout)]
    pub(crate) timeout: u32,
    /// Follow the executions until the last has ended; the exit code says how.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// How a program is stopped.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) issue: IssueArgs,
    /// Kill the program instead of asking it to end.
    #[arg(long, conflicts_with = "stop_timeout")]
    pub(crate) no_graceful: bool,
    /// How long the program may take to end before it is killed; 10s when not given.
    #[arg(long, value_name = "TIME", value_parser = value::milliseconds)]
    pub(crate) stop_timeout: Option<u32>,
}

/// The new configuration.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("configuration").args(["config", "settings"]).required(true).multiple(true)))]
pub(crate) struct UpdateConfigArgs {
    #[command(flatten)]
    pub(crate) issue: IssueArgs,
    /// File with the configuration, a JSON object; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A field of the configuration, put over those of --config; may be repeated. The value is JSON if it
    /// can be read as such, and otherwise a text.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = value::setting)]
    pub(crate) settings: Vec<(String, Value)>,
}

/// A command of any name.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// What to do: a word that the agents' capabilities list.
    pub(crate) name: String,
    /// Its arguments, a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) parameters: String,
    #[command(flatten)]
    pub(crate) issue: IssueArgs,
}

/// Which commands are listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only commands for this agent.
    #[arg(long, value_name = "AGENT", default_value_t, hide_default_value = true)]
    pub(crate) agent: String,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}
