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
#[command(after_long_help = "\
Examples:
  signalbox events tail -t 'incident.*' -t 'remediation.*' --attribute severity=HIGH,CRITICAL
  signalbox events tail --subject inc_1 --since 1h --no-follow --delta
  signalbox events tail -t '*' -o json | jq -c 'select(.delta.kind == \"entity\")'")]
pub(crate) struct TailArgs {
    /// Only these types: agent.created, agent.* or *; may be repeated.
    #[arg(short = 't', long = "type", value_name = "PATTERN", value_parser = value::pattern())]
    #[arg(hide_possible_values = true)]
    pub(crate) types: Vec<Pattern>,
    /// Only events about this: the id of a resource, command or agent; may be repeated.
    #[arg(short = 's', long = "subject", value_name = "ID")]
    pub(crate) subjects: Vec<String>,
    /// Only events that concern this agent; may be repeated.
    #[arg(short = 'a', long = "agent", value_name = "AGENT")]
    pub(crate) agents: Vec<String>,
    /// Only events with one of these values, such as severity=HIGH,CRITICAL; may be repeated, and each attribute must hold.
    #[arg(long = "attribute", value_name = "NAME=VALUE,…", value_parser = value::attribute)]
    pub(crate) attributes: Vec<(String, Vec<String>)>,
    /// Begin after this cursor, as `-o json` shows it.
    #[arg(long)]
    pub(crate) cursor: Option<Cursor>,
    /// Begin with what was committed this long ago.
    #[arg(long, value_name = "TIME", value_parser = value::duration, conflicts_with = "cursor")]
    pub(crate) since: Option<Duration>,
    /// End after so many events.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End with what the log has now; from its beginning, unless --cursor or --since says otherwise.
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Show below an event what it did to a resource; `-o json` always has it.
    #[arg(long)]
    pub(crate) delta: bool,
}

/// Where the events are.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// File of JSON lines; - for standard input.
    #[arg(short, long)]
    pub(crate) file: PathBuf,
}
