//! What can be asked about tenants.

use clap::{Args, Subcommand};

/// The bounds that a tenant may have of its own.
const LIMITS: [&str; 7] = [
    "agents",
    "sockets",
    "events_per_second",
    "events_burst",
    "stored_bytes",
    "retention_age_s",
    "retention_bytes",
];

/// What is done with tenants. Everything needs a token of an administrator of the platform; `get` of the own tenant
/// the role admin.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
The token is signed where the secret is:
  SIGNALBOX_JWT_SECRET=… signalbox token --tenant '*' --role admin --subject ann --ttl 1h")]
pub(crate) enum TenantsCommand {
    /// Create a tenant.
    Create(CreateArgs),
    /// List the tenants.
    List,
    /// Show a tenant, its bounds and what it uses.
    Get {
        /// Which; the own when absent.
        #[arg(value_name = "TENANT")]
        tenant_id: Option<String>,
    },
    /// Change a tenant's name and its bounds.
    Update(UpdateArgs),
    /// Suspend a tenant: within seconds its credentials open nothing, and what they have opened ends. Nothing is lost.
    Suspend {
        /// Which.
        #[arg(value_name = "TENANT")]
        tenant_id: String,
        /// Why; its users are told.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a suspended tenant go on.
    Resume {
        /// Which.
        #[arg(value_name = "TENANT")]
        tenant_id: String,
    },
    /// Delete a tenant with all its data. Nothing brings it back.
    Delete {
        /// Which.
        #[arg(value_name = "TENANT")]
        tenant_id: String,
        /// The same once more.
        #[arg(long, value_name = "TENANT")]
        confirm: String,
    },
}

/// A new tenant.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  signalbox tenants create acme --name 'Acme Corporation' --limit agents=500 --limit stored_bytes=1000000000")]
pub(crate) struct CreateArgs {
    /// Its id.
    #[arg(value_name = "TENANT")]
    pub(crate) tenant_id: String,
    /// Its name for people.
    #[arg(long, default_value = "")]
    pub(crate) name: String,
    /// A bound of its own; 0 for none. Without it the service's holds.
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limit)]
    pub(crate) limits: Vec<Limit>,
}

/// What changes of a tenant.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  signalbox tenants update acme --limit events_per_second=2000 --limit agents=default")]
pub(crate) struct UpdateArgs {
    /// Which.
    #[arg(value_name = "TENANT")]
    pub(crate) tenant_id: String,
    /// Its new name for people.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A bound of its own; 0 for none, `default` for the service's.
    #[arg(long = "limit", value_name = "NAME=NUMBER", value_parser = limit)]
    pub(crate) limits: Vec<Limit>,
}

/// A bound on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its value; `None` for the service's.
    pub(crate) value: Option<u64>,
}

/// Reads `name=number` or `name=default`.
fn limit(text: &str) -> Result<Limit, String> {
    let expected = || format!("expected one of {} with =NUMBER or =default", LIMITS.join(", "));
    let (name, value) = text.split_once('=').ok_or_else(expected)?;
    let name = LIMITS.into_iter().find(|known| *known == name.replace('-', "_")).ok_or_else(expected)?;
    match value {
        "default" => Ok(Limit { name, value: None }),
        number => number
            .parse()
            .map(|number| Limit { name, value: Some(number) })
            .map_err(|_| format!("{name}: expected a number that is not negative, or default")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_known_name_and_a_number_or_the_default() {
        assert_eq!(limit("agents=5"), Ok(Limit { name: "agents", value: Some(5) }));
        assert_eq!(limit("events-per-second=0"), Ok(Limit { name: "events_per_second", value: Some(0) }));
        assert_eq!(limit("sockets=default"), Ok(Limit { name: "sockets", value: None }));
        for bad in ["", "agents", "agents=", "agents=-1", "money=5", "agents=5x"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
