//! The token that calls present, and the trace that they belong to. A token is never shown.

use std::{
    fs::{File, Metadata},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_telemetry::{is_traceparent, new_traceparent};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use crate::{
    error::Error,
    output::{note, plain},
};

pub(crate) const TOKEN_VARIABLE: &str = "SIGNALBOX_TOKEN";
/// The servers refuse longer tokens.
pub(crate) const SECRET_LEN_MAX: usize = 8 * 1024;

/// Puts the token and the trace into the metadata of every call.
#[derive(Clone)]
pub(crate) struct Credential {
    authorization: MetadataValue<Ascii>,
    traceparent: Option<MetadataValue<Ascii>>,
}

impl Credential {
    /// Presents a token, in the trace that the environment names or in one of its own. `origin` is where the token
    /// comes from.
    pub(crate) fn present(origin: &str, token: &SecretString) -> Result<Self, Error> {
        let inherited = std::env::var("TRACEPARENT").ok().filter(|text| is_traceparent(text));
        Self::new(origin, token, &inherited.unwrap_or_else(new_traceparent))
    }

    fn new(origin: &str, token: &SecretString, traceparent: &str) -> Result<Self, Error> {
        let token = token.expose_secret().trim();
        if token.is_empty() {
            return Err(malformed(origin, "nothing"));
        }
        if token.len() > SECRET_LEN_MAX {
            return Err(malformed(origin, "more bytes"));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed(origin, "other characters than a token has"));
        }
        let mut authorization: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().expect("graphic ASCII characters make a header");
        authorization.set_sensitive(true);
        Ok(Self { authorization, traceparent: traceparent.parse().ok() })
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.authorization.clone());
        if let Some(traceparent) = &self.traceparent {
            metadata.insert("traceparent", traceparent.clone());
        }
        Ok(request)
    }
}

/// The token in the file, or else in the environment, and where it is from.
pub(super) fn given(token_file: Option<&Path>) -> Result<Option<(String, SecretString)>, Error> {
    match (token_file, std::env::var(TOKEN_VARIABLE)) {
        (Some(path), _) => Ok(Some((path.display().to_string(), read_secret(path)?))),
        (None, Ok(token)) if !token.trim().is_empty() => Ok(Some((TOKEN_VARIABLE.into(), token.into()))),
        (None, Err(std::env::VarError::NotUnicode(_))) => Err(malformed(TOKEN_VARIABLE, "no text")),
        (None, _) => Ok(None),
    }
}

/// Reads a short secret from a file.
pub(crate) fn read_secret(path: &Path) -> Result<SecretString, Error> {
    let failed = |source| Error::Read { path: path.into(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    if is_exposed(&file.metadata().map_err(failed)?) {
        note(format_args!(
            "warning: everybody on this machine can read the secret in {0}; `chmod 600 {0}` ends that",
            plain(&path.display().to_string())
        ));
    }
    file.take(SECRET_LEN_MAX as u64 + 2).read_to_string(&mut text).map_err(failed)?;
    Ok(text.into())
}

/// Whether users that have nothing to do with a file can read it, or write to it.
fn is_exposed(file: &Metadata) -> bool {
    file.is_file() && file.mode() & 0o006 != 0
}

fn malformed(origin: &str, got: &'static str) -> Error {
    Error::MalformedToken { origin: origin.into(), max: SECRET_LEN_MAX, got }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(token: &str) -> Result<Credential, Error> {
        Credential::new("the file", &token.to_owned().into(), &new_traceparent())
    }

    #[test]
    fn a_token_is_presented_without_the_line_end_of_its_file() {
        let request = credential("abc.def\n").unwrap().call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer abc.def");
        assert!(is_traceparent(request.metadata().get("traceparent").unwrap().to_str().unwrap()));
    }

    #[test]
    fn what_is_no_token_is_refused_without_showing_it() {
        let long = "x".repeat(SECRET_LEN_MAX + 1);
        for bad in ["", " \n", "hush hush", "hush\u{7f}", "hüsh", &long] {
            let error = credential(bad).err().unwrap();
            assert!(error.to_string().starts_with("the file: expected a token"), "{error}");
            assert!(!error.to_string().contains("hush") && !error.to_string().contains("xx"), "{error}");
        }
    }

    #[test]
    fn a_token_is_not_shown_by_debug_output() {
        let credential = credential("hush").unwrap();
        assert!(!format!("{:?}", credential.authorization).contains("hush"));
    }
}
