//! What can be asked about profiles.

use clap::{Args, Subcommand};

/// A new profile.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks the server whose token it is, and keeps both for further calls; it becomes the profile that counts when none is \
named. On a terminal the token is asked for, unless --token-file or --token-stdin is given.

Examples:
  signalbox login --grpc-url https://state.example.com:50051 --tls-ca ca.crt
  signalbox login --profile test --grpc-url http://127.0.0.1:50051 --token-file token
  pass show signalbox | signalbox login --token-stdin")]
pub(crate) struct LoginArgs {
    /// Read the token from standard input.
    #[arg(long)]
    pub(crate) token_stdin: bool,
}

/// What is done with profiles.
#[derive(Debug, Args)]
pub(crate) struct ProfilesArgs {
    #[command(subcommand)]
    pub(crate) what: Option<ProfilesCommand>,
}

/// What is done with profiles, besides listing them.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfilesCommand {
    /// Make a profile the one that counts when none is named.
    Use {
        /// Which one.
        name: String,
    },
}
