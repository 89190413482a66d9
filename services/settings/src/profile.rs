//! How strict a server is.

/// How strict a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Profile {
    /// For a developer's machine: wider limits, any origin, log lines without a credential, any secret.
    Development,
    /// For everywhere else: what is not safe is refused at the start.
    #[default]
    Production,
}
