//! `signalbox`, the administrator's command line: it asks the state service over gRPC and shows the answer.
//!
//! It must not know rules that the state service keeps: what a valid id or a legal change is, the server
//! says, and its answer is shown.

mod access;
mod agents;
mod apply;
mod args;
mod audit;
mod catalog;
mod client;
mod command;
mod completions;
mod enrolment;
mod error;
mod events;
mod exit;
mod follow;
mod input;
mod keys;
mod login;
mod output;
mod profiles;
mod resource;
mod run;
mod tenants;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::main().into()
}
