//! What can be asked about the catalog.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::value::{self, Pattern};

/// What is done with the catalog.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// List the kinds of resources: the built-in ones, and those of your tenant.
    Kinds,
    /// Read one kind: its fields, the course of its life, its filters and events.
    Kind {
        /// Which kind.
        #[arg(value_parser = value::kind(), hide_possible_values = true)]
        name: String,
    },
    /// List the types of events.
    Events {
        /// Only these types: incident.created, incident.* or *.
        #[arg(value_name = "PATTERN", value_parser = value::pattern(), hide_possible_values = true)]
        types: Vec<Pattern>,
    },
    /// Add a kind of your own, or replace its definition. Needs the role admin.
    Apply(ApplyArgs),
    /// Remove a kind of your own that has no resources left. Needs the role admin.
    Delete {
        /// Which kind.
        name: String,
    },
}

/// The definition of a kind.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The file is one JSON object:
  name        1 to 32 characters of a-z 0-9 _, the first a letter; not the name
              of a built-in kind
  doc         what it is, in a sentence
  schema      JSON Schema (2020-12) of its fields; `type` is `object`
  lifecycle   the field with the state, the initial state, and from each state
              those that may follow (optional)
  attributes  what it can be filtered by: severity, type, project, region or
              component → the field that holds it (optional)
  references  fields that hold the id of another resource → its kind (optional)
What `signalbox catalog kind NAME -o json` shows can be given again: what the
server adds to it is passed over.

Example:
  signalbox catalog apply -f ticket.json
  signalbox resource create ticket --set title='Printer on fire' --set severity=HIGH
  signalbox events tail -t 'ticket.*'

  {
    \"name\": \"ticket\",
    \"doc\": \"A request to the help desk.\",
    \"schema\": {
      \"type\": \"object\",
      \"properties\": {
        \"title\": {\"type\": \"string\"},
        \"severity\": {\"enum\": [\"LOW\", \"HIGH\"]},
        \"status\": {\"enum\": [\"open\", \"done\"]},
        \"incident_id\": {\"type\": \"string\"}
      },
      \"required\": [\"title\"],
      \"additionalProperties\": false
    },
    \"lifecycle\": {\"field\": \"status\", \"initial\": \"open\", \"transitions\": {\"open\": [\"done\"]}},
    \"attributes\": {\"severity\": \"severity\"},
    \"references\": {\"incident_id\": \"incident\"}
  }")]
pub(crate) struct ApplyArgs {
    /// File with the definition; - for standard input.
    #[arg(short, long)]
    pub(crate) file: PathBuf,
    /// Replace the definition only if it still has this version.
    #[arg(long, value_name = "VERSION", default_value_t = 0, hide_default_value = true)]
    pub(crate) expected_version: u64,
}
