//! What can be asked on the command line. It must not know how it is carried out.

pub(crate) mod agents;
pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod catalog;
pub(crate) mod command;
pub(crate) mod enrolment;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod resource;
pub(crate) mod tenants;
pub(crate) mod token;
pub(crate) mod value;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use signalbox_transport::ClientTlsConfig;

use crate::exit;

/// Watch and steer the agents of a Signalbox, and keep its resources.
#[derive(Debug, Parser)]
#[command(name = "signalbox", version, propagate_version = true, after_long_help = exit::help())]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) topic: Topic,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// What every call needs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// How results are written to standard output.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Write no colours, not even to a terminal.
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// The profile that says what is not given: of those that `login` keeps, the one of this name.
    #[arg(long, global = true, env = "SIGNALBOX_CLI_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Where the state service is: http://host:port or https://host:port; else the profile says it, and without one it
    /// is http://127.0.0.1:50051.
    #[arg(long, global = true, env = "SIGNALBOX_GRPC_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) grpc_url: Option<String>,
    #[command(flatten)]
    pub(crate) tls: ClientTlsConfig,
    /// File that holds the token to present, instead of SIGNALBOX_TOKEN or the profile's.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,
    /// How long a call may take, such as 10s or 500ms. A stream is bound by it only until it begins.
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = value::rpc_timeout)]
    pub(crate) rpc_timeout: Duration,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and lines for people.
    Table,
    /// JSON for programs: one document, or one object a line where results come one by one.
    Json,
}

/// What it is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Agents: list, read, watch, register, change and forget them.
    #[command(subcommand, visible_alias = "agent")]
    Agents(agents::AgentsCommand),
    /// Commands: send them to agents, and see what became of them.
    #[command(subcommand, visible_alias = "commands")]
    Command(command::CommandCommand),
    /// Events: follow the log, and publish to it.
    #[command(subcommand, visible_alias = "event")]
    Events(events::EventsCommand),
    /// Resources, such as incidents, cases and runs: create, read, list, change and delete them.
    #[command(subcommand, visible_alias = "resources")]
    Resource(resource::ResourceCommand),
    /// Apply a file of operations on resources and events, one JSON object a line.
    Apply(apply::ApplyArgs),
    /// The catalog: what kinds of resources and types of events there are, and kinds of your own.
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// API keys: create, list and revoke them.
    #[command(subcommand, visible_alias = "key")]
    Keys(keys::KeysCommand),
    /// The audit: who called what, from where, and who was refused. Needs the role admin.
    Audit(audit::AuditArgs),
    /// Enrolment tokens, by which agents come to keys of their own: create, list and revoke them.
    #[command(subcommand)]
    Enrolment(enrolment::EnrolmentCommand),
    /// Tenants: create, bound, suspend, resume and delete them.
    #[command(subcommand, visible_alias = "tenant")]
    Tenants(tenants::TenantsCommand),
    /// Make a token, and print it alone.
    Token(token::TokenArgs),
    /// Say whose token is presented, and what it allows.
    Whoami,
    /// Keep a server and a token as a profile, for this and further calls.
    Login(login::LoginArgs),
    /// Forget a profile: the one that counts, or --profile.
    Logout,
    /// List the profiles, or choose the one that counts.
    Profiles(login::ProfilesArgs),
    /// Print a script that completes this program's command lines in a shell, built-in kinds and types of events
    /// among them.
    #[command(after_long_help = "\
Examples:
  source <(signalbox completions bash)
  signalbox completions zsh > ~/.zfunc/_signalbox
  signalbox completions fish > ~/.config/fish/completions/signalbox.fish")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_credential() {
        fn flags(command: &clap::Command, found: &mut Vec<String>) {
            found.extend(command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)));
            command.get_subcommands().for_each(|below| flags(below, found));
        }
        let mut found = Vec::new();
        flags(&Cli::command(), &mut found);
        assert!(found.contains(&"token-file".to_owned()));
        for credential in ["token", "jwt-secret", "secret", "password"] {
            assert!(
                !found.contains(&credential.to_owned()),
                "--{credential} would show in the list of processes"
            );
        }
    }

    #[test]
    fn the_help_names_every_topic_and_every_exit_code() {
        insta::assert_snapshot!(Cli::command().term_width(100).render_long_help());
    }
}
