//! What can be said of the settings before the edge starts, and what production looks at.

use signalbox_settings::{Check, Problem, production::Posture};

use super::{Config, Listen};
use crate::limits::Policies;

impl Config {
    /// Where it is to listen, with the name of the flag for each.
    #[must_use]
    pub(crate) fn listeners(&self) -> [(&'static str, Listen); 3] {
        [
            ("listen", Listen::At(self.listen)),
            ("aisoc-listen", self.aisoc_listen),
            ("logs-listen", self.logs_listen),
        ]
    }
}

impl Check for Config {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.token.problems();
        problems.extend(self.tls.problems());
        problems.extend(self.client_tls.problems_of(&self.grpc_url));
        problems.extend(self.telemetry.problems());
        if let Some(Err(error)) =
            self.limits_file.as_deref().map(|path| Policies::with_file(self.profile, path))
        {
            problems.push(Problem::of("limits-file", &error));
        }
        problems
    }

    fn posture(&self) -> Option<Posture> {
        let plaintext = self.listeners().into_iter().filter_map(|(flag, listen)| match listen {
            Listen::At(address) => self.tls.check_exposure(address).is_err().then_some((flag, address)),
            Listen::Off => None,
        });
        Some(Posture {
            signing_secret: self.token.jwt_secret.clone(),
            anonymous: self.logs().anonymous.then_some("logs-anonymous").into_iter().collect(),
            origins: self.origins(),
            plaintext: plaintext.collect(),
            exposed: self.tls.exposed().into_iter().chain(self.token.exposed()).collect(),
            ..Posture::of(self.profile)
        })
    }
}
