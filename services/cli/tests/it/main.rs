//! Drives the real program against a scripted state service in this process. It must not know the program's
//! insides: it gives arguments, and reads output and exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod agents;
mod applying;
mod catalog;
mod commands;
mod enrolment;
mod events;
mod failures;
mod house;
mod keys;
mod profiles;
mod program;
mod resources;
mod tokens;
