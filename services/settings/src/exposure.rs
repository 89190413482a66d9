//! Files with secrets that others can read.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Everybody: what a file made for one secret must not allow. Its group may read it, since that is how secrets are
/// handed to services.
const EVERYBODY: u32 = 0o007;
/// Everybody but the owner: what a file of settings with a secret in it must not allow.
const OTHERS: u32 = 0o077;

/// A file with a secret that others can read or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    key: String,
    path: PathBuf,
    mode: u32,
    remedy: &'static str,
}

impl Exposed {
    /// Looks at a file that holds one secret, such as a private key. `None` when it is kept well, or is not there.
    #[must_use]
    pub fn secret(key: impl Into<String>, path: &Path) -> Option<Self> {
        Self::look(key.into(), path, EVERYBODY, "chmod o-rwx")
    }

    /// Looks at a file of settings that holds a secret as plain text.
    pub(crate) fn settings(key: impl Into<String>, path: &Path) -> Option<Self> {
        Self::look(key.into(), path, OTHERS, "chmod 600")
    }

    /// The setting that led to the file.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    fn look(key: String, path: &Path, mask: u32, remedy: &'static str) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let mode = metadata.mode() & 0o777;
        (mode & mask != 0).then(|| Self { key, path: path.into(), mode, remedy })
    }
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, remedy) = (self.path.display(), self.remedy);
        write!(f, "{path} holds a secret, and others may use it (mode {:03o}): `{remedy} {path}`", self.mode)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_group_may_be_handed_a_secret_but_not_the_settings_around_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, secret, settings) in [(0o600, false, false), (0o440, false, true), (0o604, true, true)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Exposed::secret("k", file.path()).is_some(), secret, "{mode:o}");
            assert_eq!(Exposed::settings("k", file.path()).is_some(), settings, "{mode:o}");
        }
        let told = Exposed::secret("k", file.path()).unwrap().to_string();
        assert!(told.contains("mode 604") && told.contains("`chmod o-rwx "), "{told}");
        assert_eq!(Exposed::secret("k", Path::new("/nonexistent")), None);
    }
}
