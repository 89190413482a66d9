//! The WebSocket edge: follows the logs of the state service, and translates them for people.

pub mod asyncapi;
pub mod calls;
pub mod config;
pub mod dialect;
pub mod event;
pub mod feed;
pub mod frame;
mod holds;
pub mod interest;
pub mod limits;
pub mod places;
pub mod server;
pub mod session;
pub mod tenants;
mod turns;
pub mod upstream;

#[cfg(test)]
#[path = "../tests/support/scripted.rs"]
#[expect(dead_code, reason = "the tests over real sockets use what these do not")]
mod scripted;

pub use config::Config;
pub use server::{Error, Server};
