//! A small program of every sort of setting, configured from every place at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod precedence;
mod program;
mod secrets;
