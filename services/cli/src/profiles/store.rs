//! The file of profiles. It must not know what a profile is good for.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy as _;

use super::Profiles;
use crate::error::Error;

/// Longest file that is read, in bytes.
const LEN_MAX: u64 = 1 << 20;
/// What nobody but the owner may do.
const OTHERS: u32 = 0o077;

/// Where the profiles are kept.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    /// In the directory of this user's settings: `$XDG_CONFIG_HOME`, or `~/.config`.
    pub(crate) fn of_user() -> Result<Self, Error> {
        let base = etcetera::choose_base_strategy().map_err(|_| Error::NoHome)?;
        Ok(Self { path: base.config_dir().join("signalbox").join("profiles.toml") })
    }

    /// Its path, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept; nothing where there is no file yet. A file that others may read is refused unread.
    pub(crate) fn read(&self) -> Result<Profiles, Error> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Profiles::default()),
            opened => opened.map_err(failed)?,
        };
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(Error::ExposedProfiles { path: self.path.clone(), mode });
        }
        let mut text = String::new();
        file.take(LEN_MAX).read_to_string(&mut text).map_err(failed)?;
        toml::from_str(&text).map_err(|error| {
            // The whole error would show the line, and a token may stand in it.
            let at = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
            Error::MalformedProfiles { path: self.path.clone(), line }
        })
    }

    /// Changes what is kept. Others who do so at the same time wait.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Profiles) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let failed = |source| Error::Keep { path: self.path.clone(), source };
        let directory = self.path.parent().unwrap_or(Path::new("."));
        private_directory(directory).map_err(failed)?;
        let lock = private(&directory.join("profiles.lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut profiles = self.read()?;
        let changed = change(&mut profiles)?;
        self.write(&profiles).map_err(failed)?;
        Ok(changed)
    }

    fn write(&self, profiles: &Profiles) -> io::Result<()> {
        let text = toml::to_string(profiles).map_err(io::Error::other)?;
        let partial = self.path.with_extension("toml.partial");
        // One that was left over may be another's to read.
        let _ = fs::remove_file(&partial);
        let mut file = private(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, &self.path)
    }
}

/// A directory that only its owner may look into.
fn private_directory(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(path, Permissions::from_mode(0o700))
        }
        made => made,
    }
}

/// A file that only its owner may read.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}
