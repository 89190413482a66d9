//! What an agent is, where its server is, and what bounds hold. Checked before anything is opened.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use secrecy::SecretString;
use signalbox_settings::without_credentials;
use signalbox_transport::ClientTlsConfig;
use tonic::transport::Uri;

use crate::{
    backoff::BackoffConfig,
    credential::{Credential, no_state_dir},
    dialer::Dialer,
    reports::REPORT_LEN_MAX,
};

const GRPC_URL: &str = "http://host:port or https://host:port";
const AGENT_ID_LEN_MAX: usize = 128;
const TEXT_LEN_MAX: usize = 256;
const LABELS_MAX: usize = 64;
const LABEL_KEY_LEN_MAX: usize = 63;
const LABEL_VALUE_LEN_MAX: usize = 255;
const CAPABILITIES_MAX: usize = 64;
const CAPABILITY_LEN_MAX: usize = 64;

/// What an agent is, where its server is, and what bounds hold.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the state service is: `http://host:port` or `https://host:port`. With several, each attempt tries the
    /// next one.
    pub grpc_urls: Vec<String>,
    /// Whom it trusts to be the state service, and how it shows who it is.
    pub tls: ClientTlsConfig,
    /// How connections are made; by TCP when unset.
    pub dialer: Option<Dialer>,
    /// How it shows who it is.
    pub credential: Credential,
    /// The agent's id: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`, the first a letter or a digit.
    pub agent_id: String,
    /// A name for people, up to 256 bytes; empty keeps the one that the server knows.
    pub name: String,
    /// Which template or kind of program it is, up to 256 bytes; empty keeps the one known.
    pub template: String,
    /// Labels that selectors match: up to 64. Empty keeps the ones known.
    pub labels: BTreeMap<String, String>,
    /// Names of the commands that it carries out: up to 64.
    pub capabilities: Vec<String>,
    /// Version of the agent's software.
    pub software_version: String,
    /// Directory of what must survive the agent: the ledger of commands, the spool of reports and its own key
    /// ([`Credential::Enrolment`]), on disk within
    /// about three times [`BufferConfig::bytes_max`] and a few MiB. One process at a time uses it for an agent;
    /// several agents may share it. Without one both are lost with the process: a command that was under way then
    /// is settled as UNKNOWN by the server, and what was not acknowledged is not reported.
    pub state_dir: Option<PathBuf>,
    /// How long to wait between attempts to connect.
    pub backoff: BackoffConfig,
    /// How many reports are kept until they are acknowledged.
    pub buffer: BufferConfig,
    /// How long an attempt to connect, and the wait for the server's welcome, may each take.
    pub connect_timeout: Duration,
    /// How long a shutdown waits for what was reported to be acknowledged.
    pub flush_timeout: Duration,
    /// How long a log line waits for room before lines are dropped and counted instead.
    pub log_wait_max: Duration,
    /// What to do when another session of the same agent takes over.
    pub when_superseded: WhenSuperseded,
    /// Whether a server that refuses the agent (`UNAUTHENTICATED` and the like) is tried again, provided that it
    /// has welcomed it once in the life of this process. A refusal of the first attempt always ends the agent.
    pub retry_refusals_once_welcomed: bool,
}

/// What to do when another session of the same agent takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenSuperseded {
    /// End with [`crate::Error::Superseded`]: two that take the agent from each other in turns help nobody.
    End,
    /// Take it back, after the usual backoff. A run that began earlier gets it only once the later one is gone.
    Reconnect,
}

/// How many reports are kept until they are acknowledged. A full buffer makes reporters wait. Log lines may
/// fill three quarters of it and other reports seven eighths, so that what became of a command always fits.
#[derive(Debug, Clone, Copy)]
pub struct BufferConfig {
    /// Most reports.
    pub reports_max: usize,
    /// Most bytes, as encoded.
    pub bytes_max: usize,
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self { reports_max: 8192, bytes_max: 16 * 1024 * 1024 }
    }
}

/// Something in a configuration that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, got {given:?}")]
pub struct ConfigError {
    /// The field at fault.
    pub field: &'static str,
    /// What was expected of it.
    pub expected: &'static str,
    /// What was given.
    pub given: String,
}

