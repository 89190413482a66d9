//! How programs are configured: flags over environment variables over a TOML file over defaults. A program's command
//! line is the schema of its file, so that a new flag is a new key, and what is valid is said once.
//!
//! It must not know any program's settings; [`production`] alone knows what servers must not do in earnest.

mod address;
mod assembly;
mod check;
mod command;
mod document;
mod effective;
mod exposure;
mod problem;
pub mod production;
mod profile;
mod reference;
mod schema;
mod survey;

pub use address::without_credentials;
pub use check::{Check, Loaded, Report, Warnings};
pub use command::{Program, Settings};
pub use exposure::Exposed;
pub use problem::Problem;
pub use profile::Profile;
