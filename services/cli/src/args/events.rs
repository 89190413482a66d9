//! What can be asked of the log.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use signalbox_proto::v1::Cursor;

use super::value::{self, Pattern};

/// What is done with events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Follow the log: what happens from now on, or from where you say.
    Tail(TailArgs),
    /// Publish occurrences, one JSON object a line: {"type", "data", "subject"?, "agent_id"?, "time"?}.
    Publish(PublishArgs),
}

/// Which events are shown.
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Only these types: agent.created, agent.* or *; may be repeated.
    #[arg(short = 't', long = "type", value_name = "PATTERN")]
    pub(crate) types: Vec<Pattern>,
    /// Only events that concern this agent; may be repeated.
    #[arg(short = 'a', long = "agent", value_name = "AGENT")]
    pub(crate) agents: Vec<String>,
    /// Begin after this cursor, as `-o json` shows it.
    #[arg(long)]
    pub(crate) cursor: Option<Cursor>,
    /// Begin with what was committed this long ago.
    #[arg(long, value_name = "TIME", value_parser = value::duration, conflicts_with = "cursor")]
    pub(crate) since: Option<Duration>,
    /// End after so many events.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// Where the events are.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// File of JSON lines; - for standard input.
    #[arg(short, long)]
    pub(crate) file: PathBuf,
}
