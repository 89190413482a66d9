//! What users' tokens are checked with, and how the edge shows who it is itself.

use std::path::PathBuf;

use secrecy::SecretString;
use signalbox_identity::{IssuerConfig, Keys};
use signalbox_settings::{Check, Exposed, Problem};

use crate::{
    server::Error,
    upstream::{Own, TokenFile},
};

/// What users' tokens are checked with, and how the edge shows who it is itself.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenConfig {
    /// Secret that users' tokens are checked with, and the edge's own are signed with (HS256): at least 32 bytes.
    #[arg(long = "jwt-secret", env = "SIGNALBOX_JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<SecretString>,
    /// File with a token of the role service, read again whenever it changes. With it the edge has no secret and can
    /// sign nothing: about tokens that the secret has signed it asks the state service. `signalbox token --subject edge
    /// --role service --tenant '*' --ttl 30d` makes one.
    #[arg(
        long,
        env = "SIGNALBOX_EDGE_SERVICE_TOKEN_FILE",
        value_name = "PATH",
        conflicts_with = "jwt_secret"
    )]
    pub service_token_file: Option<PathBuf>,
    /// The identity provider.
    #[command(flatten)]
    pub issuer: IssuerConfig,
}

impl From<signalbox_identity::TokenConfig> for TokenConfig {
    fn from(config: signalbox_identity::TokenConfig) -> Self {
        let signalbox_identity::TokenConfig { secret, issuer } = config;
        Self { jwt_secret: Some(secret), service_token_file: None, issuer }
    }
}

impl TokenConfig {
    /// What checks tokens, and where the edge's own come from.
    ///
    /// # Errors
    ///
    /// [`Error`], when the secret or the file is not fit.
    pub(crate) fn open(&self) -> Result<(Keys, Own), Error> {
        match (&self.jwt_secret, &self.service_token_file) {
            (_, Some(path)) => Ok((Keys::without_secret(&self.issuer)?, Own::Given(TokenFile::open(path)?))),
            (Some(secret), None) => {
                let config =
                    signalbox_identity::TokenConfig { secret: secret.clone(), issuer: self.issuer.clone() };
                let keys = Keys::new(&config)?;
                Ok((keys.clone(), Own::Signed(keys)))
            }
            (None, None) => Err(Error::NoCredential),
        }
    }

    /// The file, where others than its owner may read it.
    #[must_use]
    pub(crate) fn exposed(&self) -> Option<Exposed> {
        self.service_token_file.as_deref().and_then(|path| Exposed::secret("service-token-file", path))
    }
}

impl Check for TokenConfig {
    fn problems(&self) -> Vec<Problem> {
        use signalbox_identity::Error as Token;
        match self.open() {
            Ok(_) => Vec::new(),
            Err(Error::Token(error @ Token::Configuration(_))) => vec![Problem::named("jwks-url", &error)],
            Err(Error::ServiceToken(error)) => vec![Problem::of("service-token-file", &error)],
            Err(error) => vec![Problem::of("jwt-secret", &error)],
        }
    }
}
