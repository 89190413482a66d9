//! What must hold for the whole catalog, whatever is declared in it.

mod documents;
mod examples;
mod lives;
mod names;
mod runs;
mod values;
