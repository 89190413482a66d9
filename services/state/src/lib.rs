//! The state service: keeps the truth about a fleet of agents in Postgres, emits the log of its changes,
//! and carries commands to the agents.
//!
//! A call comes in through `grpc`, becomes a change of `domain`, is committed by `log`, and is seen by
//! watchers and sessions through `watch`. All SQL is in `store`.

mod bus;
mod config;
mod domain;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grpc;
mod keeper;
mod log;
mod removal;
mod restore;
mod retention;
mod samples;
mod server;
mod sessions;
mod standing;
mod store;
mod system;
mod watch;

pub use config::{ClientIdentity, Config, FleetCredentials, QuotaConfig, TenantsMode};
pub use restore::{NewEpochError, new_epoch};
pub use server::{Error, Server};
pub use store::tenants::removal::{LOG as TENANT_LOG_TABLE, TABLES as TENANT_TABLES};
