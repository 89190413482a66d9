//! Tests of the state service, and of every service together.

#![expect(
    clippy::unwrap_used,
    reason = "what is unwrapped outside of a test function fails the test that called it"
)]

mod agents;
mod api_keys;
mod audit;
mod bad_input;
mod bare_edge;
mod catalog_walk;
mod commands;
mod configuration;
mod cross_tenant;
mod endings;
mod enrolment;
mod fences;
mod forgetting;
mod hostile_grpc;
mod main_line;
mod occurrences;
mod outages;
mod own_kinds;
mod places;
mod replay;
mod resource_lists;
mod resources;
mod restore;
mod retention;
mod revisions;
mod roles;
mod row_security;
mod runs;
mod secrets;
mod sessions;
mod slow_clients;
mod storm;
mod system_status;
mod tenants;
mod tls;
mod watching;
