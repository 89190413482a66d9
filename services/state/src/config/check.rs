//! What can be said of the settings before the service starts, and what production looks at.

use std::str::FromStr as _;

use secrecy::ExposeSecret as _;
use signalbox_settings::{Check, Problem, production::Posture};
use sqlx::postgres::PgConnectOptions;

use super::Config;
use crate::Error;

impl Check for Config {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.token.problems();
        problems.extend(self.tls.problems());
        problems.extend(self.telemetry.problems());
        if PgConnectOptions::from_str(self.database_url.expose_secret()).is_err() {
            problems.push(Problem::of("database-url", &Error::DatabaseUrl));
        }
        problems
    }

    fn posture(&self) -> Option<Posture> {
        let is_plaintext = self.tls.check_exposure(self.listen).is_err();
        Some(Posture {
            signing_secret: Some(self.token.secret.clone()),
            database_url: Some(self.database_url.clone()),
            plaintext: is_plaintext.then_some(("listen", self.listen)).into_iter().collect(),
            exposed: self.tls.exposed().into_iter().collect(),
            fleet_credentials: self.agents().fleet_allowed.then_some("fleet-agent-credentials"),
            ..Posture::of(self.profile)
        })
    }
}
