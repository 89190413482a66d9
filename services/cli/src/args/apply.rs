//! How a file of operations is applied.

use std::path::PathBuf;

use clap::Args;

/// How a file of operations is applied.
#[derive(Debug, Args)]
#[command(after_long_help = "\
A line is one JSON object. What it may have depends on its `op`:
  {\"op\": \"create\",  \"kind\", \"data\", \"id\"?}
  {\"op\": \"update\",  \"kind\", \"id\", \"patch\", \"expected_version\"?}
  {\"op\": \"delete\",  \"kind\", \"id\", \"expected_version\"?}
  {\"op\": \"publish\", \"type\", \"data\", \"subject\"?, \"agent_id\"?, \"time\"?}
and each may have a \"key\".

Lines are applied in their order, one after the other. A line that fails is
told with its number and the field at fault, and the others go on. When the
server cannot be reached, or refuses the token, the rest is left.

Applying the same file again has no further effect. Each line has an idempotency
key: its `key`, or one that is made of its content (whatever the order of its
fields and the spaces between them) and of how often the same content came before
it in the file. The server remembers keys, and what it answered, for 24 hours.
After that:
  create   of what is there counts as done when it has the fields given. A line
           without an `id` gets one that is made of the line, so that what it
           created is found again, even when it has changed since.
  update   of what has the fields already changes nothing, and counts as done
           even where `expected_version` is another by now. What somebody changed
           meanwhile is changed again, unless `expected_version` forbids it.
  delete   of what is not there counts as done.
  publish  publishes once more.

Examples:
  signalbox apply -f incidents.jsonl
  generate | signalbox apply -f - -o json > outcome.jsonl
  signalbox apply -f incidents.jsonl --dry-run

  {\"op\":\"create\",\"kind\":\"incident\",\"id\":\"inc-42\",\"data\":{\"type\":\"outage\",\"severity\":\"HIGH\"}}
  {\"op\":\"update\",\"kind\":\"incident\",\"id\":\"inc-42\",\"patch\":{\"status\":\"INVESTIGATING\"}}
  {\"op\":\"publish\",\"type\":\"honeytoken.touched\",\"subject\":\"tok-1\",\"data\":{\"token_id\":\"tok-1\"}}")]
pub(crate) struct ApplyArgs {
    /// File of JSON lines; - for standard input.
    #[arg(short, long)]
    pub(crate) file: PathBuf,
    /// Stop at the first line that fails.
    #[arg(long)]
    pub(crate) stop_on_error: bool,
    /// Check the form of the lines, and send nothing. Needs no server and no token.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