impl Config {
    /// An agent that says nothing of itself but its id, with the usual bounds.
    #[must_use]
    pub fn new(grpc_url: impl Into<String>, token: SecretString, agent_id: impl Into<String>) -> Self {
        Self {
            grpc_urls: vec![grpc_url.into()],
            tls: ClientTlsConfig::default(),
            dialer: None,
            credential: Credential::Token(token),
            agent_id: agent_id.into(),
            name: String::new(),
            template: String::new(),
            labels: BTreeMap::new(),
            capabilities: Vec::new(),
            software_version: String::new(),
            state_dir: None,
            backoff: BackoffConfig::default(),
            buffer: BufferConfig::default(),
            connect_timeout: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(5),
            log_wait_max: Duration::from_secs(1),
            when_superseded: WhenSuperseded::End,
            retry_refusals_once_welcomed: false,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first field at fault.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_agent_id(&self.agent_id)?;
        if self.grpc_urls.is_empty() {
            return Err(wrong("grpc_url", GRPC_URL, ""));
        }
        self.grpc_urls.iter().try_for_each(|url| check_grpc_url(url))?;
        let texts = [
            ("name", &self.name),
            ("template", &self.template),
            ("software_version", &self.software_version),
        ];
        for (field, text) in texts {
            check_text(field, text, TEXT_LEN_MAX, "at most 256 bytes without control characters")?;
        }
        if matches!(self.credential, Credential::Enrolment(_)) && self.state_dir.is_none() {
            return Err(no_state_dir());
        }
        check_labels(&self.labels)?;
        check_capabilities(&self.capabilities)?;
        // The largest report must fit into the share of the smallest class, or it would wait for ever.
        if self.buffer.reports_max < 8 || self.buffer.bytes_max < 2 * REPORT_LEN_MAX {
            let given = format!("{} reports, {} bytes", self.buffer.reports_max, self.buffer.bytes_max);
            return Err(wrong("buffer", "at least 8 reports and 2 MiB", &given));
        }
        Ok(())
    }
}

/// Checks an agent's id as the server does.
///
/// # Errors
///
/// [`ConfigError`] when it is empty, too long, or has characters that ids do not have.
fn check_agent_id(id: &str) -> Result<(), ConfigError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    let first = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && id.len() <= AGENT_ID_LEN_MAX && id.bytes().all(fits) {
        return Ok(());
    }
    let expected = "1 to 128 characters of A-Z a-z 0-9 . _ : - beginning with a letter or a digit";
    Err(wrong("id", expected, id))
}

fn check_grpc_url(url: &str) -> Result<(), ConfigError> {
    let uri: Option<Uri> = url.parse().ok();
    let good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some()
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    });
    // What stands before an @ may be a password, what is asked behind the path a token.
    if url.contains('@') {
        return Err(wrong(
            "grpc_url",
            "http://host:port or https://host:port, without a user",
            "one with a user",
        ));
    }
    if good { Ok(()) } else { Err(wrong("grpc_url", GRPC_URL, &without_credentials(url))) }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    if labels.len() > LABELS_MAX {
        return Err(wrong("label", "at most 64 labels", &labels.len().to_string()));
    }
    for (key, value) in labels {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
        if key.is_empty() || key.len() > LABEL_KEY_LEN_MAX || !key.bytes().all(fits) {
            return Err(wrong("label", "keys of 1 to 63 characters of A-Z a-z 0-9 . _ / -", key));
        }
        check_text(
            "label",
            value,
            LABEL_VALUE_LEN_MAX,
            "values of at most 255 bytes without control characters",
        )?;
    }
    Ok(())
}

fn check_capabilities(capabilities: &[String]) -> Result<(), ConfigError> {
    if capabilities.len() > CAPABILITIES_MAX {
        return Err(wrong("capabilities", "at most 64", &capabilities.len().to_string()));
    }
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    let good =
        |name: &&String| !name.is_empty() && name.len() <= CAPABILITY_LEN_MAX && name.bytes().all(fits);
    match capabilities.iter().find(|name| !good(name)) {
        Some(bad) => Err(wrong("capabilities", "1 to 64 characters of a-z 0-9 _ . -", bad)),
        None => Ok(()),
    }
}

fn check_text(
    field: &'static str,
    text: &str,
    len_max: usize,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if text.len() <= len_max && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(wrong(field, expected, text))
}

fn wrong(field: &'static str, expected: &'static str, given: &str) -> ConfigError {
    const GIVEN_CHARS_MAX: usize = 64;
    ConfigError { field, expected, given: given.chars().take(GIVEN_CHARS_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new("http://127.0.0.1:50051", "token".into(), "web-1")
    }

    #[test]
    fn a_plain_configuration_is_good_and_keeps_its_token_to_itself() {
        assert_eq!(config().check(), Ok(()));
        assert!(!format!("{:?}", Config::new("http://h:1", "s3cret".into(), "a")).contains("s3cret"));
    }

    #[test]
    fn a_malformed_field_is_named() {
        for id in ["", "-a", "a\u{0}b", "a b", "ä", &"a".repeat(129)] {
            let error = Config { agent_id: id.into(), ..config() }.check().unwrap_err();
            assert_eq!(error.field, "id", "{id:?}");
            assert!(!error.to_string().chars().any(char::is_control));
        }
        for url in
            ["", "127.0.0.1:50051", "ftp://h:1", "http://", "https://", "http://h:1/path", "http://u:p@h:1"]
        {
            let error = Config { grpc_urls: vec![url.into()], ..config() }.check().unwrap_err();
            assert_eq!(error.field, "grpc_url", "{url:?}");
            assert!(!error.to_string().contains("u:p"));
        }
        let buffer = BufferConfig { bytes_max: 2 * 1024 * 1024 - 1, ..BufferConfig::default() };
        assert_eq!(Config { buffer, ..config() }.check().unwrap_err().field, "buffer");
        let labels = BTreeMap::from([("a b".to_owned(), String::new())]);
        assert_eq!(Config { labels, ..config() }.check().unwrap_err().field, "label");
        assert_eq!(
            Config { capabilities: vec!["Stop".into()], ..config() }.check().unwrap_err().field,
            "capabilities"
        );
    }
}
