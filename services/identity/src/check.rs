//! What can be said of the settings of tokens before a server starts.

use signalbox_settings::{Check, Problem};

use crate::{Error, Keys, TokenConfig};

impl Check for TokenConfig {
    fn problems(&self) -> Vec<Problem> {
        match Keys::new(self) {
            Ok(_) => Vec::new(),
            Err(error @ Error::Configuration(_)) => vec![Problem::named("jwks-url", &error)],
            Err(error) => vec![Problem::of("jwt-secret", &error)],
        }
    }
}
