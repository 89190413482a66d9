//! The edge as its clients see it: a real edge on free ports, real WebSocket clients, and a scripted state
//! service behind it.

mod client;
mod clients;
mod commands;
mod conformance;
mod credentials;
mod desk;
mod documents;
mod edge;
mod hostile;
mod hostile_texts;
mod http;
mod lifecycle;
mod limits;
mod logs;
mod metrics;
mod misuse;
#[path = "../support/mutations.rs"]
mod mutations;
mod own_kinds;
mod random_frames;
mod requests;
mod resume;
mod rfc6455;
#[path = "../support/scripted.rs"]
#[expect(dead_code, reason = "the fan-out's own tests use what these do not")]
mod scripted;
mod snapshot;
mod subscriptions;
mod tenants;
mod wire;
