//! What can be asked of the audit.

use std::{net::IpAddr, time::Duration};

use clap::Args;

use super::value;

/// Which calls are shown.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  signalbox audit --target web-1
  signalbox audit --method 'CommandService.*' --actor ann --since 7days
  signalbox audit --refused --follow -o json | jq -r '[.time, .actor, .address, .reason] | @tsv'")]
pub(crate) struct AuditArgs {
    /// Begin with what was committed this long ago.
    #[arg(long, value_name = "TIME", value_parser = value::duration, default_value = "1day")]
    pub(crate) since: Duration,
    /// End with what was committed this long ago.
    #[arg(long, value_name = "TIME", value_parser = value::duration, conflicts_with = "follow")]
    pub(crate) until: Option<Duration>,
    /// Only calls by this subject of a token, or `key:<key id>`; may be repeated.
    #[arg(long = "actor", value_name = "ACTOR")]
    pub(crate) actors: Vec<String>,
    /// Only calls of this method, such as IssueCommand, CommandService.IssueCommand or 'CommandService.*'; may be
    /// repeated.
    #[arg(long = "method", value_name = "METHOD")]
    pub(crate) methods: Vec<String>,
    /// Only calls from this address; may be repeated.
    #[arg(long = "address", value_name = "IP")]
    pub(crate) addresses: Vec<IpAddr>,
    /// Only calls about this: the id of a resource, agent, command or key; may be repeated.
    #[arg(long = "target", value_name = "ID")]
    pub(crate) targets: Vec<String>,
    /// Only calls that were refused.
    #[arg(long)]
    pub(crate) refused: bool,
    /// Show at most so many of those that there are, the newest.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = value::limit())]
    pub(crate) limit: usize,
    /// Go on with what happens from now on.
    #[arg(short, long)]
    pub(crate) follow: bool,
}
