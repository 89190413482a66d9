//! The vocabulary: every resource kind and event type, declared once as typed Rust with its schema, lifecycle
//! and filterable attributes. State validates by it, the edge translates by it, the docs are generated from it.
//!
//! It must know neither transport nor storage: no I/O, no tonic, no sqlx, no clock.

mod agents;
mod attribute;
mod audit;
mod change;
mod domain;
mod event_type;
mod graph;
mod inference;
mod keys;
mod kind;
mod lifecycle;
mod operations;
mod own_kinds;
mod projects;
mod registry;
mod rules;
mod run;
mod schema;
mod soc;
mod stamp;
mod system;
mod tenants;
mod violation;

pub use attribute::Attribute;
pub use change::{By, Emitted};
pub use domain::Domain;
pub use event_type::{EventType, Origin};
pub use kind::{Definition, Inheritance, Kind, Number, Reference, Run, Written};
pub use lifecycle::Lifecycle;
pub use registry::{domains, event_type, event_types, is_reserved, kind, kinds};
pub use schema::Schema;
pub use stamp::Stamp;
pub use violation::{Fault, Violation};

/// A free-form JSON object.
type Object = serde_json::Map<String, serde_json::Value>;

/// Names the type of event that each structure is the data of, with an example.
macro_rules! event_data {
    ($($data:ident = $name:literal, $example:literal;)*) => {
        $(impl crate::event_type::EventData for $data {
            const NAME: &'static str = $name;
            const EXAMPLE: &'static str = $example;
        })*
    };
}
use event_data;
