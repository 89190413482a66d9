//! Tests of the state service, and of every service together.

mod agents;
mod bad_input;
mod commands;
mod endings;
mod main_line;
mod outages;
mod places;
mod retention;
mod revisions;
mod sessions;
mod system_status;
mod watching;
