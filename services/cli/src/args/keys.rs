//! What can be asked about API keys.

use clap::{Args, Subcommand};
use signalbox_identity::Role;

use super::{token::role_parser, value};

/// What is done with API keys. Everything needs the role admin.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Create a key, and print it alone: it is shown this once.
    Create(CreateArgs),
    /// List the keys without their secrets, the newest first.
    List(ListArgs),
    /// Revoke a key: within seconds it opens nothing any more, and what it has opened ends.
    Revoke {
        /// Which key: its id, the part between `sbk_` and the secret.
        #[arg(value_name = "KEY_ID")]
        key_id: String,
    },
}

/// A new key.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  signalbox keys create --name 'nightly reports' --role viewer --ttl 90days > key
  SIGNALBOX_TOKEN=$(cat key) signalbox whoami")]
pub(crate) struct CreateArgs {
    /// What it is for.
    #[arg(long)]
    pub(crate) name: String,
    /// What its holder may do.
    #[arg(long, value_parser = role_parser(&[Role::Viewer, Role::Operator, Role::Admin, Role::Agent]))]
    pub(crate) role: Role,
    /// The one agent that it is good for, with the role agent; without this, it is good for all of the tenant.
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// How long it holds; for ever when absent.
    #[arg(long, value_name = "TIME", value_parser = value::seconds)]
    pub(crate) ttl: Option<u32>,
}

/// Which keys are listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Also those that were revoked or have expired.
    #[arg(short, long)]
    pub(crate) all: bool,
}
