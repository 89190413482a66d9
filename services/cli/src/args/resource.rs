//! What can be asked about resources.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::Value;

use super::value;

/// What is done with resources.
#[derive(Debug, Subcommand)]
pub(crate) enum ResourceCommand {
    /// Create a resource. Needs the role operator.
    Create(CreateArgs),
    /// Read one resource.
    Get {
        /// Its kind: `signalbox catalog kinds` lists them.
        #[arg(value_parser = value::kind(), hide_possible_values = true)]
        kind: String,
        /// Which resource.
        id: String,
    },
    /// List resources of a kind in the order of their ids.
    List(ListArgs),
    /// Change fields of a resource. Needs the role operator.
    Update(UpdateArgs),
    /// Delete resources. Needs the role operator.
    Delete(DeleteArgs),
}

/// The resource to create.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  signalbox resource create incident --set type=database_down --set severity=HIGH
  signalbox resource create case --id case-7 --data '{\"title\": \"Lateral movement\"}'
  signalbox resource create rule --data @rule.json --set enabled=false
  jq '.finding' report.json | signalbox resource create alert --data -")]
pub(crate) struct CreateArgs {
    /// Its kind: `signalbox catalog kinds` lists them.
    #[arg(value_parser = value::kind(), hide_possible_values = true)]
    pub(crate) kind: String,
    /// Its id; made by the server when not given.
    #[arg(long, default_value_t, hide_default_value = true)]
    pub(crate) id: String,
    /// Its fields, a JSON object: as such, or @FILE, or - for standard input.
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}", hide_default_value = true)]
    pub(crate) data: String,
    /// A field, put over those of --data; may be repeated. The value is JSON if it can be read as such, and
    /// otherwise a text: `--set 'name="80"'` is the text 80.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = value::setting)]
    pub(crate) settings: Vec<(String, Value)>,
}

/// Which resources are listed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The cursor that is told (`cursor` in JSON) is a position in the log that no
resource listed is older than: to follow the log from there on misses nothing. A
list of several pages may have some of it already; of a resource, only what raises
its `version` is news (`delta.version` in JSON).

Examples:
  signalbox resource list incident --attribute severity=HIGH,CRITICAL --state OPEN
  signalbox resource list analysis --agent analyst-1 -o json
  signalbox events tail -t 'incident.*' --cursor CURSOR")]
pub(crate) struct ListArgs {
    /// Their kind: `signalbox catalog kinds` lists them.
    #[arg(value_parser = value::kind(), hide_possible_values = true)]
    pub(crate) kind: String,
    /// Only those with one of these values, such as severity=HIGH,CRITICAL; may be repeated, and each attribute must hold.
    #[arg(long = "attribute", value_name = "NAME=VALUE,…", value_parser = value::attribute)]
    pub(crate) attributes: Vec<(String, Vec<String>)>,
    /// Only those in one of these states; may be repeated.
    #[arg(long = "state", value_name = "STATE,…", value_delimiter = ',')]
    pub(crate) states: Vec<String>,
    /// Only those that this agent works on.
    #[arg(long, value_name = "AGENT", default_value_t, hide_default_value = true)]
    pub(crate) agent: String,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

/// The change to make.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").args(["patch", "settings", "unset"]).required(true).multiple(true)))]
#[command(after_long_help = "\
Examples:
  signalbox resource update incident inc_1 --set status=RESOLVED --set resolution='Failed over'
  signalbox resource update alert alert_9 --unset assigned_to --expected-version 3
  signalbox resource update analysis ana_2 --patch '{\"progress\": 60, \"stage\": \"correlating\"}'")]
pub(crate) struct UpdateArgs {
    /// Its kind.
    #[arg(value_parser = value::kind(), hide_possible_values = true)]
    pub(crate) kind: String,
    /// Which resource.
    pub(crate) id: String,
    /// The change, a JSON merge patch (RFC 7396; null takes a field away): as such, or @FILE, or - for standard
    /// input.
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(crate) patch: Option<String>,
    /// A field to set, put over those of --patch; may be repeated. The value is JSON if it can be read as such, and
    /// otherwise a text.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = value::setting)]
    pub(crate) settings: Vec<(String, Value)>,
    /// A field to take away; may be repeated.
    #[arg(long, value_name = "FIELD")]
    pub(crate) unset: Vec<String>,
    /// Change it only if it still has this version.
    #[arg(long, value_name = "VERSION", default_value_t = 0, hide_default_value = true)]
    pub(crate) expected_version: u64,
}

/// The resources to delete.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  signalbox resource delete rule rule_1 rule_2
  signalbox resource delete entity host-7 --expected-version 3")]
pub(crate) struct DeleteArgs {
    /// Their kind.
    #[arg(value_parser = value::kind(), hide_possible_values = true)]
    pub(crate) kind: String,
    /// Which resources.
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Delete it only if it still has this version; of one resource only.
    #[arg(long, value_name = "VERSION", default_value_t = 0, hide_default_value = true)]
    pub(crate) expected_version: u64,
}
