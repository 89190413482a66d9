//! What a new token shall say.

use std::path::PathBuf;

use clap::Args;
use signalbox_identity::Role;

use super::value;

/// What a new token shall say.
#[derive(Debug, Args)]
#[command(
    after_help = "Without --tenant the state service signs, for the tenant of the token presented, which \
                        needs the role admin. With --tenant this program signs, with the server's own secret: \
                        that is how the first token of a tenant is made."
)]
pub(crate) struct TokenArgs {
    /// Whom it is for: the claim `sub`.
    #[arg(long)]
    pub(crate) subject: String,
    /// What they may do.
    #[arg(long, value_parser = role_parser(&Role::ALL))]
    pub(crate) role: Role,
    /// The one agent that it is good for, with the role agent; without this, it is good for all of the tenant.
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// How long it holds.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = value::seconds)]
    pub(crate) ttl: u32,
    /// Sign here, for this tenant; * for the role service, and with the role admin for an administrator of the
    /// platform.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Sign with the secret in SIGNALBOX_JWT_SECRET, as is done unless --secret-file is given.
    #[arg(long, requires = "tenant", conflicts_with = "secret_file")]
    pub(crate) secret_from_env: bool,
    /// Sign with the secret in this file.
    #[arg(long, value_name = "PATH", requires = "tenant")]
    pub(crate) secret_file: Option<PathBuf>,
}

/// Reads one of these roles.
pub(super) fn role_parser(roles: &[Role]) -> impl clap::builder::TypedValueParser<Value = Role> + use<> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(roles.iter().map(|role| role.word())).map(|word| {
        Role::ALL
            .into_iter()
            .find(|role| role.word() == word)
            .expect("the parser lets only these words through")
    })
}
