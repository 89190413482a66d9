//! Breaks a whole Signalbox on purpose, and decides afterwards whether it kept its promises.
//!
//! [`run`] builds a house of real processes with a link between every pair that matters, puts it under load,
//! and befalls it with the faults of a [`schedule`], which is a pure function of a seed. Everybody writes down
//! what they see ([`record`]); [`check`] reads that history and nothing else.

mod checker;
mod experiment;
mod house;
mod load;
pub mod program;
mod reader;
pub mod record;
mod run;
pub mod schedule;
mod stored;
mod table;
pub mod worker;

pub use checker::{Figures, Promise, Violation, check, figures};
pub use experiment::{Experiment, measure};
pub use house::{Plan, Size, Source};
pub use run::{Course, Faults, run};
pub use schedule::Kind;
pub use table::{seed_of, table, told};
