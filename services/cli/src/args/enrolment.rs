//! What can be asked about enrolment tokens.

use clap::{Args, Subcommand};

use super::value;

/// What is done with enrolment tokens. Everything needs the role admin.
#[derive(Debug, Subcommand)]
pub(crate) enum EnrolmentCommand {
    /// Create a token by which agents enrol themselves, and print it alone: it is shown this once.
    Create(CreateArgs),
    /// List the tokens without their secrets, the newest first.
    List(ListArgs),
    /// Revoke a token: it enrols nobody any more. The keys that it has given stay good.
    Revoke {
        /// Which token: its id, the part between `sbe_` and the secret.
        #[arg(value_name = "TOKEN_ID")]
        token_id: String,
    },
}

/// A new token.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  signalbox enrolment create --name 'web servers' --agents 'web-*' --uses 50 --label env=prod > enrolment
  signalbox-agent run --id web-1 --state-dir /var/lib/web-1 --enrolment-token-file enrolment -- ./server")]
pub(crate) struct CreateArgs {
    /// What it is for.
    #[arg(long)]
    pub(crate) name: String,
    /// How many agents it may enrol.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) uses: u32,
    /// How long it holds.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = value::seconds)]
    pub(crate) ttl: u32,
    /// Which ids agents may have: as an id, where * stands for any characters; any when absent.
    #[arg(long, value_name = "PATTERN", default_value_t, hide_default_value = true)]
    pub(crate) agents: String,
    /// A label that the agents have, whatever they say themselves; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    pub(crate) labels: Vec<(String, String)>,
    /// How long the keys hold that it gives; agents have theirs replaced before.
    #[arg(long, value_name = "TIME", default_value = "30days", value_parser = value::seconds)]
    pub(crate) key_ttl: u32,
    /// Let agents that are known enrol anew, which revokes their earlier keys.
    #[arg(long)]
    pub(crate) again: bool,
}

/// Which tokens are listed.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Also those that were revoked, have expired or are used up.
    #[arg(short, long)]
    pub(crate) all: bool,
}
