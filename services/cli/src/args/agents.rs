//! What can be asked about agents.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::value;

/// What is done with agents.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// List agents in the order of their ids.
    List(ListArgs),
    /// Read one agent, with its latest measurements.
    Get {
        /// Which agent.
        agent: String,
    },
    /// Show what agents are now, and then everything that happens to them.
    Watch {
        /// Which agents; all of them when none is named.
        #[arg(value_name = "AGENT")]
        agents: Vec<String>,
    },
    /// Register an agent before it connects. Needs the role admin.
    Create(CreateArgs),
    /// Change an agent's name, labels or desired configuration. Needs the role admin.
    Update(UpdateArgs),
    /// Forget agents and end their sessions. Needs the role admin.
    Delete {
        /// Which agents.
        #[arg(required = true, value_name = "AGENT")]
        agents: Vec<String>,
        /// Why, for the log.
        #[arg(long, default_value_t, hide_default_value = true)]
        reason: String,
    },
}

/// Which agents are listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only agents with these labels: key=value terms joined by commas.
    #[arg(short = 'l', long, value_name = "LABELS", default_value_t, hide_default_value = true)]
    pub(crate) selector: String,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

/// The agent to register.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its id: 1 to 128 characters of A-Z a-z 0-9 . _ : - beginning with a letter or a digit.
    pub(crate) agent: String,
    /// A name for people; the id when not given.
    #[arg(long, default_value_t, hide_default_value = true)]
    pub(crate) name: String,
    /// Which template or kind of program it is made from.
    #[arg(long, default_value_t, hide_default_value = true)]
    pub(crate) template: String,
    /// A label that selectors match; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    pub(crate) labels: Vec<(String, String)>,
}

/// The change to make.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").args(["name", "labels", "no_labels", "config"]).required(true).multiple(true)))]
pub(crate) struct UpdateArgs {
    /// Which agent.
    pub(crate) agent: String,
    /// New name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A new label; may be repeated. The labels given replace all that the agent had.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Take all labels away.
    #[arg(long, conflicts_with = "labels")]
    pub(crate) no_labels: bool,
    /// File with the new desired configuration, a JSON object; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Change it only if it still has this version.
    #[arg(long, value_name = "VERSION", default_value_t = 0, hide_default_value = true)]
    pub(crate) expected_version: u64,
}
