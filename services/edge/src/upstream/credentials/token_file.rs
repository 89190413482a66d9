//! A token of the role service in a file, which somebody else renews.
//!
//! It must not know what the token is used for.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_identity::{Role, read_unverified};
use signalbox_telemetry::now;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// How often the file is read again.
const RELOAD_EVERY: Duration = Duration::from_secs(5);
/// From how little of its time on an administrator is warned that nobody has renewed the token.
const WARNED_BEFORE: time::Duration = time::Duration::hours(24);
/// How often that is said.
const WARNED_EVERY: time::Duration = time::Duration::hours(1);

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("cannot read the service token in {}", path.display())]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no token in it that holds.
    #[error("{} has no service token that can be used", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: signalbox_identity::Error,
    },
    /// The token is of another role.
    #[error("{} has a token of the role {role}; expected one of the role service", path.display())]
    Role {
        /// The file.
        path: PathBuf,
        /// The role that the token names.
        role: Role,
    },
}

/// A service token that is read again whenever it is replaced. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: Arc<Path>,
    current: Arc<RwLock<Current>>,
}

#[derive(Debug, Clone)]
struct Current {
    token: SecretString,
    expires_at: OffsetDateTime,
}

impl TokenFile {
    /// Reads the token.
    ///
    /// # Errors
    ///
    /// [`TokenFileError`].
    pub fn open(path: &Path) -> Result<Self, TokenFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TokenFileError::Read { path: path.into(), source })?;
        let current = read(path, &text, now())?;
        Ok(Self { path: path.into(), current: Arc::new(RwLock::new(current)) })
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> SecretString {
        self.current().token
    }

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.current().expires_at
    }

    /// Reads the file again and again until `shutdown`. What is of no use leaves the token as it is.
    pub async fn reload(self, shutdown: CancellationToken) {
        let mut refused = None;
        let mut warned_at = OffsetDateTime::UNIX_EPOCH;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RELOAD_EVERY) => {}
            }
            match tokio::fs::read_to_string(&self.path).await {
                Ok(text) if text.trim() == self.token().expose_secret() => {}
                Ok(text) if refused.as_deref() == Some(text.trim()) => {}
                Ok(text) => match read(&self.path, &text, now()) {
                    Ok(new) => {
                        tracing::info!(path = %self.path.display(), "the service token was read again");
                        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
                    }
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the changed service token is not used");
                        refused = Some(text.trim().to_owned());
                    }
                },
                Err(error) => tracing::debug!(%error, "the service token cannot be read again"),
            }
            let (at, left) = (now(), self.expires_at() - now());
            if left < WARNED_BEFORE && at - warned_at >= WARNED_EVERY {
                warned_at = at;
                tracing::warn!(path = %self.path.display(), left_s = left.whole_seconds(), "the service token ends soon: replace it");
            }
        }
    }

    fn current(&self) -> Current {
        // What is written is whole.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(path: &Path, text: &str, now: OffsetDateTime) -> Result<Current, TokenFileError> {
    let token = text.trim();
    let unusable = |source| TokenFileError::Token { path: path.into(), source };
    let principal = read_unverified(token, now).map_err(unusable)?;
    if principal.role != Role::Service {
        return Err(TokenFileError::Role { path: path.into(), role: principal.role });
    }
    // A token always has an end.
    let expires_at = principal.expires_at.unwrap_or(now);
    Ok(Current { token: token.to_owned().into(), expires_at })
}

#[cfg(test)]
mod tests {
    use signalbox_identity::{Keys, TokenConfig, TokenRequest};

    use super::*;

    fn token(role: Role, tenant_id: &str) -> String {
        let keys = Keys::new(&TokenConfig::secret("a-secret-of-at-least-thirty-two-bytes")).unwrap();
        let request = TokenRequest {
            subject: "edge".into(),
            tenant_id: tenant_id.into(),
            role,
            ttl: time::Duration::days(30),
            agent_id: None,
        };
        keys.issue(&request, OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn only_a_token_of_the_role_service_that_holds_is_taken() {
        let (path, now) = (Path::new("service-token"), OffsetDateTime::UNIX_EPOCH);
        let good = token(Role::Service, "*");
        let current = read(path, &format!("{good}\n"), now).unwrap();
        assert_eq!(current.token.expose_secret(), good);
        assert_eq!(current.expires_at, now + time::Duration::days(30));
        let said = |text: &str, now| read(path, text, now).unwrap_err().to_string();
        assert_eq!(
            said(&token(Role::Admin, "*"), now),
            "service-token has a token of the role admin; expected one of the role service"
        );
        let unusable = "service-token has no service token that can be used";
        assert_eq!(said("", now), unusable);
        assert_eq!(said(&good, now + time::Duration::days(31)), unusable);
        assert!(!format!("{current:?}").contains(&good), "it is not shown");
    }
}
