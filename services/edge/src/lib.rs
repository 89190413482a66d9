//! The WebSocket edge: follows the logs of the state service, and translates them for people.

pub mod dialect;
pub mod event;
pub mod feed;
pub mod frame;
pub mod interest;
pub mod upstream;
